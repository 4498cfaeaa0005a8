//! Which kernel parameters a pod may set.

use api_types::core::Pod;

use crate::pod::PodExt;
use crate::status::Reason;

/// Upstream's list of those that disturb nobody else.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Namespace that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
}

/// Beginnings of parameters that a namespace has for itself.
const NAMESPACED: [(&str, Namespace); 5] = [
    ("kernel.sem", Namespace::Ipc),
    ("kernel.shm", Namespace::Ipc),
    ("kernel.msg", Namespace::Ipc),
    ("fs.mqueue.", Namespace::Ipc),
    ("net.", Namespace::Net),
];

fn namespace(name: &str) -> Option<Namespace> {
    NAMESPACED.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, namespace)| *namespace)
}

/// The name with dots between its parts: slashes do as well, and then dots are part of them.
#[must_use]
pub fn normal(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name[first..].starts_with('/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Refuses a pod that sets what it may not; `allowed` are further names, or beginnings followed by `*`.
///
/// # Errors
/// Upstream's reason and message.
pub fn check(pod: &Pod, allowed: &[String]) -> Result<(), Reason> {
    let spec = pod.pod_spec();
    let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_deref()).unwrap_or_default();
    for sysctl in sysctls {
        let name = normal(&sysctl.name);
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(&normal(beginning)),
            None => name == normal(pattern),
        };
        let why = if !SAFE.contains(&name.as_str()) && !allowed.iter().any(matches) {
            "not allowlisted"
        } else {
            match namespace(&name) {
                Some(Namespace::Net) if pod.host_network() => "not allowed with host net enabled",
                Some(Namespace::Ipc) if spec.host_ipc == Some(true) => "not allowed with host ipc enabled",
                _ => continue,
            }
        };
        return Err(Reason::new("SysctlForbidden", format!("Pod was rejected: forbidden sysctl: {name:?} {why}")));
    }
    Ok(())
}

/// Whether a pattern of `--allowed-unsafe-sysctls` is about parameters that a pod can have for itself.
///
/// # Errors
/// That it is not, in words.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    let name = normal(pattern.strip_suffix('*').unwrap_or(pattern));
    match namespace(&name) {
        Some(_) if !name.contains('*') => Ok(()),
        _ => Err(format!("--allowed-unsafe-sysctls: {pattern:?} is no namespaced sysctl, or not known to be one")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_what_disturbs_nobody_else_is_set() {
        let none = json!({});
        let cases: [(&str, Value, Option<&str>); 9] = [
            ("kernel.shm_rmid_forced", none.clone(), None),
            ("net/ipv4/tcp_syncookies", none.clone(), None),
            ("kernel.msgmax", none.clone(), Some("\"kernel.msgmax\" not allowlisted")),
            ("vm.swappiness", none.clone(), Some("\"vm.swappiness\" not allowlisted")),
            ("net.core.somaxconn", none.clone(), None),
            ("net.core", none.clone(), Some("\"net.core\" not allowlisted")),
            ("kernel.sem", none, None),
            ("net.ipv4.tcp_rmem", json!({"hostNetwork": true}), Some("not allowed with host net enabled")),
            ("kernel.sem", json!({"hostIPC": true}), Some("not allowed with host ipc enabled")),
        ];
        let allowed = ["net.core.*".to_owned(), "kernel.sem".to_owned()];
        for (name, mut spec, expected) in cases {
            spec["securityContext"] = json!({"sysctls": [{"name": name, "value": "1"}]});
            spec["containers"] = json!([]);
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let got = check(&pod, &allowed).err();
            assert_eq!(got.is_some(), expected.is_some(), "{name}");
            if let (Some(got), Some(expected)) = (got, expected) {
                assert_eq!(got.reason, "SysctlForbidden");
                assert!(got.message.ends_with(expected), "{}", got.message);
            }
        }
    }

    #[test]
    fn patterns_are_about_namespaces() {
        for (pattern, expected) in [
            ("net.*", true),
            ("kernel.msg*", true),
            ("kernel/sem", true),
            ("vm.swappiness", false),
            ("*", false),
            ("", false),
            ("net.*.x", false),
        ] {
            assert_eq!(check_pattern(pattern).is_ok(), expected, "{pattern}");
        }
    }
}
