//! What this host refuses to containers, found out once at start.
//!
//! Where the kubelet and Docker lack a capability even in their bounding set (a rootless or nested host), runc fails
//! with messages that explain nothing. So the kubelet looks first.

use std::fs;

use super::HostRestriction;

/// Number of `CAP_SYS_RESOURCE`, without which `oom_score_adj` cannot be lowered.
const CAP_SYS_RESOURCE: u32 = 24;

/// Limits that container creation must respect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runtime) struct HostLimits {
    /// Smallest `oom_score_adj` that may be asked for; `None` is no limit.
    pub(in crate::runtime) min_oom_score_adj: Option<i64>,
}

impl HostLimits {
    /// Reads this process's own limits; Docker, on the same machine, is taken to have the same.
    pub(in crate::runtime) fn detect() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        Self::from_proc(&status, &own)
    }

    fn from_proc(status: &str, own_oom_score_adj: &str) -> Self {
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        let bounding = bounding.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        let may_lower = bounding.is_none_or(|set| set & (1 << CAP_SYS_RESOURCE) != 0);
        let floor = own_oom_score_adj.trim().parse().unwrap_or(0);
        Self { min_oom_score_adj: (!may_lower).then_some(floor) }
    }

    /// The value that may be asked for instead of `wanted`.
    pub(in crate::runtime) fn oom_score_adj(&self, wanted: i64) -> i64 {
        self.min_oom_score_adj.map_or(wanted, |min| wanted.max(min))
    }

    pub(in crate::runtime) fn restrictions(&self) -> Vec<HostRestriction> {
        self.min_oom_score_adj
            .map(|min| HostRestriction {
                reason: "OOMScoreAdjRestricted",
                message: format!(
                    "this host lacks CAP_SYS_RESOURCE: oom_score_adj below {min} is raised to {min}, \
                     and privileged containers may be refused"
                ),
            })
            .into_iter()
            .collect()
    }

    pub(in crate::runtime) fn log(&self) {
        for restriction in self.restrictions() {
            tracing::warn!(reason = restriction.reason, "{}", restriction.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_clamps() {
        let cases = [
            ("CapBnd:\t000001fffeffffff\n", "0\n", -998, 0),
            ("CapBnd:\t000001fffeffffff\n", "-500\n", -998, -500),
            ("CapBnd:\t000001fffeffffff\n", "0\n", 1000, 1000),
            ("CapBnd:\t000001ffffffffff\n", "0\n", -998, -998),
            ("nonsense", "", -998, -998),
        ];
        for (status, own, wanted, expected) in cases {
            assert_eq!(HostLimits::from_proc(status, own).oom_score_adj(wanted), expected, "{status}");
        }
    }
}
