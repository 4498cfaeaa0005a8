//! What the runtime says there is.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LinuxResources;

macro_rules! string_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The bare text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

string_newtype! {
    /// `metadata.uid` of a pod (for a static pod, the hash its source gave it).
    PodUid
}
string_newtype! {
    /// Runtime id of a sandbox.
    SandboxId
}
string_newtype! {
    /// Runtime id of a container, without the `docker://` prefix.
    ContainerId
}
string_newtype! {
    /// Content id of an image, `sha256:…`.
    ImageId
}

/// Which pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub struct PodIdentity {
    /// The identity proper.
    pub uid: PodUid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Everything the runtime has of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimePod {
    /// Which pod; namespace and name are empty if nothing is left of it.
    pub identity: PodIdentity,
    /// Its sandboxes, newest (highest attempt) first.
    pub sandboxes: Vec<SandboxStatus>,
    /// Its containers of all attempts and sandboxes, newest first.
    pub containers: Vec<ContainerStatus>,
}

impl RuntimePod {
    /// A pod of which nothing is left.
    pub fn nothing_of(uid: PodUid) -> Self {
        Self { identity: PodIdentity { uid, ..PodIdentity::default() }, ..Self::default() }
    }

    /// The newest container of this name.
    pub fn latest(&self, container: &str) -> Option<&ContainerStatus> {
        self.containers.iter().find(|c| c.name == container)
    }

    /// Puts the newest sandbox and the newest container first.
    pub(super) fn sort(&mut self) {
        self.sandboxes.sort_by_key(|sandbox| Reverse((sandbox.attempt, sandbox.created_at)));
        self.containers.sort_by_key(|container| Reverse((container.created_at, container.attempt)));
    }

    /// The sandbox that is up, if one is.
    pub fn ready_sandbox(&self) -> Option<&SandboxStatus> {
        self.sandboxes.iter().find(|s| s.state == SandboxState::Ready)
    }
}

/// Whether a sandbox's namespaces exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxState {
    /// The pause container runs.
    Ready,
    /// It does not.
    NotReady,
}

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// Its id.
    pub id: SandboxId,
    /// Which attempt of the pod it is.
    pub attempt: u32,
    /// Whether it is up.
    pub state: SandboxState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Process id of the pause process in the node's PID namespace; `None` when it does not run.
    pub pid: Option<u32>,
    /// Whether it lives in the node's network.
    pub host_network: bool,
    /// Addresses that the runtime itself gave (`--network-plugin=docker`, CNI), the primary one first.
    pub runtime_ips: Vec<std::net::IpAddr>,
    /// Labels given at creation.
    pub labels: BTreeMap<String, String>,
    /// Annotations given at creation.
    pub annotations: BTreeMap<String, String>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// Its id as others are told it, with the runtime's name: `docker://0123…`.
    pub reference: String,
    /// The sandbox it was created in.
    pub sandbox_id: SandboxId,
    /// Its name in the pod.
    pub name: String,
    /// Its restart count.
    pub attempt: u32,
    /// What it is doing.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Image as the pod named it.
    pub image: String,
    /// Image it was made from.
    pub image_id: ImageId,
    /// Hash of the spec it was made from.
    pub hash: String,
    /// Whether it has a terminal (its log and attach streams are then one).
    pub tty: bool,
    /// `terminationMessagePath`.
    pub termination_message_path: String,
    /// `terminationMessagePolicy`.
    pub termination_message_policy: String,
    /// Limits and shares that are in force, without `oom_score_adj`; `None` when the runtime does not say.
    pub resources: Option<LinuxResources>,
    /// Whose process its main process is, while it runs and the runtime can tell.
    pub user: Option<LinuxUser>,
    /// Bind mounts.
    pub mounts: Vec<Mounted>,
    /// File that the runtime writes what it prints to, if it is a file.
    pub log_path: Option<PathBuf>,
    /// Labels given at creation.
    pub labels: BTreeMap<String, String>,
    /// Annotations given at creation.
    pub annotations: BTreeMap<String, String>,
}

/// Whose a process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinuxUser {
    /// Its user.
    pub uid: i64,
    /// Its primary group.
    pub gid: i64,
    /// All its groups.
    pub groups: Vec<i64>,
}

/// A bind mount as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Path on the node.
    pub host_path: String,
    /// Path in the container.
    pub container_path: String,
}

/// A container's life; it only moves forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Created, never started. One whose start failed has exited with `ContainerCannotRun` or `StartError`.
    Created,
    /// Running.
    Running {
        /// When it started.
        started_at: Timestamp,
        /// Its main process in the node's PID namespace.
        pid: u32,
    },
    /// Ended.
    Exited(Exit),
    /// The runtime does not know (dead, being removed).
    Unknown,
}

impl ContainerState {
    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + n for signal n.
    pub code: i32,
    /// When it started, if the runtime says; when it was created if the start itself failed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// `Completed`, `Error`, `OOMKilled`, or that it could not be started: `ContainerCannotRun` with Docker, `StartError`
    /// elsewhere; as in a container status.
    pub reason: &'static str,
    /// The runtime's words, if any.
    pub message: String,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Created.
    Created,
    /// Started.
    Started,
    /// Its process ended.
    Died,
    /// Removed.
    Removed,
    /// The stream was (re)established: anything may have happened before.
    Reconnected,
}

/// One item of [`super::Runtime::events`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which pod; `None` only for [`EventKind::Reconnected`].
    pub pod: Option<PodUid>,
    /// To which container or sandbox, by runtime id.
    pub container: Option<ContainerId>,
}

/// Name and versions of the runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// `docker`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its API's version.
    pub api_version: String,
}

/// What the runtime knows about its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// `overlay2` and the like.
    pub storage_driver: String,
    /// Where images and containers are stored.
    pub root_dir: String,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// Kernel release.
    pub kernel: String,
    /// Handlers that runtime classes can name, the default's name being empty.
    pub handlers: Vec<RuntimeHandler>,
    /// Why the runtime cannot connect sandboxes, where that is its affair.
    pub network_trouble: Option<String>,
}

/// A handler of runtime classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeHandler {
    /// Its name; empty is the default.
    pub name: String,
    /// Read-only mounts can be so in depth.
    pub recursive_read_only_mounts: bool,
    /// Pods can have user namespaces.
    pub user_namespaces: bool,
}

/// Something that this host refuses to containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRestriction {
    /// CamelCase reason for an event (`OOMScoreAdjRestricted`).
    pub reason: &'static str,
    /// What it means for pods.
    pub message: String,
}

/// CPU and memory of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStats {
    /// When it was read.
    pub time: Timestamp,
    /// CPU time used since its start, in nanoseconds.
    pub cpu_usage_ns: u64,
    /// Memory that cannot be reclaimed easily: usage less inactive file pages, in bytes.
    pub memory_working_set: u64,
    /// Memory charged to it, in bytes.
    pub memory_usage: u64,
}
