//! Roles and bindings: who may what, who may give it away, and what every cluster has.

use std::time::Duration;

use apiserver::bootstrap;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, Reply};

const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";
const RBAC: &[&str] = &["--authorization-mode=RBAC"];

/// Somebody who is not in `system:masters`.
pub struct Person<'a> {
    pub api: &'a Api,
    pub name: &'a str,
    pub groups: &'a [&'a str],
}

impl Person<'_> {
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let media_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        self.typed(method, path, media_type, body).await
    }

    pub async fn typed(&self, method: Method, path: &str, media_type: &str, body: &Value) -> Reply {
        let mut headers = vec![("impersonate-user", self.name), ("content-type", media_type)];
        headers.extend(self.groups.iter().map(|group| ("impersonate-group", *group)));
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.api.raw(method, path, &headers, body).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &Value::Null).await
    }

    /// What comes of it once what was granted or taken is known everywhere.
    pub async fn code_becomes(&self, path: &str, code: u16) -> Reply {
        for _ in 0..1000 {
            let reply = self.get(path).await;
            if reply.code == code {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{path} does not become {code}");
    }
}

fn person<'a>(api: &'a Api, name: &'a str) -> Person<'a> {
    Person { api, name, groups: &[] }
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(kind: &str, name: &str, role: (&str, &str), subjects: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": subjects,
    })
}

fn user(name: &str) -> Value {
    json!([{"kind": "User", "name": name}])
}

#[tokio::test]
async fn who_is_bound_may_and_others_may_not() {
    let api = Api::start_with(RBAC).await;
    let ann = person(&api, "ann");
    let pods = "/api/v1/namespaces/default/pods";
    let refused = ann.get(pods).await.failure();
    let message =
        r#"pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default""#;
    assert_eq!(refused, (403, "Forbidden".into(), message.into()));
    let nowhere = ann.get("/api/v1/namespaces/default/pods/none").await.failure();
    assert_eq!(nowhere.0, 403, "whether it exists is not told");

    let bindings = format!("{GROUP}/namespaces/default/rolebindings");
    api.post(&bindings, &binding("RoleBinding", "readers", ("ClusterRole", "reader"), &user("ann"))).await.ok();
    let missing = ann.code_becomes(pods, 403).await;
    let mut seen = missing.failure().2;
    for _ in 0..1000 {
        if seen.contains("RBAC") {
            break;
        }
        seen = ann.get(pods).await.failure().2;
    }
    assert_eq!(seen, format!(r#"{message}: RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found"#));

    let rules = json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]);
    api.post(&format!("{GROUP}/clusterroles"), &role("ClusterRole", "reader", &rules)).await.ok();
    ann.code_becomes(pods, 200).await;
    assert_eq!(ann.get("/api/v1/namespaces/kube-system/pods").await.code, 403);
    assert_eq!(ann.get("/api/v1/pods").await.failure().2.split(" at ").last(), Some("the cluster scope"));
    assert_eq!(ann.get("/api/v1/namespaces/default/pods/none").await.code, 404);
    assert_eq!(ann.send(Method::DELETE, &format!("{pods}/none"), &Value::Null).await.code, 403);

    api.delete(&format!("{bindings}/readers")).await.ok();
    ann.code_becomes(pods, 403).await;
    assert_eq!(ann.get("/metrics").await.failure().2, r#"forbidden: User "ann" cannot get path "/metrics""#);
    assert_eq!(ann.get("/api").await.code, 200, "discovery is everybody's who is known");
    assert_eq!(ann.get("/version").await.code, 200);
}

#[tokio::test]
async fn reasons_are_told_to_who_asks() {
    let api = Api::start_with(RBAC).await;
    let spec = json!({"user": "system:kube-scheduler", "resourceAttributes": {"verb": "list", "resource": "pods"}});
    let asked = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
    let answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &asked).await.ok();
    let reason = r#"RBAC: allowed by ClusterRoleBinding "system:kube-scheduler" of ClusterRole "system:kube-scheduler" to User "system:kube-scheduler""#;
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));

    let asked = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let status = person(&api, "ann").send(Method::POST, path, &asked).await.ok()["status"].clone();
    assert_eq!(status["incomplete"], false);
    let own = json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]});
    assert!(status["resourceRules"].as_array().unwrap().contains(&own), "{status}");
    let public =
        json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]});
    assert!(status["nonResourceRules"].as_array().unwrap().contains(&public), "{status}");
}

#[tokio::test]
async fn nobody_gives_away_what_they_do_not_have() {
    let api = Api::start_with(RBAC).await;
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "get", "update", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]);
    api.post(&format!("{GROUP}/clusterroles"), &role("ClusterRole", "maker", &rules)).await.ok();
    let bindings = format!("{GROUP}/clusterrolebindings");
    api.post(&bindings, &binding("ClusterRoleBinding", "maker", ("ClusterRole", "maker"), &user("ann"))).await.ok();
    let ann = person(&api, "ann");
    ann.code_becomes(&format!("{GROUP}/clusterroles/maker"), 200).await;

    let roles = format!("{GROUP}/namespaces/default/roles");
    let pods = |verbs: &[&str]| json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]);
    let more = role("Role", "more", &pods(&["get", "delete", "watch"]));
    let refused = ann.send(Method::POST, &roles, &more).await.failure();
    let message = "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"ann\" (groups=[\"system:authenticated\"]) \
        is attempting to grant RBAC permissions not currently held:\n\
        {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"watch\"]}";
    assert_eq!(refused, (403, "Forbidden".into(), message.into()));
    ann.send(Method::POST, &roles, &role("Role", "more", &pods(&["get"]))).await.ok();
    let widened = json!({"rules": pods(&["get", "create"])});
    assert_eq!(ann.send(Method::PATCH, &format!("{roles}/more"), &widened).await.code, 403);
    let many: Vec<String> = (0..320).map(|i| format!("x{i}")).collect();
    let product = json!([{"apiGroups": many, "resources": many, "verbs": ["get"]}]);
    let refused = ann.send(Method::POST, &roles, &role("Role", "product", &product)).await.failure();
    assert_eq!(refused.0, 403);
    assert!(refused.2.contains("more than 100000 single permissions"), "{}", refused.2);
    let owned = json!({"metadata": {"finalizers": ["example.com/own"]}});
    ann.send(Method::PATCH, &format!("{GROUP}/clusterroles/cluster-admin"), &owned).await.ok();

    let gathers = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{}]}});
    let refused = ann.send(Method::POST, &format!("{GROUP}/clusterroles"), &gathers).await.failure().2;
    assert!(refused.ends_with("must have cluster-admin privileges to use the aggregationRule"), "{refused}");

    let make = async |name: &str, role: &str| {
        let path = format!("{GROUP}/namespaces/default/rolebindings");
        let bound = binding("RoleBinding", name, ("ClusterRole", role), &user("eve"));
        ann.send(Method::POST, &path, &bound).await
    };
    assert!(make("a", "cluster-admin").await.failure().2.contains("{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"));
    let absent = make("a", "gone").await.failure();
    let message = r#"clusterroles.rbac.authorization.k8s.io "gone" not found"#;
    assert_eq!(absent, (404, "NotFound".into(), message.into()));
    make("a", "maker").await.ok();
    let may = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"],
        "resourceNames": ["view"]}]);
    api.post(&format!("{GROUP}/clusterroles"), &role("ClusterRole", "binder", &may)).await.ok();
    api.post(&bindings, &binding("ClusterRoleBinding", "binder", ("ClusterRole", "binder"), &user("ann"))).await.ok();
    let mut made = make("b", "view").await;
    for _ in 0..1000 {
        if made.code == 201 {
            break;
        }
        made = make("b", "view").await;
    }
    made.ok();
    assert_eq!(make("c", "admin").await.code, 201, "a role without rules gives nothing");
}

#[tokio::test]
async fn the_role_of_a_binding_stays() {
    let api = Api::start().await;
    let path = format!("{GROUP}/clusterrolebindings");
    api.post(&path, &binding("ClusterRoleBinding", "b", ("ClusterRole", "view"), &user("ann"))).await.ok();
    let other = binding("ClusterRoleBinding", "b", ("ClusterRole", "edit"), &user("ann"));
    let refused = api.put(&format!("{path}/b"), &other).await.failure();
    let message = r#"ClusterRoleBinding.rbac.authorization.k8s.io "b" is invalid: roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole","Name":"edit"}: cannot change roleRef"#;
    assert_eq!(refused, (422, "Invalid".into(), message.into()));
}

#[tokio::test]
async fn what_every_cluster_has_is_put_right() {
    let api = Api::start_with(RBAC).await;
    assert!(
        String::from_utf8_lossy(&api.get("/readyz?verbose").await.bytes)
            .contains("[+]poststarthook/rbac/bootstrap-roles ok")
    );
    let names = async |path: &str| api.get(&format!("{GROUP}/{path}")).await.ok()["items"].as_array().unwrap().len();
    assert_eq!((names("clusterroles").await, names("clusterrolebindings").await), (71, 51));
    assert_eq!((names("roles").await, names("rolebindings").await), (7, 7));

    let path = |name: &str| format!("{GROUP}/clusterroles/{name}");
    let before = api.get(&path("system:basic-user")).await.ok();
    let own = json!({"apiGroups": ["x"], "resources": ["y"], "verbs": ["z"]});
    api.merge(&path("system:basic-user"), &json!({"metadata": {"labels": null}, "rules": [own]})).await.ok();
    api.merge(
        &path("system:discovery"),
        &json!({"metadata": {"annotations":
        {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []}),
    )
    .await
    .ok();
    api.delete(&path("view")).await.ok();
    let bound = format!("{GROUP}/clusterrolebindings/system:basic-user");
    api.delete(&bound).await.ok();
    let other = binding("ClusterRoleBinding", "system:basic-user", ("ClusterRole", "view"), &user("ann"));
    api.post(&format!("{GROUP}/clusterrolebindings"), &other).await.ok();
    let untouched = api.get(&path("system:node")).await.ok();

    let registry = api.server.registry();
    let (one, two) = tokio::join!(bootstrap::rbac::reconcile(registry), bootstrap::rbac::reconcile(registry));
    one.and(two).unwrap();

    let after = api.get(&path("system:basic-user")).await.ok();
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert_eq!(after["rules"][0], own, "what somebody added stays");
    assert_eq!(after["rules"].as_array().unwrap().len(), 4, "what was taken is back, broken down");
    assert_eq!(api.get(&path("system:discovery")).await.ok()["rules"], Value::Null);
    assert!(api.get(&path("view")).await.ok()["aggregationRule"].is_object());
    assert_eq!(api.get(&bound).await.ok()["roleRef"]["name"], "system:basic-user");
    assert_eq!(api.get(&path("system:node")).await.ok(), untouched, "what is right is not written");
}

#[tokio::test]
async fn who_changes_may_not_create_and_who_reads_may_not_run() {
    let api = Api::start_with(RBAC).await;
    let rules = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update", "patch"]},
        {"apiGroups": [""], "resources": ["pods/exec", "pods/log"], "verbs": ["get"]},
    ]);
    let path = format!("{GROUP}/namespaces/default");
    api.post(&format!("{path}/roles"), &role("Role", "changer", &rules)).await.ok();
    api.post(&format!("{path}/rolebindings"), &binding("RoleBinding", "b", ("Role", "changer"), &user("ann")))
        .await
        .ok();
    let ann = person(&api, "ann");
    ann.code_becomes("/api/v1/namespaces/default/pods/none/log", 404).await;

    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let refused = ann.send(Method::PUT, path, &lease).await.failure();
    assert_eq!(refused, (403, "Forbidden".into(), r#"leases.coordination.k8s.io "l" is forbidden: "#.into()));
    let apply = format!("{path}?fieldManager=m");
    assert_eq!(ann.typed(Method::PATCH, &apply, "application/apply-patch+yaml", &lease).await.code, 403);
    assert_eq!(ann.send(Method::PATCH, path, &json!({})).await.code, 404, "a patch creates nothing");
    api.put(path, &lease).await.ok();
    ann.typed(Method::PATCH, &apply, "application/apply-patch+yaml", &lease).await.ok();

    let refused = ann.get("/api/v1/namespaces/default/pods/none/exec?command=id").await.failure();
    assert_eq!(refused, (403, "Forbidden".into(), r#"pods "none" is forbidden: "#.into()));
}
