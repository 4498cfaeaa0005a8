use serde_json::{Value, json};

use crate::{Kind, core::Pod, field::Path};

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
            vec!["spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
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

#[test]
fn rarer_fields_are_checked() {
    let user = "spec.securityContext.runAsUser: Invalid value: 2147483648: must be between 0 and 2147483647, inclusive";
    let context = |fields: Value| pod(json!({"securityContext": fields}));
    let own = |fields: Value| container(json!({"securityContext": fields}));
    let mount = |mut fields: Value| {
        fields["name"] = json!("v");
        fields["mountPath"] = json!("/v");
        json!({"containers": [{"name": "c", "image": "i", "volumeMounts": [fields]}], "volumes": [{"name": "v"}]})
    };
    let spread = |mut fields: Value| {
        let constraint = fields.as_object_mut().unwrap();
        constraint.insert("maxSkew".into(), json!(1));
        constraint.insert("topologyKey".into(), json!("z"));
        constraint.entry("whenUnsatisfiable").or_insert(json!("DoNotSchedule"));
        pod(json!({"topologySpreadConstraints": [fields]}))
    };
    let divisor = |resource: &str, divisor: &str| {
        let reference = json!({"resource": resource, "divisor": divisor});
        container(json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": reference}}]}))
    };
    let huge = |amount: &str| json!({"limits": {"hugepages-2Mi": amount, "cpu": "1"}, "requests": {}});
    let cases = [
        (context(json!({"runAsUser": 2_147_483_648_i64})), vec![user]),
        (
            pod(
                json!({"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"], "searches": ["a_b.", "-"], "options": [{}]}}),
            ),
            vec![
                "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\"]: must not have more than 3 nameservers",
                "spec.dnsConfig.searches[1]: Invalid value: \"-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.dnsConfig.options[0]: Required value: must not be empty",
            ],
        ),
        (
            pod(
                json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.a", "value": "1"}, {"name": "A", "value": ""}, {"name": "a", "value": ""}, {"name": "a", "value": ""}]}}),
            ),
            vec![
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true",
                "spec.securityContext.sysctls[1].name: Invalid value: \"A\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
                "spec.securityContext.sysctls[3].name: Duplicate value: \"a\"",
            ],
        ),
        (
            context(
                json!({"supplementalGroupsPolicy": "x", "seLinuxChangePolicy": "x", "appArmorProfile": {"type": ""}}),
            ),
            vec![
                "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"x\": supported values: \"Merge\", \"Strict\"",
                "spec.securityContext.seLinuxChangePolicy: Unsupported value: \"x\": supported values: \"MountOption\", \"Recursive\"",
                "spec.securityContext.appArmorProfile.type: Required value: type is required when appArmorProfile is set",
            ],
        ),
        (
            own(json!({"procMount": "Unmasked", "appArmorProfile": {"type": "Localhost"}})),
            vec![
                "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
                "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
            ],
        ),
        (
            pod(json!({"hostNetwork": true, "hostUsers": false})),
            vec!["spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"],
        ),
        (
            own(json!({"windowsOptions": {"hostProcess": true, "runAsUserName": ""}})),
            vec![
                "spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: \"\": runAsUserName cannot be an empty string",
                "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
            ],
        ),
        (
            json!({"os": {"name": "windows"}, "containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}),
            vec!["spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod"],
        ),
        (
            mount(json!({"recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"})),
            vec![
                "spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
                "spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
            ],
        ),
        (
            spread(
                json!({"minDomains": 0, "whenUnsatisfiable": "ScheduleAnyway", "nodeTaintsPolicy": "x", "matchLabelKeys": ["a"]}),
            ),
            vec![
                "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                "spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"x\": supported values: \"Honor\", \"Ignore\"",
                "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
            ],
        ),
        (divisor("limits.cpu", "1m"), vec![]),
        (
            divisor("limits.cpu", "2"),
            vec![
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            container(
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "status.podIP"}}}]}),
            ),
            vec![
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"status.podIP\": error converting fieldPath: unsupported pod version: v2",
            ],
        ),
        (container(json!({"resources": huge("4Mi")})), vec![]),
        (
            container(json!({"resources": huge("3Mi")})),
            vec![
                "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
            ],
        ),
        (
            container(json!({"resources": {"claims": [{"name": "x"}]}})),
            vec![
                "spec.containers[0].resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty",
            ],
        ),
        (
            container(json!({"resizePolicy": [{"resourceName": "gpu", "restartPolicy": "NotRequired"}]})),
            vec!["spec.containers[0].resizePolicy: Unsupported value: \"gpu\": supported values: \"cpu\", \"memory\""],
        ),
        (
            container(json!({"restartPolicyRules": [{"action": "Restart"}]})),
            vec![
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            ],
        ),
        (
            container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}})),
            vec![
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            pod(json!({"volumes": [{"name": "v", "ephemeral": {}}]})),
            vec!["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"],
        ),
        (
            pod(
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s", "items": [{"key": "k", "path": "t"}]}}]}}]}),
            ),
            vec!["spec.volumes[0].projected: Invalid value: \"s\": conflicting duplicate paths"],
        ),
        (
            pod(json!({"ephemeralContainers": [{"name": "e", "image": "i"}]})),
            vec!["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            pod(json!({"nodeName": "n", "schedulingGates": [{"name": "g"}]})),
            vec!["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            pod(
                json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}]}}}}),
            ),
            vec![
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
        (pod(json!({"terminationGracePeriodSeconds": -1})), vec![]),
    ];
    for (spec, expected) in cases {
        assert_eq!(errors(spec.clone()), expected, "{spec}");
    }
}

#[test]
fn long_lists_are_looked_through_once() {
    // Each against each would take minutes.
    const MANY: usize = 60_000;
    let names = || (0..MANY).map(|n| format!("v{n}"));
    let mounts: Vec<Value> = names().map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
    let volumes: Vec<Value> = names().map(|name| json!({"name": name, "emptyDir": {}})).collect();
    let debuggers = names().map(|name| json!({"name": name, "image": "i", "targetContainerName": "c59999"}));
    let containers = (0..MANY).map(|n| json!({"name": format!("c{n}"), "image": "i"}));
    for spec in [
        json!({"containers": [{"name": "c", "image": "i", "volumeMounts": mounts}], "volumes": volumes}),
        json!({"containers": Value::from_iter(containers), "ephemeralContainers": Value::from_iter(debuggers)}),
    ] {
        let mut pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        pod.set_defaults();
        assert!(super::validate(&Path::new("spec"), &pod.spec.unwrap()).is_empty());
    }
}
