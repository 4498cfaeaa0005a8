//! Pure: what metrics say of pods, and what they make of the number of replicas.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api_types::jiff::{SignedDuration, Timestamp};

use crate::{
    pod_state::is_ready,
    slim::{Pod, Requests},
};

/// What a pod used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PodMetric {
    /// At the end of the window.
    pub time: Timestamp,
    /// Over this time.
    pub window: Duration,
    /// Thousandths.
    pub value: i64,
}

/// By name of the pod.
pub(super) type PodMetrics = BTreeMap<String, PodMetric>;

/// How far a ratio may be from one, in each direction, before something is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub down: f64,
    pub up: f64,
}

impl Tolerances {
    fn allow(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// How long pods may take to become ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`.
    pub initialization: Duration,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`.
    pub readiness_delay: Duration,
}

/// What replicas are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Basis<'a> {
    /// The pods that the target selects.
    pub pods: &'a [Arc<Pod>],
    /// Replicas as the target wants them.
    pub current: i32,
    /// Replicas as the target has them.
    pub existing: i32,
    pub tolerances: Tolerances,
    pub patience: Patience,
    pub now: Timestamp,
}

/// How many replicas a metric asks for, and what it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub replicas: i32,
    /// The average or the value, in thousandths.
    pub value: i64,
    /// Percent of what is asked for, where that is what counts.
    pub utilization: Option<i32>,
}

const NO_PODS: &str = "no pods returned by selector while calculating replica count";
const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";
const CPU: &str = "cpu";

/// The pods, sorted by what can be said of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups<'a> {
    ready: usize,
    unready: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
    ignored: BTreeSet<&'a str>,
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn group<'a>(basis: &Basis<'a>, metrics: &PodMetrics, resource: &str) -> Groups<'a> {
    let mut groups = Groups::default();
    for pod in basis.pods {
        let name = name(pod);
        if pod.metadata.deletion_timestamp.is_some() || pod.status.phase == "Failed" {
            groups.ignored.insert(name);
        } else if pod.status.phase == "Pending" {
            groups.unready.insert(name);
        } else {
            match metrics.get(name) {
                None => drop(groups.missing.insert(name)),
                // Only while it starts does a pod use processors as it never will again.
                Some(metric) if resource == CPU && is_unready(basis, pod, metric) => drop(groups.unready.insert(name)),
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

fn is_unready(basis: &Basis<'_>, pod: &Pod, metric: &PodMetric) -> bool {
    let ready = pod.status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let (Some(ready), Some(started)) = (ready, &pod.status.start_time) else { return true };
    let changed = ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let after = |time: Timestamp, wait: Duration| {
        time.saturating_add(SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
    };
    let not_ready = ready.status == "False";
    if after(started.0, basis.patience.initialization) > basis.now {
        return not_ready || metric.time < after(changed, metric.window);
    }
    // It has never been ready.
    not_ready && after(started.0, basis.patience.readiness_delay) > changed
}

/// What pods ask for, in thousandths, of a container or as a whole.
fn requests(pods: &[Arc<Pod>], container: &str, resource: &str) -> Result<BTreeMap<String, i64>, String> {
    let request = |pod: &Arc<Pod>| {
        let own = &pod.spec.requests;
        let request = match container.is_empty() && !own.is_empty() {
            true => of_pod(pod, own, resource),
            false => of_containers(pod, container, resource),
        };
        request.map(|request| (name(pod).to_owned(), request))
    };
    pods.iter().map(request).collect()
}

fn of_pod(pod: &Pod, own: &Requests, resource: &str) -> Result<i64, String> {
    let sum = || {
        let asked = running(pod).filter_map(|(_, requests)| requests.of(resource));
        asked.reduce(i64::saturating_add)
    };
    let missing = || format!("missing pod-level request for {resource} in Pod {}", name(pod));
    own.of(resource).or_else(sum).ok_or_else(missing)
}

fn of_containers(pod: &Pod, container: &str, resource: &str) -> Result<i64, String> {
    let mut sum: i64 = 0;
    let mut found = container.is_empty();
    for (own, requests) in running(pod).filter(|(own, _)| container.is_empty() || *own == container) {
        let missing = || format!("missing request for {resource} in container {own} of Pod {}", name(pod));
        sum = sum.saturating_add(requests.of(resource).ok_or_else(missing)?);
        found = true;
    }
    if found { Ok(sum) } else { Err(format!("container {container} not found in Pod {}", name(pod))) }
}

/// The containers that run as long as the pod does.
fn running(pod: &Pod) -> impl Iterator<Item = (&str, &Requests)> {
    let sidecars = pod.spec.init_containers.iter().filter(|own| own.restart_policy.as_deref() == Some("Always"));
    pod.spec.containers.iter().chain(sidecars).map(|own| (own.name.as_str(), &own.requests))
}

/// Of the pods of which a ratio is made: the ratio, the average in thousandths, and percent.
type Ratio = (f64, i64, Option<i32>);

fn utilization(metrics: &PodMetrics, requests: &BTreeMap<String, i64>, target: i32) -> Result<Ratio, String> {
    let (mut used, mut asked, mut count) = (0_i64, 0_i64, 0_i64);
    for (name, metric) in metrics {
        // Of pods that nobody knows there may be metrics for a while.
        if let Some(request) = requests.get(name) {
            used = used.saturating_add(metric.value);
            asked = asked.saturating_add(*request);
            count += 1;
        }
    }
    if asked == 0 || count == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = i32::try_from(i128::from(used) * 100 / i128::from(asked)).unwrap_or(i32::MAX);
    Ok((f64::from(percent) / f64::from(target), used / count, Some(percent)))
}

fn average(metrics: &PodMetrics, target: i64) -> Ratio {
    let sum = metrics.values().fold(0_i64, |sum, metric| sum.saturating_add(metric.value));
    let average = i64::try_from(metrics.len()).ok().and_then(|count| sum.checked_div(count)).unwrap_or(0);
    (average as f64 / target as f64, average, None)
}

/// Replicas so that pods use this percentage of what they, or one of their containers, ask for.
pub(super) fn by_utilization(
    basis: &Basis<'_>,
    metrics: PodMetrics,
    (resource, container): (&str, &str),
    target: i32,
) -> Result<Proposal, String> {
    let known = Known::new(basis, metrics, resource)?;
    let requests = requests(basis.pods, container, resource)?;
    // A pod of which nothing is known is taken to use what it asks for, or more where more is wanted.
    let fallback = i64::from(target.max(100));
    let missing = |name: &str| requests.get(name).map_or(0, |request| request.saturating_mul(fallback) / 100);
    known.propose(basis, &|metrics| utilization(metrics, &requests, target), &missing)
}

/// Replicas so that pods have this average, in thousandths. The resource is empty for what is none.
pub(super) fn by_average(
    basis: &Basis<'_>,
    metrics: PodMetrics,
    resource: &str,
    target: i64,
) -> Result<Proposal, String> {
    Known::new(basis, metrics, resource)?.propose(basis, &|metrics| Ok(average(metrics, target)), &|_| target)
}

/// Metrics of pods that are ready, and the pods that are not or of which there are none.
struct Known<'a> {
    metrics: PodMetrics,
    groups: Groups<'a>,
}

impl<'a> Known<'a> {
    fn new(basis: &Basis<'a>, mut metrics: PodMetrics, resource: &str) -> Result<Self, String> {
        if basis.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let groups = group(basis, &metrics, resource);
        metrics.retain(|name, _| !groups.ignored.contains(name.as_str()) && !groups.unready.contains(name.as_str()));
        if metrics.is_empty() { Err(NO_METRICS.to_owned()) } else { Ok(Self { metrics, groups }) }
    }

    /// Pods of which nothing is known must not lead further: when there are too few they count as idle, when there are too
    /// many as busy, as `missing` says; and so do pods that are not ready when there are too few.
    fn propose(
        mut self,
        basis: &Basis<'_>,
        ratio: &dyn Fn(&PodMetrics) -> Result<Ratio, String>,
        missing: &dyn Fn(&str) -> i64,
    ) -> Result<Proposal, String> {
        let (before, value, utilization) = ratio(&self.metrics)?;
        let proposal = |replicas| Ok(Proposal { replicas, value, utilization });
        let idle_unready = !self.groups.unready.is_empty() && before > 1.0;
        if !idle_unready && self.groups.missing.is_empty() {
            let replicas =
                if basis.tolerances.allow(before) { basis.current } else { times(before, self.groups.ready) };
            return proposal(replicas);
        }
        if before < 1.0 {
            self.assume(&self.groups.missing.clone(), missing);
        } else if before > 1.0 {
            self.assume(&self.groups.missing.clone(), &|_| 0);
        }
        if idle_unready {
            self.assume(&self.groups.unready.clone(), &|_| 0);
        }
        let (after, ..) = ratio(&self.metrics)?;
        let turned = (before < 1.0 && after > 1.0) || (before > 1.0 && after < 1.0);
        if basis.tolerances.allow(after) || turned {
            return proposal(basis.current);
        }
        let replicas = times(after, self.metrics.len());
        let turned = (after < 1.0 && replicas > basis.current) || (after > 1.0 && replicas < basis.current);
        proposal(if turned { basis.current } else { replicas })
    }

    fn assume(&mut self, pods: &BTreeSet<&str>, value: &dyn Fn(&str) -> i64) {
        for name in pods {
            let metric = PodMetric { time: Timestamp::UNIX_EPOCH, window: Duration::ZERO, value: value(name) };
            self.metrics.insert((*name).to_owned(), metric);
        }
    }
}

/// So many times a number of pods, rounded up; as many as there can be when that is more.
fn times(ratio: f64, pods: usize) -> i32 {
    (ratio * pods as f64).ceil() as i32
}

/// Replicas so that a value that is not of pods becomes this, in thousandths.
pub(super) fn by_value(basis: &Basis<'_>, value: i64, target: i64) -> Result<Proposal, String> {
    let ratio = value as f64 / target as f64;
    let replicas = if basis.current == 0 {
        times(ratio, 1)
    } else if basis.tolerances.allow(ratio) {
        basis.current
    } else if basis.pods.is_empty() {
        return Err(format!("unable to calculate ready pods: {NO_PODS}"));
    } else {
        times(ratio, basis.pods.iter().filter(|pod| pod.status.phase == "Running" && is_ready(pod)).count())
    };
    Ok(Proposal { replicas, value, utilization: None })
}

/// Replicas so that each has this share of a value, in thousandths.
pub(super) fn by_share(basis: &Basis<'_>, value: i64, target: i64) -> Proposal {
    let existing = f64::from(basis.existing);
    let ratio = value as f64 / (target as f64 * existing);
    let replicas = if basis.tolerances.allow(ratio) { basis.existing } else { times(value as f64 / target as f64, 1) };
    Proposal { replicas, value: (value as f64 / existing).ceil() as i64, utilization: None }
}

#[cfg(test)]
mod tests;
