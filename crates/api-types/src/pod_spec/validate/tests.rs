use serde_json::{Value, json};

use crate::{Kind, core::Pod};

fn errors(spec: Value) -> Vec<String> {
    let mut pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
    pod.set_defaults();
    pod.validate().iter().map(ToString::to_string).collect()
}

/// A pod with one container that has these fields.
fn container(mut fields: Value) -> Value {
    let own = fields.as_object_mut().unwrap();
    own.entry("name").or_insert(json!("c"));
    own.entry("image").or_insert(json!("i"));
    json!({"containers": [fields]})
}

/// A pod with a good container and these fields.
fn pod(mut fields: Value) -> Value {
    fields["containers"] = json!([{"name": "c", "image": "i"}]);
    fields
}

#[test]
fn good_pods_are_accepted() {
    let full = json!({
        "containers": [{
            "name": "c", "image": "i",
            "ports": [{"name": "http", "containerPort": 80}],
            "env": [
                {"name": "A", "value": "b"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}}},
                {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "P_"}],
            "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
            "livenessProbe": {"httpGet": {"port": "http"}},
            "readinessProbe": {"tcpSocket": {"port": 80}},
            "startupProbe": {"exec": {"command": ["true"]}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
            "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}},
            "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
        }],
        "initContainers": [{"name": "i", "image": "i"}, {"name": "s", "image": "i", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": 1}}}],
        "volumes": [
            {"name": "v"}, {"name": "h", "hostPath": {"path": "/"}}, {"name": "s", "secret": {"secretName": "s"}},
            {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}},
        ],
        "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "nodeSelector": {"a": "b"}, "restartPolicy": "OnFailure", "hostname": "h", "dnsPolicy": "Default",
    });
    assert_eq!(errors(full), Vec::<String>::new());
    assert_eq!(errors(pod(json!({"hostNetwork": true}))), Vec::<String>::new());
}

fn contains(spec: Value, expected: &[&str]) {
    let found = errors(spec);
    for message in expected {
        assert!(found.iter().any(|error| error == message), "no {message:?} in {found:#?}");
    }
}

#[test]
fn mistakes_in_containers_are_told() {
    let cases = [
        (json!({"containers": []}), vec!["spec.containers: Required value"]),
        (
            json!({"containers": [{}]}),
            vec!["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "c", "image": " i"}]}),
            vec![
                r#"spec.initContainers[0].name: Duplicate value: "c""#,
                r#"spec.initContainers[0].image: Invalid value: " i": must not have leading or trailing whitespace"#,
            ],
        ),
        (
            container(json!({"imagePullPolicy": "Maybe"})),
            vec![
                r#"spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", "IfNotPresent", "Never""#,
            ],
        ),
        (
            container(
                json!({"ports": [{}, {"containerPort": 70000}, {"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]}),
            ),
            vec![
                "spec.containers[0].ports[0].containerPort: Required value",
                "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                r#"spec.containers[0].ports[3].hostPort: Duplicate value: "TCP//1""#,
            ],
        ),
    ];
    for (spec, expected) in cases {
        contains(spec, &expected);
    }
}

#[test]
fn mistakes_within_containers_are_told() {
    let cases = [
        (
            container(
                json!({"env": [{"name": ""}, {"name": "A", "valueFrom": {}}, {"name": "B", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            vec![
                "spec.containers[0].env[0].name: Required value",
                r#"spec.containers[0].env[1].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"#,
                r#"spec.containers[0].env[2].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#,
            ],
        ),
        (
            container(json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]})),
            vec![
                r#"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x"#,
            ],
        ),
        (
            container(json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "", "mountPath": "/a"}]})),
            vec![
                r#"spec.containers[0].volumeMounts[0].name: Not found: "v""#,
                "spec.containers[0].volumeMounts[1].name: Required value",
                r#"spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique"#,
            ],
        ),
        (
            container(
                json!({"livenessProbe": {"successThreshold": 2}, "readinessProbe": {"exec": {}, "tcpSocket": {"port": 1}}}),
            ),
            vec![
                "spec.containers[0].livenessProbe: Required value: must specify a handler type",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
                "spec.containers[0].readinessProbe.exec.command: Required value",
                "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            ],
        ),
        (
            container(
                json!({"resources": {"requests": {"cpu": "2", "memory": "x"}, "limits": {"cpu": "1000m", "own": "-1"}}}),
            ),
            vec![
                r#"spec.containers[0].resources.limits[own]: Invalid value: "own": must be a standard resource type or fully qualified"#,
                r#"spec.containers[0].resources.limits[own]: Invalid value: "own": must be a standard resource for containers"#,
                r#"spec.containers[0].resources.limits[own]: Invalid value: "-1": must be greater than or equal to 0"#,
                r#"spec.containers[0].resources.requests[memory]: Invalid value: "x": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#,
            ],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]}),
            vec![
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
    ];
    for (spec, expected) in cases {
        contains(spec, &expected);
    }
}

#[test]
fn a_request_is_within_its_limit() {
    assert_eq!(
        errors(container(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}))),
        [r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#]
    );
}

#[test]
fn mistakes_in_the_pod_are_told() {
    let cases = [
        (
            json!({"restartPolicy": "Sometimes"}),
            vec![
                r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure""#,
            ],
        ),
        (
            json!({"dnsPolicy": "X"}),
            vec![
                r#"spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None""#,
            ],
        ),
        (
            json!({"dnsPolicy": "None"}),
            vec!["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            vec!["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            json!({"volumes": [{"name": "a"}, {"name": "a", "emptyDir": {}, "secret": {"secretName": "s", "defaultMode": 1000}}, {"hostPath": {"path": "/../a"}}]}),
            vec![
                "spec.volumes[1].secret: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[1].secret.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive",
                r#"spec.volumes[1].name: Duplicate value: "a""#,
                r#"spec.volumes[2].hostPath.path: Invalid value: "/../a": must not contain '..'"#,
                "spec.volumes[2].name: Required value",
            ],
        ),
        (
            json!({"tolerations": [{"value": "a"}, {"key": "a", "operator": "Exists", "effect": "Never"}]}),
            vec![
                r#"spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys""#,
                r#"spec.tolerations[1].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule""#,
            ],
        ),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}),
            vec![
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
            ],
        ),
        (
            json!({"securityContext": {"runAsUser": -1}}),
            vec!["spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 4294967295, inclusive"],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(errors(pod(spec)), expected);
    }
}

#[test]
fn on_the_nodes_network_ports_are_the_nodes() {
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]}]});
    assert_eq!(
        errors(spec),
        [
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
        ]
    );
}
