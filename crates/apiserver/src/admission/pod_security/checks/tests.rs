use serde_json::{Value, json};

use super::{super::told, *};

/// What is wrong with a pod by a standard.
fn check(level: Level, minor: u32, spec: &Value, expected: &str) {
    let mut whole = json!({"containers": [{"name": "c"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let annotations: BTreeMap<String, String> = serde_json::from_value(whole["annotations"].take()).unwrap_or_default();
    let spec: PodSpec = serde_json::from_value(whole.clone()).unwrap();
    let standard = Standard { level, version: Version(minor) };
    assert_eq!(told(&violations(standard, &Pod::new(Some(&annotations), &spec))), expected, "{standard} {whole}");
}

fn overlay(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                overlay(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}

fn with(context: Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": context}]})
}

#[test]
fn names_are_there_once_and_in_upstreams_order() {
    for level in [Level::Baseline, Level::Restricted] {
        let names: Vec<&str> = CHECKS.iter().filter(|check| check.level == level).map(|check| check.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}

#[test]
fn the_baseline_refuses_what_gives_a_pod_the_node() {
    let latest = Version::LATEST.0;
    let cases = [
        (json!({}), ""),
        (
            with(json!({"privileged": true})),
            r#"privileged (container "c" must not set securityContext.privileged=true)"#,
        ),
        (
            with(json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "NET_ADMIN"]}})),
            r#"non-default capabilities (container "c" must not include "NET_ADMIN", "SYS_ADMIN" in securityContext.capabilities.add)"#,
        ),
        (json!({"hostNetwork": true, "hostIPC": true}), "host namespaces (hostNetwork=true, hostIPC=true)"),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]}),
            r#"hostPath volumes (volumes "v", "w")"#,
        ),
        (
            json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}],
                   "initContainers": [{"name": "i", "ports": [{"containerPort": 1, "hostPort": 8080}]}]}),
            r#"hostPort (containers "i", "c" use hostPorts 80, 8080)"#,
        ),
        (
            json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 1, "host": "h"}}}]}),
            r#"probe or lifecycle host (container "c" uses probe or lifecycle host "h")"#,
        ),
        (
            with(json!({"procMount": "Unmasked"})),
            r#"procMount (container "c" must not set securityContext.procMount to "Unmasked")"#,
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}}),
            r#"seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)"#,
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            r#"seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}, {"name": "net.ipv4.tcp_rmem", "value": "1"}]}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}},
                   "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}),
            r#"forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/c="unconfined"")"#,
        ),
    ];
    for (spec, expected) in &cases {
        check(Level::Baseline, latest, spec, expected);
        check(Level::Privileged, latest, spec, "");
    }
}

#[test]
fn older_versions_know_less() {
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}});
    check(Level::Baseline, 31, &sysctl, "forbidden sysctls (net.ipv4.tcp_rmem)");
    check(Level::Baseline, 32, &sysctl, "");
    let probe = json!({"containers": [{"name": "c", "startupProbe": {"tcpSocket": {"port": 1, "host": "h"}}}]});
    check(Level::Baseline, 33, &probe, "");
    let engine = with(json!({"seLinuxOptions": {"type": "container_engine_t"}}));
    check(Level::Baseline, 31, &engine, "");
    check(
        Level::Baseline,
        30,
        &engine,
        r#"seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "container_engine_t")"#,
    );
    let annotated = json!({"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}});
    let told = r#"seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")"#;
    check(Level::Baseline, 18, &annotated, told);
    check(Level::Baseline, 19, &annotated, "");
}

#[test]
fn the_restricted_standard_wants_things_said() {
    let latest = Version::LATEST.0;
    check(
        Level::Restricted,
        latest,
        &json!({}),
        r#"allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#,
    );
    let good = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    });
    check(Level::Restricted, latest, &good, "");
    let but = |change: Value, expected: &str| {
        let mut spec = good.clone();
        overlay(&mut spec, &change);
        check(Level::Restricted, latest, &spec, expected);
    };
    but(
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {"server": "s", "path": "/"}}]}),
        r#"restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")"#,
    );
    but(json!({"securityContext": {"runAsUser": 0}}), "runAsUser=0 (pod must not set runAsUser=0)");
    but(json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": false}, "hostUsers": false}), "");
    but(
        json!({"securityContext": {"runAsNonRoot": false}}),
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
    );
    but(
        json!({"containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "procMount": "Unmasked", "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}}], "hostUsers": false}),
        r#"unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add), procMount (container "c" must not set securityContext.procMount to "Unmasked")"#,
    );
    check(
        Level::Restricted,
        7,
        &json!({"os": {"name": "windows"}}),
        r#"runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)"#,
    );
}
