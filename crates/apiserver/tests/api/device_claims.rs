//! Claims of devices: what they may ask for where, and who may say what became of them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::{client::Api, rbac::Person};

const GROUP: &str = "/apis/resource.k8s.io/v1/namespaces/default";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn claim(name: &str, admin: Value) -> Value {
    let exactly = json!({"deviceClassName": "c", "allocationMode": "All", "adminAccess": admin});
    let requests = json!([{"name": "plain", "exactly": {"deviceClassName": "c"}}, {"name": "r", "exactly": exactly}]);
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name},
        "spec": {"devices": {"requests": requests}}})
}

fn template(name: &str, admin: Value) -> Value {
    let spec = claim(name, admin)["spec"].clone();
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": name},
        "spec": {"spec": spec}})
}

fn result(device: &str, admin: Value) -> Value {
    json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": device, "adminAccess": admin})
}

fn allocation(results: Value) -> Value {
    json!({"status": {"allocation": {"devices": {"results": results}}}})
}

const WHY: &str = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";

#[tokio::test]
async fn other_peoples_devices_are_for_namespaces_that_say_so() {
    let api = Api::start().await;
    let (claims, templates) = (format!("{GROUP}/resourceclaims"), format!("{GROUP}/resourceclaimtemplates"));
    let spec = "spec.devices.requests[1].adminAccess: Forbidden";
    for (list, object, kind) in [
        (&claims, claim("a", json!(true)), "ResourceClaim"),
        (&templates, template("a", json!(true)), "ResourceClaimTemplate"),
    ] {
        let (code, _, message) = api.post(list, &object).await.failure();
        assert_eq!((code, message), (422, format!(r#"{kind}.resource.k8s.io "a" is invalid: {spec}: {WHY}"#)));
    }
    api.post(&claims, &claim("plain", json!(false))).await.ok();
    let status = format!("{claims}/plain/status");
    let granted = allocation(json!([result("x", json!(true))]));
    let (code, _, message) = api.merge(&status, &granted).await.failure();
    let place = "status.allocation.devices.results[0].adminAccess: Forbidden";
    assert_eq!((code, message), (422, format!(r#"ResourceClaim.resource.k8s.io "plain" is invalid: {place}: {WHY}"#)));

    let labels = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    api.merge("/api/v1/namespaces/default", &labels).await.ok();
    api.post(&claims, &claim("a", json!(true))).await.ok();
    api.post(&templates, &template("a", json!(true))).await.ok();
    api.merge(&status, &granted).await.ok();
}

async fn grant(api: &Api, name: &str, rules: Value) {
    api.post(&format!("{RBAC}/clusterroles"), &json!({"metadata": {"name": name}, "rules": rules})).await.ok();
    let role = json!({"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"});
    let subjects = json!([{"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]);
    let binding = json!({"metadata": {"name": name}, "roleRef": role, "subjects": subjects});
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
}

/// What comes of it once what was granted is known.
async fn once_granted(person: &Person<'_>, path: &str, body: &Value) -> (u16, String) {
    for _ in 0..1000 {
        let reply = person.send(Method::PATCH, path, body).await;
        match reply.code {
            200 => return (200, String::new()),
            403 => tokio::time::sleep(Duration::from_millis(5)).await,
            code => return (code, reply.failure().2),
        }
    }
    panic!("what was granted stays refused");
}

#[tokio::test]
async fn who_writes_a_claims_status_needs_more_than_that() {
    let api = Api::start_with(&["--authorization-mode=RBAC"]).await;
    let claims = format!("{GROUP}/resourceclaims");
    api.post(&claims, &claim("a", json!(false))).await.ok();
    let rule = |resource: &str, verbs: &[&str]| json!({"apiGroups": ["resource.k8s.io"], "resources": [format!("resourceclaims/{resource}")], "verbs": verbs});
    grant(&api, "writers", json!([rule("status", &["patch"])])).await;
    grant(&api, "binders", json!([rule("binding", &["patch"])])).await;
    grant(&api, "drivers", json!([rule("driver", &["arbitrary-node:patch"])])).await;
    let person = |groups: &'static [&'static str]| Person { api: &api, name: "ann", groups };
    let status = format!("{claims}/a/status");
    let allocated = allocation(json!([result("x", Value::Null)]));
    let (code, message) = once_granted(&person(&["writers"]), &status, &allocated).await;
    assert_eq!(code, 422);
    let expected = r#"ResourceClaim.resource.k8s.io "a" is invalid: status: Forbidden: changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="patch" permission: resourceclaims.resource.k8s.io is forbidden: User "ann" cannot patch resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope"#;
    assert_eq!(message, expected);
    assert_eq!(once_granted(&person(&["writers", "binders"]), &status, &allocated).await.0, 200);

    let device = json!({"driver": "d.example.com", "pool": "p", "device": "x", "data": {"a": 1}});
    let told = json!({"status": {"devices": [device]}});
    let (code, message) = once_granted(&person(&["writers", "binders"]), &status, &told).await;
    assert_eq!(code, 422);
    let expected = r#"ResourceClaim.resource.k8s.io "a" is invalid: status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", verb="[arbitrary-node:patch]" permission: resourceclaims.resource.k8s.io "d.example.com" is forbidden: User "ann" cannot arbitrary-node:patch resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace "default""#;
    assert_eq!(message, expected);
    assert_eq!(once_granted(&person(&["writers", "drivers"]), &status, &told).await.0, 200);
}
