//! Whether a container that has ended starts again.

use api_types::core::{Container, ContainerRestartRule, Pod};

use super::{PodExt, Role};

/// `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever it ended with.
    Always,
    /// Unless it ended with 0.
    OnFailure,
    /// Not at all.
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }

    /// The pod's own.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        Self::parse(pod.pod_spec().restart_policy.as_deref())
    }

    /// A container's: its own where it has one. An init container of a pod that always restarts is done once it
    /// succeeds.
    #[must_use]
    pub fn of_container(pod: &Pod, role: Role, container: &Container) -> Self {
        match (role, container.restart_policy.as_deref(), Self::of_pod(pod)) {
            (Role::Sidecar, ..) => Self::Always,
            (_, Some(own), _) => Self::parse(Some(own)),
            (Role::Init, None, Self::Always) => Self::OnFailure,
            (_, None, of_pod) => of_pod,
        }
    }

    /// Whether a container that ended with `code` starts again.
    #[must_use]
    pub fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// The same with `restartPolicyRules`, of which the first that matches decides.
#[must_use]
pub fn restarts(pod: &Pod, role: Role, container: &Container, code: i32) -> bool {
    let rules = container.restart_policy_rules.iter().flatten();
    let matching = rules.filter(|rule| matches(rule, code)).map(|rule| rule.action == "Restart").next();
    matching.unwrap_or_else(|| RestartPolicy::of_container(pod, role, container).restarts(code))
}

fn matches(rule: &ContainerRestartRule, code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|value| *value == code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}
