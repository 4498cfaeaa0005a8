//! Every kind of the table, each by a small object of its own.

use std::time::Duration;

use api_types::Resource;
use apiserver::resources;
use serde_json::{Value, json};

use crate::client::Api;

/// A small object of a kind, without its metadata.
fn manifest(kind: &str) -> Option<Value> {
    let rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]});
    let service = json!({"service": {"name": "a", "port": {"number": 80}}});
    let claim = json!({"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "gpu"}}]}});
    Some(match kind {
        "APIService" => {
            json!({"spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}})
        }
        "CustomResourceDefinition" => json!({"spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        }}),
        "DeviceClass" => json!({"spec": {"selectors": [{"cel": {"expression": "true"}}]}}),
        "FlowSchema" => json!({"spec": {"priorityLevelConfiguration": {"name": "global-default"}}}),
        "IPAddress" => json!({"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "s"}}}),
        "Ingress" => json!({"spec": {"defaultBackend": service}}),
        "IngressClass" => json!({"spec": {"controller": "example.com/a"}}),
        "MutatingAdmissionPolicy" => json!({"spec": {
            "matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/spec/a'}]"}}],
        }}),
        "MutatingAdmissionPolicyBinding" => json!({"spec": {"policyName": "p"}}),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => json!({"webhooks": [{
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule],
            "clientConfig": {"url": "https://example.com"},
        }]}),
        "PriorityLevelConfiguration" => {
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}})
        }
        "ResourceClaim" => json!({"spec": claim}),
        "ResourceClaimTemplate" => json!({"spec": {"spec": claim}}),
        "ResourceSlice" => json!({"spec": {
            "driver": "gpu.example.com", "nodeName": "a",
            "pool": {"name": "a", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "a"}}}],
        }}),
        "ValidatingAdmissionPolicy" => json!({"spec": {
            "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}],
        }}),
        "ValidatingAdmissionPolicyBinding" => json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}}),
        "NetworkPolicy" => json!({"spec": {"podSelector": {}}}),
        "ServiceCIDR" => json!({"spec": {"cidrs": ["10.1.0.0/24"]}}),
        _ => return None,
    })
}

fn root(row: &Resource) -> String {
    let root = if row.group.is_empty() { "/api" } else { "/apis" };
    let namespace = if row.namespaced() { "/namespaces/default" } else { "" };
    format!("{root}/{}{namespace}/{}", row.api_version(), row.plural)
}

/// What an object of a kind may be called.
fn name(row: &Resource) -> &'static str {
    match &*row.kind {
        "APIService" => "v1.a.b",
        "CustomResourceDefinition" => "widgets.example.com",
        "IPAddress" => "10.0.0.77",
        _ => "thing",
    }
}

#[tokio::test]
async fn a_small_object_of_each_kind_lives() {
    let api = Api::start().await;
    for row in resources::rows() {
        // What comes of a definition is written into it at once; it has tests of its own.
        let kept = row.kind != "CustomResourceDefinition";
        let Some(mut object) = manifest(&row.kind).filter(|_| kept) else { continue };
        object["apiVersion"] = row.api_version().into();
        object["kind"] = (*row.kind).into();
        object["metadata"] = json!({"name": name(&row)});
        live(&api, &root(&row), &object).await;
    }
}

async fn live(api: &Api, list: &str, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("{list}/{name}");
    let strict = format!("{list}?fieldValidation=Strict");
    let mut created = api.post(&strict, object).await.ok();
    if object["kind"] == "ValidatingAdmissionPolicy" {
        created = looked_at(api, list).await;
    }
    assert_eq!(api.get(&path).await.ok(), created, "{path}");
    let mut changed = created.clone();
    changed["metadata"]["labels"]["a"] = "b".into();
    assert_eq!(api.put(&path, &changed).await.ok()["metadata"]["labels"]["a"], "b", "{path}");
    let patched = api.merge(&path, &json!({"metadata": {"annotations": {"c": "d"}}})).await.ok();
    assert_eq!(patched["metadata"]["annotations"]["c"], "d", "{path}");
    assert_eq!(patched["spec"], created["spec"], "{path}");
    let apply = format!("{path}?fieldManager=other");
    // Not the whole object: what is owned as one and has got defaults meanwhile is another's.
    let mut applied = json!({"metadata": {"name": name, "labels": {"e": "f"}}});
    for field in ["apiVersion", "kind"] {
        applied[field] = object[field].clone();
    }
    let applied = api.patch(&apply, "application/apply-patch+yaml", &applied).await.ok();
    assert_eq!(applied["metadata"]["labels"], json!({"a": "b", "e": "f"}), "{path}");
    let table = api.accept(list, "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    let rows = table["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["cells"].as_array().unwrap().len() == columns), "{path}");
    assert!(rows.iter().any(|row| row["object"]["metadata"]["name"] == name), "{path}");
    api.delete(&path).await.ok();
    assert_eq!(api.get(&path).await.code, 404, "{path}");
}

/// The only policy there is, when the server has written its status.
async fn looked_at(api: &Api, list: &str) -> Value {
    let mut watch = api.watch(&format!("{list}?watch=1")).await;
    loop {
        let object = watch.next().await.unwrap()["object"].take();
        if object["status"]["observedGeneration"] == object["metadata"]["generation"] {
            return object;
        }
    }
}

/// Where upstream's filled objects are, if they are there.
fn reference() -> Option<std::path::PathBuf> {
    let beside = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let named = std::env::var_os("FERROKUBE_REFERENCE").map(std::path::PathBuf::from);
    let demanded = named.is_some();
    let path = named.unwrap_or(beside).join("objects");
    if path.is_dir() {
        return Some(path);
    }
    assert!(!demanded, "{} is no folder", path.display());
    eprintln!("SKIPPED: no {}; FERROKUBE_REFERENCE can name its folder", path.display());
    None
}

/// An object with every field filled, mostly with nonsense, is understood: it is created, or it is invalid.
#[tokio::test]
async fn every_field_of_every_kind_is_known() {
    let Some(objects) = reference() else { return };
    let api = Api::start().await;
    for row in resources::rows() {
        if !row.verbs.contains(&"create") || row.verbs.len() == 1 {
            continue;
        }
        let group = if row.group.is_empty() { "core" } else { &row.group };
        let file = objects.join(format!("{group}.{}.{}.json", row.version, row.kind));
        // These have no filled object.
        if ["CustomResourceDefinition", "APIService"].contains(&&*row.kind) {
            continue;
        }
        let mut object: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        // What a new object may not have.
        object["metadata"] = json!({"name": name(&row)});
        let answer = api.post(&format!("{}?fieldValidation=Strict", root(&row)), &object).await;
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!([201, 403, 422].contains(&answer.code), "{}: {} {text}", row.kind, answer.code);
    }
}

#[tokio::test]
async fn the_range_of_cluster_ips_is_an_object() {
    let api = Api::start_with(&["--service-cluster-ip-range=10.7.0.0/24"]).await;
    let range = api.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.ok();
    assert_eq!(range["spec"]["cidrs"], json!(["10.7.0.0/24"]));
    assert_eq!(range["status"]["conditions"][0]["type"], "Ready");
}

/// A request that is signed with the key it is about.
fn request() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    STANDARD.encode(pem)
}

#[tokio::test]
async fn a_certificate_is_requested_approved_and_issued() {
    let api = Api::start().await;
    let list = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "a"},
        "spec": {
            "request": request(), "signerName": "example.com/a", "usages": ["client auth"],
            "username": "somebody else", "groups": ["x"], "extra": {"a": ["b"]},
        },
        "status": {"conditions": [{"type": "Approved", "status": "True"}]},
    });
    let created = api.post(list, &object).await.ok();
    assert_ne!(created["spec"]["username"], "somebody else");
    assert!(created["spec"]["groups"].as_array().unwrap().contains(&json!("system:masters")), "{created}");
    assert!(created["spec"]["extra"].is_null() && created["status"]["conditions"].is_null(), "{created}");

    let path = format!("{list}/a");
    let other = json!({"spec": {"signerName": "example.com/b"}, "status": {"certificate": "YQ=="}});
    assert_eq!(api.merge(&path, &other).await.ok()["spec"]["signerName"], "example.com/a");
    let approval = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r"}]}});
    let refused = api.merge(&format!("{path}/status"), &approval).await.failure();
    assert_eq!(refused.0, 422);
    assert!(refused.2.ends_with(r#"updates may not add a condition of type "Approved""#), "{}", refused.2);
    let approved = api.merge(&format!("{path}/approval"), &approval).await.ok();
    let condition = &approved["status"]["conditions"][0];
    assert_eq!(condition["reason"], "r");
    assert!(condition["lastUpdateTime"].is_string() && condition["lastTransitionTime"].is_string(), "{condition}");
    let removed = api.merge(&format!("{path}/approval"), &json!({"status": {"conditions": null}})).await.failure();
    assert!(removed.2.contains("updates may not remove a condition"), "{}", removed.2);

    let selected = format!("{list}?fieldSelector=spec.signerName%3Dexample.com/a");
    assert_eq!(api.get(&selected).await.ok()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_served_is_listed_as_api_services() {
    let api = Api::start().await;
    let list = "/apis/apiregistration.k8s.io/v1/apiservices";
    let core = api.get(&format!("{list}/v1.")).await.ok();
    assert_eq!((&core["spec"]["groupPriorityMinimum"], &core["spec"]["versionPriority"]), (&json!(18_000), &json!(1)));
    let apps = api.get(&format!("{list}/v1.apps")).await.ok();
    let condition = &apps["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"], &condition["reason"]),
        (&json!("Available"), &json!("True"), &json!("Local"))
    );
    assert_eq!(api.get(&format!("{list}/v1.apiregistration.k8s.io")).await.code, 404);
}

#[tokio::test]
async fn built_in_flow_control_is_there_and_partly_fixed() {
    let api = Api::start().await;
    let root = "/apis/flowcontrol.apiserver.k8s.io/v1";
    assert_eq!(
        api.get(&format!("{root}/prioritylevelconfigurations")).await.ok()["items"].as_array().unwrap().len(),
        8
    );
    let schemas = api.get(&format!("{root}/flowschemas")).await.ok();
    let schemas = schemas["items"].as_array().unwrap();
    assert_eq!(schemas.len(), 13);
    assert!(schemas.iter().all(|schema| schema["status"]["conditions"][0]["type"] == "Dangling"));
    let path = format!("{root}/flowschemas/exempt");
    let refused = api.merge(&path, &json!({"spec": {"matchingPrecedence": 3}})).await.failure();
    assert!(refused.2.contains("spec of 'exempt' must equal the fixed value"), "{}", refused.2);
}

/// What an object becomes, as soon as it is so.
async fn becomes(api: &Api, path: &str, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2000 {
        let reply = api.get(path).await;
        if reply.code == 200 && so(&reply.json()) {
            return reply.json();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{path} does not become what it should");
}

#[tokio::test]
async fn built_in_flow_control_comes_back() {
    let api = Api::start().await;
    let root = "/apis/flowcontrol.apiserver.k8s.io/v1";
    for name in ["flowschemas/exempt", "flowschemas/probes", "prioritylevelconfigurations/catch-all"] {
        let path = format!("{root}/{name}");
        let before = api.get(&path).await.ok();
        api.delete(&path).await.ok();
        let after = becomes(&api, &path, |after| after["metadata"]["uid"] != before["metadata"]["uid"]).await;
        assert_eq!(after["spec"], before["spec"]);
    }
    becomes(&api, &format!("{root}/flowschemas/exempt"), |schema| {
        schema["status"]["conditions"][0]["reason"] == "Found"
    })
    .await;
    let path = format!("{root}/flowschemas/service-accounts");
    let before = api.get(&path).await.ok();
    let change = json!({"spec": {"matchingPrecedence": 77}});
    api.merge(&path, &change).await.ok();
    becomes(&api, &path, |schema| schema["spec"] == before["spec"]).await;
    let annotation = "apf.kubernetes.io/autoupdate-spec";
    api.merge(&path, &json!({"metadata": {"annotations": {annotation: "false"}}, "spec": change["spec"]})).await.ok();
    // Something that does come back, later.
    let level = format!("{root}/prioritylevelconfigurations/exempt");
    let shares = json!({"spec": {"exempt": {"nominalConcurrencyShares": 3}}, "metadata": {"annotations": null}});
    api.merge(&level, &shares).await.ok();
    let level = becomes(&api, &level, |level| level["metadata"]["annotations"][annotation] == "true").await;
    assert_eq!(level["spec"]["exempt"]["nominalConcurrencyShares"], 3, "how much it lends is free");
    assert_eq!(api.get(&path).await.ok()["spec"]["matchingPrecedence"], 77, "somebody wants it so");
}

#[tokio::test]
async fn namespaces_of_every_cluster_come_back() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/kube-node-lease";
    let before = api.delete(path).await.ok();
    let mut finalized = before.clone();
    finalized["spec"]["finalizers"] = json!([]);
    api.put(&format!("{path}/finalize"), &finalized).await.ok();
    becomes(&api, path, |after| after["metadata"]["uid"] != before["metadata"]["uid"]).await;
}

#[tokio::test]
async fn a_definition_remembers_where_it_stored() {
    let api = Api::start().await;
    let list = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut definition = manifest("CustomResourceDefinition").unwrap();
    definition["apiVersion"] = "apiextensions.k8s.io/v1".into();
    definition["kind"] = "CustomResourceDefinition".into();
    definition["metadata"] = json!({"name": "widgets.example.com"});
    let created = crate::definitions::define(&api, &definition).await;
    assert_eq!(created["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(
        (&created["spec"]["names"]["listKind"], &created["metadata"]["generation"]),
        (&json!("WidgetList"), &json!(1))
    );
    let mut second = created["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    let mut changed = created.clone();
    changed["spec"]["versions"][0]["storage"] = false.into();
    changed["spec"]["versions"].as_array_mut().unwrap().push(second);
    let path = format!("{list}/widgets.example.com");
    let updated = api.put(&path, &changed).await.ok();
    assert_eq!(updated["status"]["storedVersions"], json!(["v1", "v2"]));
    changed["metadata"]["resourceVersion"] = "".into();
    assert_eq!(api.put(&path, &changed).await.code, 422, "updates name a version");
}
