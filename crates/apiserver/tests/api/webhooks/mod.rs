//! Servers that objects name, and that are asked about requests.

mod client;
mod failing;
mod matching;
mod mutating;
pub mod server;
mod validating;

use serde_json::{Value, json};

/// A configuration of one webhook of this name that wants to be asked about everything in the namespace `default`, and
/// where it is created; `more` goes into the webhook.
fn configuration(kind: &str, name: &str, client: &Value, more: &Value) -> (&'static str, Value) {
    let path = match kind {
        "Validating" => "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        _ => "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    };
    let mut hook = json!({
        "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": client,
        "timeoutSeconds": 30,
        "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "scope": "Namespaced"}],
        // What the server does on its own does not wait for tests.
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
    });
    hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (path, json!({"metadata": {"name": name}, "webhooks": [hook]}))
}
