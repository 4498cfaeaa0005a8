//! What Go's encoder makes of objects is told by upstream's test data and by what its server answers.

use serde_json::{Value, json};

use crate::{Resource, rows, schema};

fn written(row: &Resource, sent: &Value) -> Value {
    row.ops.decode(sent.to_string().as_bytes()).unwrap().to_value()
}

#[test]
fn structures_are_always_there() {
    let pod = json!({"spec": {"containers": [{"name": "a"}]}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "a", "ready": false, "restartCount": 0, "image": "", "imageID": ""}],
    }});
    let container = json!({
        "name": "a", "state": {}, "lastState": {}, "ready": false, "restartCount": 0, "image": "", "imageID": "",
    });
    assert_eq!(
        written(&rows::PODS, &pod),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {},
            "spec": {"containers": [{"name": "a", "resources": {}}]},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}],
                "containerStatuses": [container],
            },
        })
    );
    let deployment = json!({"spec": {"selector": {}, "template": {"spec": {"containers": []}}}});
    assert_eq!(
        written(&rows::DEPLOYMENTS, &deployment),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "status": {},
            "spec": {"selector": {}, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": null}}},
        })
    );
}

#[test]
fn what_has_no_omitempty_is_always_there() {
    let slice = json!({"addressType": "IPv4", "endpoints": [], "metadata": {"labels": {}, "finalizers": []}});
    assert_eq!(
        written(&rows::ENDPOINT_SLICES, &slice),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {}, "addressType": "IPv4",
            "endpoints": null, "ports": null,
        })
    );
    let event = written(&rows::CORE_EVENTS, &json!({"metadata": {}, "involvedObject": {}}));
    assert_eq!(
        event,
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {}, "involvedObject": {}, "source": {},
            "firstTimestamp": null, "lastTimestamp": null, "eventTime": null,
            "reportingComponent": "", "reportingInstance": "",
        })
    );
    let node = written(&rows::NODES, &json!({}));
    assert_eq!(node["status"]["daemonEndpoints"], json!({"kubeletEndpoint": {"Port": 0}}));
    assert_eq!(node["status"]["nodeInfo"]["kernelVersion"], "");
    assert_eq!(written(&rows::LEASES, &json!({}))["spec"], json!({}));
}

#[test]
fn fields_that_are_always_written_fit_into_the_writers_bits() {
    for schema in schema::types() {
        assert!(schema.always().len() <= 64, "{}", schema.full_name());
        assert!(schema.always().iter().all(|field| serde_json::from_str::<Value>(&field.zero).is_ok()));
    }
}
