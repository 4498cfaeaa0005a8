//! Metrics as the APIs for them tell them.

use std::time::Duration;

use api_types::{
    autoscaling_v2::CrossVersionObjectReference,
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
    quantity::{Quantity, Wire},
    selector::label::Selector,
};
use component::flags::duration;
use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};

use super::readings::{PodMetric, PodMetrics};
use crate::{
    scalable::{Place, Resources},
    write,
};

const CUSTOM: &str = "custom.metrics.k8s.io";
/// A metric that does not say over which time it was measured.
const USUAL_WINDOW: Duration = Duration::from_secs(60);

/// Reads metrics.
pub(super) struct Sources<'a> {
    pub client: &'a Client,
    pub resources: &'a Resources,
    pub namespace: &'a str,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct OfPod {
    metadata: ObjectMeta,
    timestamp: Option<Time>,
    #[serde(default)]
    window: String,
    #[serde(default)]
    containers: Vec<OfContainer>,
}

#[derive(Deserialize)]
struct OfContainer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    usage: std::collections::BTreeMap<String, Wire>,
}

/// A value of `custom.metrics.k8s.io`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Custom {
    described_object: Described,
    timestamp: Option<Time>,
    window_seconds: Option<u64>,
    value: Wire,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    name: String,
}

/// A value of `external.metrics.k8s.io`.
#[derive(Deserialize)]
struct External {
    value: Wire,
}

fn milli(wire: &Wire) -> i64 {
    Quantity::try_from(wire).map_or(0, |quantity| quantity.milli_value())
}

fn time(time: Option<Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

impl Sources<'_> {
    /// What pods use of a resource, or one of their containers does.
    pub(super) async fn of_resource(
        &self,
        resource: &str,
        container: &str,
        pods: &Selector,
    ) -> Result<PodMetrics, String> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace);
        let list: List<OfPod> = self
            .get(&path, &[("labelSelector", &pods.to_string())], "get pods.metrics.k8s.io")
            .await
            .map_err(|error| format!("unable to fetch metrics from resource metrics API: {error}"))?;
        if list.items.is_empty() {
            return Err("no metrics returned from resource metrics API".to_owned());
        }
        let mut metrics = PodMetrics::new();
        for pod in list.items {
            let value = if container.is_empty() { pod.sum(resource) } else { pod.of_container(resource, container)? };
            if let Some(value) = value {
                let window = duration(&pod.window).unwrap_or(USUAL_WINDOW);
                let metric = PodMetric { time: time(pod.timestamp), window, value };
                metrics.insert(pod.metadata.name.unwrap_or_default(), metric);
            }
        }
        Ok(metrics)
    }

    /// A metric that pods have.
    pub(super) async fn of_pods(&self, metric: &str, pods: &Selector, of: &Selector) -> Result<PodMetrics, String> {
        let query = [("labelSelector", pods.to_string()), ("metricLabelSelector", of.to_string())];
        let list = self.custom(&format!("namespaces/{}/pods/*", self.namespace), metric, &query).await?;
        let each = list.into_iter().map(|value| {
            let window = value.window_seconds.map_or(USUAL_WINDOW, Duration::from_secs);
            let metric = PodMetric { time: time(value.timestamp), window, value: milli(&value.value) };
            (value.described_object.name, metric)
        });
        Ok(each.collect())
    }

    /// A metric that an object has, in thousandths.
    pub(super) async fn of_object(
        &self,
        object: &CrossVersionObjectReference,
        metric: &str,
        of: &Selector,
    ) -> Result<i64, String> {
        let group = object.api_version.as_deref().and_then(|version| version.split_once('/')).map_or("", |(g, _)| g);
        let place = if group.is_empty() && object.kind == "Namespace" {
            format!("namespaces/{}/metrics", self.namespace)
        } else {
            let resource = self.resources.of_kind(Place::Group(group.to_owned()), &object.kind).await;
            let resource = resource.map_err(|error| format!("unable to map kind {}: {error}", object.kind))?;
            format!("namespaces/{}/{}/{}", self.namespace, resource.group_resource(), segment(&object.name)?)
        };
        let list = self.custom(&place, metric, &[("metricLabelSelector", of.to_string())]).await?;
        match list.as_slice() {
            [value] => Ok(milli(&value.value)),
            _ => Err(format!(
                "unable to fetch metrics from custom metrics API: the custom metrics API server returned {} results when we asked for exactly one",
                list.len()
            )),
        }
    }

    /// A metric of something outside, summed over all that are selected, in thousandths.
    pub(super) async fn external(&self, metric: &str, of: &Selector) -> Result<i64, String> {
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{}", self.namespace, segment(metric)?);
        let list: List<External> = self
            .get(&path, &[("labelSelector", &of.to_string())], &format!("get {metric}.external.metrics.k8s.io"))
            .await
            .map_err(|error| format!("unable to fetch metrics from external metrics API: {error}"))?;
        if list.items.is_empty() {
            return Err("no metrics returned from external metrics API".to_owned());
        }
        Ok(list.items.iter().fold(0, |sum, value| sum.saturating_add(milli(&value.value))))
    }

    async fn custom(&self, place: &str, metric: &str, query: &[(&str, String)]) -> Result<Vec<Custom>, String> {
        let failed = |error: String| format!("unable to fetch metrics from custom metrics API: {error}");
        let versions = self.resources.versions(CUSTOM).await.map_err(|error| failed(error.to_string()))?;
        let version = versions.first().ok_or_else(|| failed(format!("no custom metrics API ({CUSTOM}) registered")))?;
        let path = format!("/apis/{version}/{place}/{}", segment(metric)?);
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let what = format!("get {}.{CUSTOM} {metric}", place.rsplit('/').nth(1).unwrap_or_default());
        let list: List<Custom> = self.get(&path, &query, &what).await.map_err(failed)?;
        if list.items.is_empty() {
            return Err("no metrics returned from custom metrics API".to_owned());
        }
        Ok(list.items)
    }

    /// What the server answers; a refusal in its words, or in those of upstream's client where it has none.
    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], what: &str) -> Result<T, String> {
        let query: Vec<String> = query
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        let request = http::Request::get(uri).body(Vec::new()).map_err(|error| error.to_string())?;
        self.client.request(request).await.map_err(|error| match write::code(&error) {
            Some(404) if is_wordless(&error) => format!("the server could not find the requested resource ({what})"),
            Some(503) if is_wordless(&error) => {
                format!("the server is currently unable to handle the request ({what})")
            }
            _ => write::message(&error),
        })
    }
}

/// Whether the answer was no status.
fn is_wordless(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.details.is_none())
}

impl OfPod {
    /// Of all containers; `None` unless all tell.
    fn sum(&self, resource: &str) -> Option<i64> {
        let each = self.containers.iter().map(|container| container.usage.get(resource).map(milli));
        each.reduce(|sum, value| Some(sum?.saturating_add(value?))).flatten()
    }

    fn of_container(&self, resource: &str, name: &str) -> Result<Option<i64>, String> {
        let found = self.containers.iter().find(|container| container.name == name);
        let container = found.ok_or_else(|| {
            let (pod, namespace) = (self.metadata.name.as_deref(), self.metadata.namespace.as_deref());
            let (pod, namespace) = (pod.unwrap_or_default(), namespace.unwrap_or_default());
            format!("container {name} not present in metrics for pod {namespace}/{pod}")
        })?;
        Ok(container.usage.get(resource).map(milli))
    }
}

/// A text as one segment of a path.
fn segment(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err(format!("{text:?} is not a name")),
        text => Ok(escaped(text)),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_summed_when_all_tell() {
        let pod = |containers: serde_json::Value| -> OfPod {
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "containers": containers}))
                .unwrap()
        };
        let one = json!({"name": "a", "usage": {"cpu": "100m", "memory": "1Ki"}});
        let two = json!({"name": "b", "usage": {"cpu": "1500000n"}});
        assert_eq!(pod(json!([one, two])).sum("cpu"), Some(102));
        assert_eq!(pod(json!([one, two])).sum("memory"), None);
        assert_eq!(pod(json!([])).sum("cpu"), None);
        assert_eq!(pod(json!([one])).of_container("memory", "a"), Ok(Some(1_024_000)));
        let error = "container c not present in metrics for pod n/p".to_owned();
        assert_eq!(pod(json!([one])).of_container("cpu", "c"), Err(error));
    }

    #[test]
    fn names_stay_in_their_segment() {
        assert_eq!(segment("a/../b?c=d e"), Ok("a%2F..%2Fb%3Fc%3Dd%20e".to_owned()));
        assert!(segment("..").is_err());
    }
}
