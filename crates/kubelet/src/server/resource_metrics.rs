//! `/metrics/resource`: CPU and memory of the node, its pods and their containers, as whoever scales and schedules reads
//! them.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use axum::{extract::State, http::header, response::IntoResponse};
use component::metrics::CONTENT_TYPE;
use futures::StreamExt;
use jiff::Timestamp;

use super::ServerState;
use crate::{
    node::NodeUsage,
    runtime::{ContainerId, ContainerState, ContainerStats, RuntimeError, RuntimePod},
};

/// How many containers are asked about at the same time.
const CONCURRENCY: usize = 8;

/// What is known of a container that runs.
#[derive(Debug, Clone, PartialEq)]
struct Container {
    started_at: Timestamp,
    stats: ContainerStats,
}

/// Namespace, pod and name.
type Place = (String, String, String);

/// Everything that is told.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    node: Option<NodeUsage>,
    containers: BTreeMap<Place, Container>,
    /// Whether something could not be read.
    incomplete: bool,
}

pub(super) async fn resource(State(server): State<Arc<ServerState>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], render(&read(&server).await))
}

async fn read(server: &ServerState) -> Usage {
    let mut usage = Usage { node: NodeUsage::read(), ..Usage::default() };
    let Ok(pods) = server.runtime.list_pods().await else { return Usage { incomplete: true, ..usage } };
    let stats = futures::stream::iter(running(&pods))
        .map(async |(place, (id, started_at))| (place, started_at, server.runtime.stats(&id).await));
    let read: Vec<_> = stats.buffer_unordered(CONCURRENCY).collect().await;
    for (place, started_at, stats) in read {
        match stats {
            Ok(stats) => {
                usage.containers.insert(place, Container { started_at, stats });
            }
            // It has ended since it was listed.
            Err(RuntimeError::NotFound(_)) => {}
            Err(error) => {
                tracing::debug!(%error, container = place.2, "what a container uses is not known");
                usage.incomplete = true;
            }
        }
    }
    usage
}

/// The containers that run. Of pods of the same name, one of which is on its way out, the newer counts.
fn running(pods: &[RuntimePod]) -> BTreeMap<Place, (ContainerId, Timestamp)> {
    let mut found: BTreeMap<Place, (ContainerId, Timestamp)> = BTreeMap::new();
    for pod in pods {
        for container in &pod.containers {
            let ContainerState::Running { started_at, .. } = container.state else { continue };
            let place = (pod.identity.namespace.clone(), pod.identity.name.clone(), container.name.clone());
            if found.get(&place).is_none_or(|(_, before)| *before < started_at) {
                found.insert(place, (container.id.clone(), started_at));
            }
        }
    }
    found
}

/// A metric: name, type and help, which are upstream's.
type Family = [&'static str; 3];

const CONTAINER_CPU: Family =
    ["container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds"];
const CONTAINER_MEMORY: Family =
    ["container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes"];
const CONTAINER_START: Family =
    ["container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds"];
const NODE_CPU: Family =
    ["node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds"];
const NODE_MEMORY: Family = ["node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"];
const POD_CPU: Family =
    ["pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds"];
const POD_MEMORY: Family = ["pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"];
const ERROR: Family =
    ["resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise"];

/// Labels, value, and when it was read.
type Sample = (String, f64, Option<Timestamp>);

fn render(usage: &Usage) -> String {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let containers = |value: &dyn Fn(&Container) -> (f64, Option<Timestamp>)| -> Vec<Sample> {
        let labelled = |((namespace, pod, name), container): (&Place, &Container)| {
            let (number, time) = value(container);
            (labels(&[("container", name), ("namespace", namespace), ("pod", pod)]), number, time)
        };
        usage.containers.iter().map(labelled).collect()
    };
    let node = |value: &dyn Fn(&NodeUsage) -> f64| -> Vec<Sample> {
        usage.node.iter().map(|node| (String::new(), value(node), Some(node.time))).collect()
    };
    let pods = pods(usage);
    let of_pods = |value: &dyn Fn(&ContainerStats) -> f64| -> Vec<Sample> {
        pods.iter().map(|(labels, sum)| (labels.clone(), value(sum), Some(sum.time))).collect()
    };
    let mut text = String::new();
    let mut family = |family, samples: Vec<Sample>| write_family(&mut text, family, &samples);
    family(CONTAINER_CPU, containers(&|own| (seconds(own.stats.cpu_usage_ns), Some(own.stats.time))));
    family(CONTAINER_MEMORY, containers(&|own| (own.stats.memory_working_set as f64, Some(own.stats.time))));
    family(CONTAINER_START, containers(&|own| (own.started_at.as_millisecond() as f64 / 1e3, None)));
    family(NODE_CPU, node(&|node| seconds(node.cpu_usage_ns)));
    family(NODE_MEMORY, node(&|node| node.memory_working_set as f64));
    family(POD_CPU, of_pods(&|sum| seconds(sum.cpu_usage_ns)));
    family(POD_MEMORY, of_pods(&|sum| sum.memory_working_set as f64));
    family(ERROR, vec![(String::new(), f64::from(u8::from(usage.incomplete)), None)]);
    text
}

/// The sum over each pod's containers, with its labels.
fn pods(usage: &Usage) -> Vec<(String, ContainerStats)> {
    let mut pods: BTreeMap<(&str, &str), ContainerStats> = BTreeMap::new();
    for ((namespace, pod, _), container) in &usage.containers {
        let stats = &container.stats;
        pods.entry((namespace, pod))
            .and_modify(|sum| {
                sum.time = sum.time.max(stats.time);
                sum.cpu_usage_ns = sum.cpu_usage_ns.saturating_add(stats.cpu_usage_ns);
                sum.memory_working_set = sum.memory_working_set.saturating_add(stats.memory_working_set);
            })
            .or_insert_with(|| stats.clone());
    }
    pods.into_iter().map(|((namespace, pod), sum)| (labels(&[("namespace", namespace), ("pod", pod)]), sum)).collect()
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// Writing to a string does not fail.
fn write_family(text: &mut String, [name, kind, help]: Family, samples: &[Sample]) {
    if samples.is_empty() {
        return;
    }
    let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
    for (labels, value, time) in samples {
        let _ = match time {
            Some(time) => writeln!(text, "{name}{labels} {value} {}", time.as_millisecond()),
            None => writeln!(text, "{name}{labels} {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(cpu_usage_ns: u64, memory_working_set: u64) -> Container {
        let at = |second| Timestamp::from_second(second).unwrap();
        let stats = ContainerStats { time: at(100), cpu_usage_ns, memory_working_set, memory_usage: 0 };
        Container { started_at: at(50), stats }
    }

    const EXPECTED: &str = r#"# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="a\"b",namespace="ns",pod="web"} 1.5 100000
container_cpu_usage_seconds_total{container="c",namespace="ns",pod="web"} 0.25 100000
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="a\"b",namespace="ns",pod="web"} 4096 100000
container_memory_working_set_bytes{container="c",namespace="ns",pod="web"} 4 100000
# HELP container_start_time_seconds [STABLE] Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="a\"b",namespace="ns",pod="web"} 50
container_start_time_seconds{container="c",namespace="ns",pod="web"} 50
# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 2 100000
# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 8192 100000
# HELP pod_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the pod in core-seconds
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="ns",pod="web"} 1.75 100000
# HELP pod_memory_working_set_bytes [STABLE] Current working set of the pod in bytes
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{namespace="ns",pod="web"} 4100 100000
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
"#;

    #[test]
    fn names_and_values_are_upstreams() {
        let time = Timestamp::from_second(100).unwrap();
        let place = |name: &str| ("ns".to_owned(), "web".to_owned(), name.to_owned());
        let containers = [(place("a\"b"), container(1_500_000_000, 4096)), (place("c"), container(250_000_000, 4))];
        let usage = Usage {
            node: Some(NodeUsage { time, cpu_usage_ns: 2_000_000_000, memory_working_set: 8192 }),
            containers: containers.into(),
            incomplete: false,
        };
        assert_eq!(render(&usage), EXPECTED);
        let nothing = render(&Usage { incomplete: true, ..Usage::default() });
        assert!(nothing.ends_with("\nresource_scrape_error 1\n") && !nothing.contains("container_"), "{nothing}");
    }
}
