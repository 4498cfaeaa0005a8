//! What `kube-public/cluster-info` tells is signed with every token that signs: a detached JWS each (RFC 7515, appendix F).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    core::{ConfigMap, Secret},
    jiff::Timestamp,
};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use component::{
    api::Api,
    informer::{Informer, ObjectKey, Scope},
    queue::{Outcome, WorkQueue},
};
use kube::Client;

use super::token::{Life, life, signing};
use crate::{context::Context, controllers::Run, write};

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
/// What is signed.
const CONTENT: &str = "kubeconfig";
/// Where the signatures are, by the tokens' ids.
const SIGNATURE: &str = "jws-kubeconfig-";

struct Controller {
    client: Client,
    secrets: Informer<Secret>,
    /// Only this one.
    config_maps: Informer<ConfigMap>,
}

/// The signer.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let scope = Scope {
        namespace: Some(NAMESPACE.to_owned()),
        field_selector: Some(format!("metadata.name={NAME}")),
        ..Scope::default()
    };
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        secrets: super::secrets(),
        config_maps: Informer::new(&(), &scope),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.secrets.on_event(move |_| keys.add(ObjectKey::new(NAMESPACE, NAME)));
    let keys = Arc::clone(&queue);
    controller.config_maps.on_event(move |_| keys.add(ObjectKey::new(NAMESPACE, NAME)));
    controller.secrets.start(context.client.clone(), &context.daemon);
    controller.config_maps.start(context.client.clone(), &context.daemon);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "bootstrapsigner", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> kube::Result<Outcome> {
        self.secrets.synced().await;
        self.config_maps.synced().await;
        let Some(info) = self.config_maps.store().get(key) else { return Ok(Outcome::Done) };
        let plan = plan(&info, &self.secrets.store().list(), Timestamp::now());
        if let Some(signed) = &plan.signed {
            let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
            config_maps.replace(NAME, &write::post_params(), signed).await?;
        }
        Ok(plan.again.map_or(Outcome::Done, Outcome::RequeueAfter))
    }
}

/// What is to be done.
struct Plan {
    /// What is told, with its signatures, when these have changed.
    signed: Option<ConfigMap>,
    /// When the first of the tokens ends.
    again: Option<Duration>,
}

fn plan(info: &ConfigMap, secrets: &[Arc<Secret>], now: Timestamp) -> Plan {
    let data = info.data.as_ref();
    let Some(content) = data.and_then(|data| data.get(CONTENT)) else { return Plan { signed: None, again: None } };
    let mut signed = data.cloned().unwrap_or_default();
    signed.retain(|key, _| !key.starts_with(SIGNATURE));
    let mut again = None;
    // In the order of ids, which are names of secrets, too.
    let tokens: BTreeMap<&str, (&[u8], Life)> = secrets
        .iter()
        .filter_map(|secret| signing(secret).map(|(id, key)| (id, (key, life(secret, now)))))
        .filter(|(_, (_, life))| *life > Life::Over)
        .collect();
    for (id, (key, life)) in tokens {
        if let Life::Left(left) = life {
            again = Some(again.map_or(left, |earlier: Duration| earlier.min(left)));
        }
        signed.insert(format!("{SIGNATURE}{id}"), detached_signature(content, id, key));
    }
    let changed = data != Some(&signed);
    Plan { signed: changed.then(|| ConfigMap { data: Some(signed), ..info.clone() }), again }
}

/// A compact JWS by HMAC with SHA-256, without what it signs.
fn detached_signature(content: &str, id: &str, key: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let payload = URL_SAFE_NO_PAD.encode(content);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, format!("{header}.{payload}").as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::token::tests::secret, *};

    #[test]
    fn signatures_are_those_of_upstream() {
        let content = "Hello from the other side. I must have called a thousand times.";
        let expected = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert_eq!(detached_signature(content, "joshua", b"my voice is my passcode"), expected);
    }

    #[test]
    fn what_is_told_is_signed_with_each_token_that_is_good() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let info = |data: serde_json::Value| -> ConfigMap { serde_json::from_value(json!({"data": data})).unwrap() };
        let told = info(json!({"kubeconfig": "text", "jws-kubeconfig-gone00": "old", "other": "stays"}));
        let good = Arc::new(secret(&[]));
        let done = plan(&told, &[Arc::clone(&good)], now);
        assert_eq!(done.again, Some(Duration::from_secs(10)));
        let signed = done.signed.unwrap();
        let keys: Vec<&str> = signed.data.as_ref().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["jws-kubeconfig-abc123", "kubeconfig", "other"]);
        assert!(plan(&signed, &[good], now).signed.is_none(), "nothing is written twice");
        let unsigned = plan(&signed, &[Arc::new(secret(&[("expiration", "2026-01-01T00:00:00Z")]))], now);
        assert_eq!(unsigned.signed.unwrap().data.unwrap().len(), 2);
        assert!(plan(&info(json!({"other": "x"})), &[Arc::new(secret(&[]))], now).signed.is_none());
    }
}
