use serde_json::{Value, json};

use crate::{Kind, core::Pod};

fn defaulted(spec: Value) -> Value {
    let mut pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
    pod.set_defaults();
    serde_json::to_value(&pod).unwrap()["spec"].take()
}

#[test]
fn a_plain_pod_gets_upstreams_defaults() {
    assert_eq!(
        defaulted(
            json!({"containers": [{"name": "c", "image": "nginx:1"}], "nodeName": "", "serviceAccountName": "sa"})
        ),
        json!({
            "containers": [{
                "name": "c", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "serviceAccount": "sa",
            "serviceAccountName": "sa", "terminationGracePeriodSeconds": 30,
        })
    );
}

#[test]
fn fields_of_containers_are_defaulted() {
    let cases = [
        ("ports", json!([{"containerPort": 80}]), json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}])),
        (
            "resources",
            json!({"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": "0.1"}}),
            json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}}),
        ),
        (
            "livenessProbe",
            json!({"httpGet": {"port": 80}}),
            json!({
                "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3,
            }),
        ),
        (
            "readinessProbe",
            json!({"grpc": {"port": 80}, "periodSeconds": 2}),
            json!({
                "grpc": {"port": 80, "service": ""}, "timeoutSeconds": 1, "periodSeconds": 2,
                "successThreshold": 1, "failureThreshold": 3,
            }),
        ),
        (
            "lifecycle",
            json!({"preStop": {"httpGet": {"port": 80}}}),
            json!({"preStop": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}}}),
        ),
        (
            "env",
            json!([
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ]),
            json!([
                {"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"divisor": "0", "resource": "limits.cpu"}}},
            ]),
        ),
    ];
    for (field, given, expected) in cases {
        let spec = json!({"hostNetwork": true, "containers": [{"name": "c", field: given}]});
        assert_eq!(defaulted(spec)["containers"][0][field], expected);
    }
}

#[test]
fn volumes_are_defaulted() {
    let cases = [
        (json!({}), json!({"emptyDir": {}})),
        (json!({"emptyDir": {"sizeLimit": "1024Mi"}}), json!({"emptyDir": {"sizeLimit": "1Gi"}})),
        (json!({"hostPath": {"path": "/a"}}), json!({"hostPath": {"path": "/a", "type": ""}})),
        (json!({"secret": {"secretName": "s"}}), json!({"secret": {"secretName": "s", "defaultMode": 420}})),
        (json!({"configMap": {"name": "m"}}), json!({"configMap": {"name": "m", "defaultMode": 420}})),
        (
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}], "defaultMode": 420}}),
        ),
        (
            json!({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
            json!({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}], "defaultMode": 420}}),
        ),
    ];
    for (mut given, mut expected) in cases {
        given["name"] = json!("v");
        expected["name"] = json!("v");
        assert_eq!(defaulted(json!({"containers": [], "volumes": [given]}))["volumes"], json!([expected]));
    }
}

#[test]
fn a_pod_limited_as_a_whole_asks_for_what_its_containers_ask_for() {
    let requests = |containers: Value, resources: Value| {
        defaulted(json!({"containers": containers, "resources": resources}))["resources"]["requests"].take()
    };
    let asking = json!({"name": "c", "resources": {"requests": {"cpu": "500m", "hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "2Mi"}}});
    let limits = json!({"limits": {"cpu": "4", "memory": "1Gi"}});
    let both = json!([asking, asking]);
    assert_eq!(requests(both.clone(), limits.clone()), json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(requests(json!([{"name": "c"}]), limits), json!({"cpu": "4", "memory": "1Gi"}));
    let own = json!({"limits": {"cpu": "4"}, "requests": {"cpu": "2"}});
    assert_eq!(requests(both.clone(), own), json!({"cpu": "2"}));
    assert_eq!(requests(both, json!({"requests": {"memory": "1Gi"}})), json!({"memory": "1Gi"}));
}
