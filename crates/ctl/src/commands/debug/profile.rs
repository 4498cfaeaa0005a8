//! What debugging containers may do.

use serde_json::{Value, json};

/// Upstream's profiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Sees processes; on a node its namespaces and its file system, too.
    #[default]
    General,
    /// Nothing that the baseline standard forbids.
    Baseline,
    /// Nothing that the restricted standard forbids.
    Restricted,
    /// The network.
    Netadmin,
    /// Everything.
    Sysadmin,
}

const NAMES: [(&str, Profile); 6] = [
    ("general", Profile::General),
    ("baseline", Profile::Baseline),
    ("restricted", Profile::Restricted),
    ("netadmin", Profile::Netadmin),
    ("sysadmin", Profile::Sysadmin),
    // The profile of old is general today.
    ("legacy", Profile::General),
];

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, profile)| *profile);
        found.ok_or_else(|| format!("unknown profile: {text}"))
    }
}

impl Profile {
    /// Whether a container of this profile is for looking at processes.
    #[must_use]
    pub fn wants_target(self) -> bool {
        self == Self::General
    }

    /// What the container in a pod may do.
    pub fn apply_to_container(self, container: &mut Value) {
        let context = match self {
            Self::General => json!({"capabilities": {"add": ["SYS_PTRACE"]}}),
            Self::Baseline => return,
            Self::Restricted => json!({"runAsNonRoot": true, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}),
            Self::Netadmin => json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}),
            Self::Sysadmin => json!({"privileged": true}),
        };
        container["securityContext"] = context;
    }

    /// What the container on a node may do.
    pub fn apply_to_node_container(self, container: &mut Value) {
        match self {
            Self::General => {}
            other => other.apply_to_container(container),
        }
        if self.sees_host() {
            container["volumeMounts"] = json!([{"name": "host-root", "mountPath": "/host"}]);
        }
    }

    fn sees_host(self) -> bool {
        matches!(self, Self::General | Self::Sysadmin)
    }

    /// What the pod on a node shares with it.
    pub fn apply_to_node_pod(self, pod: &mut Value) {
        let spec = &mut pod["spec"];
        if self.sees_host() {
            spec["hostIPC"] = true.into();
            spec["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
        }
        if self.sees_host() || self == Self::Netadmin {
            spec["hostNetwork"] = true.into();
            spec["hostPID"] = true.into();
        }
    }
}
