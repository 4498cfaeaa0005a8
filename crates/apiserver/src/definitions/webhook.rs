//! Versions of a custom resource that another server converts into each other, many objects at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    Dynamic, Object, StatusError,
    apiextensions::{CustomResourceConversion, WebhookClientConfig},
    meta::ObjectMeta,
};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::conversion::Side;
use crate::{
    registry::{Conversion, conversion::Objects},
    webhook::{CallError, Place, Server},
};

/// So long a conversion may take; upstream's number.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Versions of `ConversionReview` that are understood; they have the same form.
const UNDERSTOOD: [&str; 2] = ["v1", "v1beta1"];
const GROUP: &str = "apiextensions.k8s.io";

/// What is asked to convert.
pub struct Hook {
    server: Server,
    review_version: String,
}

impl Hook {
    /// What a definition says about its conversion; `None` where nobody is asked.
    pub fn of(
        conversion: Option<&CustomResourceConversion>,
        server: impl FnOnce(Place, Vec<u8>) -> Server,
    ) -> Option<Self> {
        let webhook = conversion.filter(|own| own.strategy == "Webhook")?.webhook.as_ref()?;
        let config = webhook.client_config.as_ref()?;
        let versions = &webhook.conversion_review_versions;
        let review_version = versions.iter().find(|version| UNDERSTOOD.contains(&version.as_str()))?.clone();
        let authorities = config.ca_bundle.as_ref().map(|bundle| bundle.0.clone()).unwrap_or_default();
        Some(Self { server: server(place(config)?, authorities), review_version })
    }

    /// Objects of another version, each for one, in their order. Those that are of it already are left as they are.
    async fn convert(&self, objects: Objects, to: &Side) -> Result<Objects, StatusError> {
        let mut done: BTreeMap<usize, Box<dyn Object>> = BTreeMap::new();
        let mut waiting = Vec::new();
        for (index, object) in objects.into_iter().enumerate() {
            let own: &Dynamic = object.expect_ref("custom resource")?;
            if own.api_version == to.api_version {
                done.insert(index, object);
            } else {
                waiting.push((index, own.clone()));
            }
        }
        if let Some((_, first)) = waiting.first() {
            let kind = format!("{}, Kind={}", first.api_version, first.kind);
            let failed = |why: String| StatusError::unexplained(format!("conversion webhook for {kind} {why}"));
            let sent: Vec<&Dynamic> = waiting.iter().map(|(_, object)| object).collect();
            let converted = self.ask(&sent, to).await.map_err(|why| failed(format!("failed: {why}")))?;
            if converted.len() != waiting.len() {
                return Err(failed(format!("returned {} objects, expected {}", converted.len(), waiting.len())));
            }
            for (place, ((index, before), after)) in waiting.iter().zip(converted).enumerate() {
                let wrong = |why| failed(format!("returned invalid converted object at index {place}: {why}"));
                let mut object = taken(before, after, to).map_err(wrong)?;
                to.schema.prune(&mut object.fields);
                done.insert(*index, Box::new(object));
            }
        }
        Ok(done.into_values().collect())
    }

    async fn ask(&self, objects: &[&Dynamic], to: &Side) -> Result<Vec<Map<String, Value>>, String> {
        let uid = uuid::Uuid::new_v4().to_string();
        let version = format!("{GROUP}/{}", self.review_version);
        let request = json!({
            "kind": "ConversionReview", "apiVersion": version,
            "request": {"uid": uid, "desiredAPIVersion": to.api_version, "objects": objects},
        });
        let answer = self.server.post(request.to_string().into(), TIMEOUT).await;
        let answer = answer.map_err(|CallError { message, .. }| message)?;
        let review: Review = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        if review.kind != "ConversionReview" || review.api_version != version {
            let (kind, version) = (&review.kind, &review.api_version);
            return Err(format!(
                "expected response.kind ConversionReview of the version that was asked, got {kind} of {version:?}"
            ));
        }
        let response = review.response.ok_or("no response provided")?;
        if response.uid != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", response.uid));
        }
        match (response.result.status.as_str(), response.result.message) {
            ("Success", _) => Ok(response.converted_objects),
            (status, None) => Err(format!("response.result.status was '{status}', not 'Success'")),
            (_, Some(message)) => Err(message),
        }
    }
}

fn place(config: &WebhookClientConfig) -> Option<Place> {
    if let Some(service) = &config.service {
        return Some(Place::Service {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: u16::try_from(service.port.unwrap_or(443)).ok()?,
            path: service.path.clone().unwrap_or_default(),
        });
    }
    config.url.clone().map(Place::Url)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    converted_objects: Vec<Map<String, Value>>,
    #[serde(default)]
    result: Outcome,
}

#[derive(Default, Deserialize)]
struct Outcome {
    #[serde(default)]
    status: String,
    message: Option<String>,
}

/// What came back for an object. Of metadata only labels and annotations are taken over.
fn taken(before: &Dynamic, after: Map<String, Value>, to: &Side) -> Result<Dynamic, String> {
    let mut object = Dynamic::from_members(after).map_err(|error| error.to_string())?;
    if object.api_version != to.api_version {
        return Err(format!("invalid groupVersion (expected {}, received {})", to.api_version, object.api_version));
    }
    if object.kind != before.kind {
        return Err(format!("must have the same kind: {}, got: {}", before.kind, object.kind));
    }
    let same = |what: &str, before: &Option<String>, after: &Option<String>| match before == after {
        true => Ok(()),
        false => {
            let text = |name: &Option<String>| name.clone().unwrap_or_default();
            Err(format!("must have the same {what}: {}, got: {}", text(before), text(after)))
        }
    };
    same("name", &before.metadata.name, &object.metadata.name)?;
    same("namespace", &before.metadata.namespace, &object.metadata.namespace)?;
    same("UID", &before.metadata.uid, &object.metadata.uid)?;
    object.metadata = ObjectMeta {
        labels: object.metadata.labels,
        annotations: object.metadata.annotations,
        ..before.metadata.clone()
    };
    Ok(object)
}

/// A version that is served of one that is stored, and perhaps of others that were.
pub struct Converted {
    /// Who converts.
    pub hook: Arc<Hook>,
    /// The version that is served.
    pub served: Side,
    /// The version that is stored.
    pub stored: Side,
}

impl Conversion for Converted {
    fn to_stored(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(self.hook.convert(objects, &self.stored))
    }

    fn to_served(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(self.hook.convert(objects, &self.served))
    }
}
