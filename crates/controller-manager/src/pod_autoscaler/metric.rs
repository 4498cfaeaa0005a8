//! One metric of an autoscaler: read, and made a number of replicas.

use std::collections::BTreeMap;

use api_types::{
    autoscaling_v2::{
        ContainerResourceMetricStatus, ExternalMetricSource, ExternalMetricStatus, MetricIdentifier, MetricSpec,
        MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricSource,
        PodsMetricStatus, ResourceMetricStatus,
    },
    meta::LabelSelector,
    quantity::{Quantity, Wire},
    selector::label::Selector,
};

use super::{
    readings::{self, Basis, Proposal},
    sources::Sources,
};

/// What a metric asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Computed {
    pub replicas: i32,
    /// As reasons for scaling name it.
    pub name: String,
    pub status: MetricStatus,
}

/// Why a metric says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Of the condition and the event.
    pub reason: &'static str,
    /// What an event says.
    pub error: String,
    /// The same, with the metric's name before it.
    pub named: String,
    /// Whether the spec makes no sense, so that it is nobody else's fault.
    pub of_spec: bool,
}

/// Where a metric is read, and what it is held against.
pub(super) struct Asking<'a> {
    pub sources: Sources<'a>,
    pub basis: Basis<'a>,
    /// The target's pods.
    pub selector: &'a Selector,
}

const NO_TARGET: &str =
    "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set";
const NO_OBJECT_TARGET: &str =
    "invalid object metric source: neither a value target nor an average value target was set";
const NO_EXTERNAL_TARGET: &str =
    "invalid external metric source: neither a value target nor an average value target was set";

impl Asking<'_> {
    /// What a metric asks for.
    pub(super) async fn compute(&self, spec: &MetricSpec) -> Result<Computed, Failure> {
        match spec.type_.as_str() {
            "Object" => self.object(spec.object.as_ref()).await,
            "Pods" => self.pods(spec.pods.as_ref()).await,
            "Resource" => {
                let Some(source) = &spec.resource else { return Err(unknown(&spec.type_)) };
                self.resource(&source.name, &source.target).await
            }
            "ContainerResource" => {
                let Some(source) = &spec.container_resource else { return Err(unknown(&spec.type_)) };
                self.container_resource(&source.name, &source.container, &source.target).await
            }
            "External" => self.external(spec.external.as_ref()).await,
            other => Err(unknown(other)),
        }
    }

    async fn resource(&self, name: &str, target: &MetricTarget) -> Result<Computed, Failure> {
        let usage = self.usage(name, "", target).await.map_err(|error| Failure {
            reason: "FailedGetResourceMetric",
            named: format!("failed to get {name} resource metric value: {error}"),
            error,
            of_spec: false,
        })?;
        let status = ResourceMetricStatus { name: name.to_owned(), current: current(&usage) };
        let of = if usage.utilization.is_some() { "resource utilization (percentage of request)" } else { "resource" };
        Ok(Computed {
            replicas: usage.replicas,
            name: format!("{name} {of}"),
            status: MetricStatus { resource: Some(status), ..kind("Resource") },
        })
    }

    async fn container_resource(
        &self,
        name: &str,
        container: &str,
        target: &MetricTarget,
    ) -> Result<Computed, Failure> {
        let usage = self.usage(name, container, target).await.map_err(|error| Failure {
            reason: "FailedGetContainerResourceMetric",
            named: format!("failed to get {container} container metric value: {error}"),
            error,
            of_spec: false,
        })?;
        let status = ContainerResourceMetricStatus {
            name: name.to_owned(),
            container: container.to_owned(),
            current: current(&usage),
        };
        let of = match usage.utilization {
            Some(_) => "container resource utilization (percentage of request)",
            None => "resource",
        };
        Ok(Computed {
            replicas: usage.replicas,
            name: format!("{name} {of}"),
            status: MetricStatus { container_resource: Some(status), ..kind("ContainerResource") },
        })
    }

    /// Of a resource that pods use, or one of their containers when it is named.
    async fn usage(&self, resource: &str, container: &str, target: &MetricTarget) -> Result<Proposal, String> {
        let read = async || {
            let read = self.sources.of_resource(resource, container, self.selector).await;
            read.map_err(|error| format!("unable to get metrics for resource {resource}: {error}"))
        };
        if let Some(average) = target.average_value.as_ref().map(milli) {
            let proposal = match read().await {
                Ok(metrics) => readings::by_average(&self.basis, metrics, resource, average),
                Err(error) => Err(error),
            };
            return proposal.map_err(|error| format!("failed to get {resource} usage: {error}"));
        }
        let Some(percent) = target.average_utilization else { return Err(NO_TARGET.to_owned()) };
        let proposal = match read().await {
            Ok(metrics) => readings::by_utilization(&self.basis, metrics, (resource, container), percent),
            Err(error) => Err(error),
        };
        proposal.map_err(|error| format!("failed to get {resource} utilization: {error}"))
    }

    async fn pods(&self, source: Option<&PodsMetricSource>) -> Result<Computed, Failure> {
        let Some(source) = source else { return Err(unknown("Pods")) };
        let name = &source.metric.name;
        let proposal = async {
            let of = of(&source.metric)?;
            let metrics = self.sources.of_pods(name, self.selector, &of).await;
            let metrics = metrics.map_err(|error| format!("unable to get metric {name}: {error}"))?;
            let target = source.target.average_value.as_ref().map_or(0, milli);
            readings::by_average(&self.basis, metrics, "", target)
        };
        let proposal = proposal.await.map_err(|error| Failure {
            reason: "FailedGetPodsMetric",
            named: format!("failed to get pods metric value: {error}"),
            error,
            of_spec: false,
        })?;
        let status = PodsMetricStatus { metric: source.metric.clone(), current: current(&proposal) };
        Ok(Computed {
            replicas: proposal.replicas,
            name: format!("pods metric {name}"),
            status: MetricStatus { pods: Some(status), ..kind("Pods") },
        })
    }

    async fn object(&self, source: Option<&ObjectMetricSource>) -> Result<Computed, Failure> {
        let Some(source) = source else { return Err(unknown("Object")) };
        let (name, object) = (&source.metric.name, &source.described_object);
        let failure = |error: String, within: &str| Failure {
            reason: "FailedGetObjectMetric",
            named: format!("failed to get object metric value: {within}{error}"),
            error,
            of_spec: false,
        };
        let target = Share::of(&source.target, &source.target.type_);
        let within = match target {
            Some(Share::Each(_)) => format!("failed to get {name} object metric: "),
            _ => String::new(),
        };
        let proposal = async {
            let target = target.ok_or_else(|| NO_OBJECT_TARGET.to_owned())?;
            let of = of(&source.metric)?;
            // Upstream's words, in upstream's order.
            let unknown = |error| {
                let (kind, namespace) = (&object.kind, self.sources.namespace);
                format!("unable to get metric {name}: {kind} on {namespace} {}/{error}", object.name)
            };
            let value = self.sources.of_object(object, name, &of).await.map_err(unknown)?;
            target.propose(&self.basis, value)
        };
        let proposal = proposal.await.map_err(|error| failure(error, &within))?;
        let named = match target {
            Some(Share::Each(_)) => format!("external metric {name}({})", go_text(source.metric.selector.as_ref())),
            _ => format!("{} metric {name}", object.kind),
        };
        let current = Share::current(target, &proposal);
        let status = ObjectMetricStatus { described_object: object.clone(), metric: source.metric.clone(), current };
        let status = MetricStatus { object: Some(status), ..kind("Object") };
        Ok(Computed { replicas: proposal.replicas, name: named, status })
    }

    async fn external(&self, source: Option<&ExternalMetricSource>) -> Result<Computed, Failure> {
        let Some(source) = source else { return Err(unknown("External")) };
        let name = &source.metric.name;
        let selector = go_text(source.metric.selector.as_ref());
        let target = match &source.target.average_value {
            Some(average) => Some(Share::Each(milli(average))),
            None => source.target.value.as_ref().map(|value| Share::All(milli(value))),
        };
        let within = match target {
            Some(Share::Each(_)) => format!("failed to get {name} external metric: "),
            Some(Share::All(_)) => format!("failed to get external metric {name}: "),
            None => String::new(),
        };
        let proposal = async {
            let target = target.ok_or_else(|| NO_EXTERNAL_TARGET.to_owned())?;
            let of = of(&source.metric)?;
            let namespace = self.sources.namespace;
            let unknown = |error| format!("unable to get external metric {namespace}/{name}/{selector}: {error}");
            let value = self.sources.external(name, &of).await.map_err(unknown)?;
            target.propose(&self.basis, value)
        };
        let proposal = proposal.await.map_err(|error| Failure {
            reason: "FailedGetExternalMetric",
            named: format!("failed to get {name} external metric value: {within}{error}"),
            error,
            of_spec: false,
        })?;
        let status = ExternalMetricStatus { metric: source.metric.clone(), current: Share::current(target, &proposal) };
        Ok(Computed {
            replicas: proposal.replicas,
            name: format!("external metric {name}({selector})"),
            status: MetricStatus { external: Some(status), ..kind("External") },
        })
    }
}

/// What a value that is not of pods is held against, in thousandths.
#[derive(Clone, Copy)]
enum Share {
    /// All of it.
    All(i64),
    /// The share of each replica.
    Each(i64),
}

impl Share {
    fn of(target: &MetricTarget, kind: &str) -> Option<Self> {
        match kind {
            "Value" => target.value.as_ref().map(|value| Self::All(milli(value))),
            "AverageValue" => target.average_value.as_ref().map(|value| Self::Each(milli(value))),
            _ => None,
        }
    }

    fn propose(self, basis: &Basis<'_>, value: i64) -> Result<Proposal, String> {
        match self {
            Self::All(target) => readings::by_value(basis, value, target),
            Self::Each(target) => Ok(readings::by_share(basis, value, target)),
        }
    }

    fn current(share: Option<Self>, proposal: &Proposal) -> MetricValueStatus {
        let value = Some(Quantity::from_milli(proposal.value).to_wire());
        match share {
            Some(Self::Each(_)) => MetricValueStatus { average_value: value, ..MetricValueStatus::default() },
            _ => MetricValueStatus { value, ..MetricValueStatus::default() },
        }
    }
}

fn unknown(kind: &str) -> Failure {
    let error = format!("unknown metric source type {kind:?}");
    Failure { reason: "InvalidMetricSourceType", named: error.clone(), error, of_spec: true }
}

fn kind(name: &str) -> MetricStatus {
    MetricStatus { type_: name.to_owned(), ..MetricStatus::default() }
}

fn current(proposal: &Proposal) -> MetricValueStatus {
    MetricValueStatus {
        average_utilization: proposal.utilization,
        average_value: Some(Quantity::from_milli(proposal.value).to_wire()),
        value: None,
    }
}

fn milli(wire: &Wire) -> i64 {
    Quantity::try_from(wire).map_or(0, |quantity| quantity.milli_value())
}

/// What a metric's selector means: everything when there is none.
fn of(metric: &MetricIdentifier) -> Result<Selector, String> {
    match &metric.selector {
        None => Ok(Selector::everything()),
        selector => Selector::from_label_selector(selector.as_ref()).map_err(|error| error.to_string()),
    }
}

/// A selector as Go prints it, which messages quote.
fn go_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels: BTreeMap<_, _> = selector.match_labels.iter().flatten().collect();
    let labels: String = labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions: String = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|own| {
            let values = own.values.clone().unwrap_or_default().join(" ");
            format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", own.key, own.operator)
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_read_as_gos() {
        let selector = json!({
            "matchLabels": {"queue": "a"},
            "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
        });
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        assert_eq!(
            go_text(Some(&selector)),
            "&LabelSelector{MatchLabels:map[string]string{queue: a,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
        );
        assert_eq!(go_text(None), "nil");
    }
}
