//! Limit ranges: what containers get that do not say what they need, and what nobody may exceed or fall short of.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    StatusError,
    core::{Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod, PodSpec},
    pod::{PodView, resources},
    quantity::{Quantity, Wire},
    rows,
};
use futures::future::BoxFuture;

use super::{errors::aggregate, view::View};
use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
const RESIZE: &str = "resize";

type List = Option<BTreeMap<String, Wire>>;
/// Amounts by resource name.
type Amounts<'a> = BTreeMap<&'a str, Quantity>;

pub(super) struct LimitRanger {
    ranges: View<LimitRange>,
}

impl LimitRanger {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { ranges: View::new(registry, &rows::LIMIT_RANGES) }
    }

    async fn ranges(&self, review: &Review<'_>) -> Result<Vec<Arc<LimitRange>>, StatusError> {
        self.ranges.list(review.door.target.namespace).await
    }
}

impl Plugin for LimitRanger {
    /// Containers do not change once a pod is there, except by a resize.
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let concerned = match (door.operation, door.subresource) {
            (Operation::Create, "") => door.row.is(&rows::PODS) || door.row.is(&rows::PERSISTENT_VOLUME_CLAIMS),
            (Operation::Update, "") => door.row.is(&rows::PERSISTENT_VOLUME_CLAIMS),
            (Operation::Update, RESIZE) => door.row.is(&rows::PODS),
            _ => false,
        };
        concerned && review.old().is_none_or(|old| old.meta().deletion_timestamp.is_none())
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            if !review.door.row.is(&rows::PODS) {
                return Ok(());
            }
            let ranges = self.ranges(review).await?;
            if !ranges.is_empty() {
                let pod = review.expect_mut::<Pod>("Pod")?;
                ranges.iter().for_each(|range| set_defaults(pod, range));
            }
            Ok(())
        })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            for range in self.ranges(review).await? {
                let faults = match review.get().and_then(|object| object.downcast_ref::<PersistentVolumeClaim>()) {
                    Some(claim) => faults_of_claim(claim, &range),
                    None => faults_of_pod(review.expect::<Pod>("Pod")?, &range),
                };
                if !faults.is_empty() {
                    return Err(review.forbidden(&aggregate(&faults)));
                }
            }
            Ok(())
        })
    }
}

fn items<'a>(range: &'a LimitRange, type_: &'static str) -> impl Iterator<Item = &'a LimitRangeItem> {
    range.spec.iter().flat_map(|spec| &spec.limits).filter(move |item| item.type_ == type_)
}

fn set_defaults(pod: &mut Pod, range: &LimitRange) {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for item in items(range, "Container") {
        requests.extend(item.default_request.iter().flatten());
        limits.extend(item.default.iter().flatten());
    }
    let Some(spec) = &mut pod.spec else { return };
    let mut told = Vec::new();
    for container in &mut spec.containers {
        told.extend(fill(container, "container", &requests, &limits));
    }
    for container in spec.init_containers.iter_mut().flatten() {
        told.extend(fill(container, "init container", &requests, &limits));
    }
    if !told.is_empty() {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION.into(), format!("LimitRanger plugin set: {}", told.join("; ")));
    }
}

/// Gives a container what it does not name; in words.
fn fill(
    container: &mut Container,
    what: &str,
    requests: &BTreeMap<&String, &Wire>,
    limits: &BTreeMap<&String, &Wire>,
) -> Vec<String> {
    let mut told = Vec::new();
    if requests.is_empty() && limits.is_empty() {
        return told;
    }
    let resources = container.resources.get_or_insert_default();
    let sides = [("request", &mut resources.requests, requests), ("limit", &mut resources.limits, limits)];
    for (side, own, defaults) in sides {
        let mut set = Vec::new();
        for (name, amount) in defaults {
            let list = own.get_or_insert_default();
            if !list.contains_key(*name) {
                list.insert((*name).clone(), (*amount).clone());
                set.push(name.as_str());
            }
        }
        if !set.is_empty() {
            told.push(format!("{} {side} for {what} {}", set.join(", "), container.name));
        }
    }
    told
}

fn faults_of_pod(pod: &Pod, range: &LimitRange) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut faults = Vec::new();
    for item in range.spec.iter().flat_map(|spec| &spec.limits) {
        match item.type_.as_str() {
            "Container" => {
                for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
                    let own = container.resources.as_ref();
                    let requests = amounts(own.and_then(|own| own.requests.as_ref()));
                    let limits = amounts(own.and_then(|own| own.limits.as_ref()));
                    faults.extend(faults_of(item, &requests, &limits));
                }
            }
            "Pod" => {
                let (requests, limits) = of_pod(spec);
                faults.extend(faults_of(item, &requests, &limits));
            }
            _ => {}
        }
    }
    faults
}

/// What the pod asks for and may use, without the sandbox's overhead.
fn of_pod(spec: &PodSpec) -> (Amounts<'_>, Amounts<'_>) {
    let (mut requests, mut limits) = (resources::container_requests(spec), resources::container_limits(spec));
    for (sum, whole) in [(&mut requests, spec.pod_requests()), (&mut limits, spec.pod_limits())] {
        sum.extend(amounts(whole).into_iter().filter(|(name, _)| resources::is_pod_level(name)));
    }
    (requests, limits)
}

fn faults_of(item: &LimitRangeItem, requests: &Amounts<'_>, limits: &Amounts<'_>) -> Vec<String> {
    let of = |list: &List| -> Vec<(String, Quantity)> {
        let read = |(name, amount): (&String, &Wire)| (name.clone(), Quantity::try_from(amount).unwrap_or_default());
        list.iter().flatten().map(read).collect()
    };
    let type_ = item.type_.as_str();
    let both = |name: &str| (requests.get(name).copied(), limits.get(name).copied());
    let min = of(&item.min).into_iter().filter_map(|(name, least)| minimum(type_, &name, least, both(&name)));
    let max = of(&item.max).into_iter().filter_map(|(name, most)| maximum(type_, &name, most, both(&name)));
    let ratio = of(&item.max_limit_request_ratio);
    let ratio = ratio.into_iter().filter_map(|(name, most)| ratio_fault(type_, &name, most, both(&name)));
    min.chain(max).chain(ratio).collect()
}

/// A request and a limit, as far as there are any.
type Both = (Option<Quantity>, Option<Quantity>);

fn minimum(type_: &str, name: &str, least: Quantity, (request, limit): Both) -> Option<String> {
    let usage = format!("minimum {name} usage per {type_} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{usage}.  No request is specified")),
        (Some(request), _) if request < least => Some(format!("{usage}, but request is {request}")),
        (_, Some(limit)) if limit < least => Some(format!("{usage}, but limit is {limit}")),
        _ => None,
    }
}

fn maximum(type_: &str, name: &str, most: Quantity, (request, limit): Both) -> Option<String> {
    let usage = format!("maximum {name} usage per {type_} is {most}");
    match (request, limit) {
        (_, None) => Some(format!("{usage}.  No limit is specified")),
        (_, Some(limit)) if limit > most => Some(format!("{usage}, but limit is {limit}")),
        (Some(request), _) if request > most => Some(format!("{usage}, but request is {request}")),
        _ => None,
    }
}

fn ratio_fault(type_: &str, name: &str, most: Quantity, (request, limit): Both) -> Option<String> {
    let ratio = format!("{name} max limit to request ratio per {type_} is {most}");
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some(format!("{ratio}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some(format!("{ratio}, but no limit is specified or limit is 0"));
    };
    let provided = approximately(limit) / approximately(request);
    (provided * 1000.0 > approximately(most)).then(|| format!("{ratio}, but provided ratio is {provided:.6}"))
}

/// Thousandths, exact up to 2^53; upstream compares ratios as floating-point numbers, too.
#[expect(clippy::cast_precision_loss, reason = "a ratio need not be more exact")]
fn approximately(amount: Quantity) -> f64 {
    amount.milli_value() as f64
}

fn faults_of_claim(claim: &PersistentVolumeClaim, range: &LimitRange) -> Vec<String> {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let requests = amounts(requests);
    let mut faults = Vec::new();
    for item in items(range, "PersistentVolumeClaim") {
        for (name, least) in amounts(item.min.as_ref()) {
            faults.extend(minimum(&item.type_, name, least, (requests.get(name).copied(), None)));
        }
        for (name, most) in amounts(item.max.as_ref()) {
            faults.extend(most_requested(name, most, requests.get(name).copied()));
        }
    }
    faults
}

fn most_requested(name: &str, most: Quantity, request: Option<Quantity>) -> Option<String> {
    let usage = format!("maximum {name} usage per PersistentVolumeClaim is {most}");
    match request {
        None => Some(format!("{usage}.  No request is specified")),
        Some(request) if request > most => Some(format!("{usage}, but request is {request}")),
        Some(_) => None,
    }
}

/// What is no quantity counts as nothing: it has been validated.
fn amounts(list: Option<&BTreeMap<String, Wire>>) -> Amounts<'_> {
    let read = |(name, amount)| (String::as_str(name), Quantity::try_from(amount).unwrap_or_default());
    list.into_iter().flatten().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn range(limit: &Value) -> LimitRange {
        serde_json::from_value(json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}})).unwrap()
    }

    fn pod(resources: &Value) -> Pod {
        let container = json!({"name": "c", "resources": resources});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})).unwrap()
    }

    #[test]
    fn containers_get_what_they_do_not_name() {
        let range = range(
            &json!({"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "1"}}),
        );
        let cases = [
            (
                json!({}),
                json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}),
                Some("LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c"),
            ),
            (
                json!({"requests": {"cpu": "3"}, "limits": {"memory": "1"}}),
                json!({"requests": {"cpu": "3"}, "limits": {"cpu": "2", "memory": "1"}}),
                Some("LimitRanger plugin set: cpu limit for container c"),
            ),
            (
                json!({"requests": {"cpu": "3"}, "limits": {"cpu": "3", "memory": "1"}}),
                json!({"requests": {"cpu": "3"}, "limits": {"cpu": "3", "memory": "1"}}),
                None,
            ),
        ];
        for (before, after, told) in cases {
            let mut pod = pod(&before);
            set_defaults(&mut pod, &range);
            let annotation = pod.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION));
            assert_eq!(annotation.map(String::as_str), told);
            let own = &pod.spec.unwrap().containers[0].resources;
            assert_eq!(serde_json::to_value(own).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn what_exceeds_or_falls_short_is_told() {
        let asks = |request: &str, limit: &str| json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
        let cases = [
            ("min", json!({}), "minimum cpu usage per Container is 100m.  No request is specified"),
            ("min", asks("50m", "1"), "minimum cpu usage per Container is 100m, but request is 50m"),
            ("min", asks("100m", "1"), ""),
            ("max", json!({}), "maximum cpu usage per Container is 100m.  No limit is specified"),
            ("max", asks("10m", "1"), "maximum cpu usage per Container is 100m, but limit is 1"),
            (
                "maxLimitRequestRatio",
                json!({}),
                "cpu max limit to request ratio per Container is 100m, but no request is specified or request is 0",
            ),
            (
                "maxLimitRequestRatio",
                json!({"requests": {"cpu": "1"}}),
                "cpu max limit to request ratio per Container is 100m, but no limit is specified or limit is 0",
            ),
            (
                "maxLimitRequestRatio",
                asks("3", "1"),
                "cpu max limit to request ratio per Container is 100m, but provided ratio is 0.333333",
            ),
        ];
        for (side, resources, expected) in cases {
            let faults = faults_of_pod(&pod(&resources), &range(&json!({"type": "Container", side: {"cpu": "100m"}})));
            assert_eq!(faults.join("|"), expected, "{side} {resources}");
        }
    }

    #[test]
    fn pods_are_summed_up() {
        let mut pod = pod(&json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}));
        let containers = &mut pod.spec.as_mut().unwrap().containers;
        containers.push(containers[0].clone());
        let most = |most: &str| range(&json!({"type": "Pod", "max": {"cpu": most}}));
        assert_eq!(faults_of_pod(&pod, &most("2")), [""; 0]);
        assert_eq!(faults_of_pod(&pod, &most("1")), ["maximum cpu usage per Pod is 1, but limit is 2"]);
    }

    #[test]
    fn claims_are_held_to_their_size() {
        let claim = json!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "3Gi"}}}});
        let claim = serde_json::from_value(claim).unwrap();
        let limits = json!({"type": "PersistentVolumeClaim", "min": {"storage": "4Gi"}, "max": {"storage": "2Gi"}});
        let expected = [
            "minimum storage usage per PersistentVolumeClaim is 4Gi, but request is 3Gi",
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
        ];
        assert_eq!(faults_of_claim(&claim, &range(&limits)), expected);
    }
}
