//! What a pod takes from its node.

use std::collections::BTreeMap;

use super::{ContainerView, PodView, ResourceList};
use crate::quantity::Quantity;

/// Amounts by resource name, exact: they are rounded only where they are used.
pub type Amounts<'a> = BTreeMap<&'a str, Quantity>;

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting<'a> {
    /// Counted for each container that does not name the resource; one that asks for zero has named it.
    pub missing: &'a [(&'static str, Quantity)],
    /// Whether the kubelet's word on what containers hold counts, too, so that a resize under way is not overlooked.
    pub held: bool,
}

/// The requests of a pod: those of the containers that run together, or of the hungriest moment of its start if that is
/// more; requests of the pod as a whole replace them; the sandbox's overhead comes on top.
#[must_use]
pub fn requests<'a, P: PodView>(pod: &'a P, counting: Counting<'_>) -> Amounts<'a> {
    let mut total = match counting.held && is_resized(pod) {
        true => held(pod, counting),
        false => containers(pod, counting, &ContainerView::requests),
    };
    for (name, amount) in amounts(pod.pod_requests()).filter(|(name, _)| is_pod_level(name)) {
        total.insert(name, amount);
    }
    add(&mut total, amounts(pod.overhead()));
    total
}

/// What the containers ask for together, without regard to the pod as a whole.
#[must_use]
pub fn container_requests<P: PodView>(pod: &P) -> Amounts<'_> {
    containers(pod, Counting::default(), &ContainerView::requests)
}

/// What the containers may use together, without regard to the pod as a whole.
#[must_use]
pub fn container_limits<P: PodView>(pod: &P) -> Amounts<'_> {
    containers(pod, Counting::default(), &ContainerView::limits)
}

/// The limits of a pod: those of its containers; limits of the pod as a whole replace them; the sandbox's overhead comes on
/// top of what is limited.
#[must_use]
pub fn limits<P: PodView>(pod: &P) -> Amounts<'_> {
    let mut total = container_limits(pod);
    for (name, amount) in amounts(pod.pod_limits()).filter(|(name, _)| is_pod_level(name)) {
        total.insert(name, amount);
    }
    for (name, amount) in amounts(pod.overhead()) {
        if let Some(limit) = total.get_mut(name) {
            *limit += amount;
        }
    }
    total
}

/// Whether a pod can ask for this resource as a whole.
#[must_use]
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether the pod asks for anything as a whole.
#[must_use]
pub fn has_pod_level_requests<P: PodView>(pod: &P) -> bool {
    pod.pod_requests().is_some_and(|requests| requests.keys().any(|name| is_pod_level(name)))
}

/// Whether anything is held that need not be what is asked for.
fn is_resized<P: PodView>(pod: &P) -> bool {
    let holds = |container: &P::Container| {
        let held = pod.held(container.name());
        held.allocated.is_some() || held.in_force.is_some()
    };
    pod.resize_is_infeasible() || pod.containers().iter().chain(pod.init_containers()).any(holds)
}

/// The most of what is asked for, promised and in force; a wish that cannot be fulfilled does not count.
fn held<'a, P: PodView>(pod: &'a P, counting: Counting<'_>) -> Amounts<'a> {
    let infeasible = pod.resize_is_infeasible();
    let wished = |container: &'a P::Container| if infeasible { None } else { container.requests() };
    let promised = |container: &'a P::Container| pod.held(container.name()).allocated.or_else(|| wished(container));
    let in_force = |container: &'a P::Container| pod.held(container.name()).in_force.or_else(|| promised(container));
    let mut most = containers(pod, counting, &in_force);
    raise(&mut most, &containers(pod, counting, &promised));
    if !infeasible {
        raise(&mut most, &containers(pod, counting, &ContainerView::requests));
    }
    most
}

/// While an init container runs, the sidecars before it run, too.
fn containers<'a, P: PodView>(
    pod: &'a P,
    counting: Counting<'_>,
    of: &dyn Fn(&'a P::Container) -> Option<&'a ResourceList>,
) -> Amounts<'a> {
    let counted = |container| {
        let mut counted: Amounts<'a> = amounts(of(container)).collect();
        for (name, amount) in counting.missing {
            counted.entry(*name).or_insert(*amount);
        }
        counted
    };
    let mut running = Amounts::new();
    for container in pod.containers() {
        add(&mut running, counted(container));
    }
    let (mut sidecars, mut start) = (Amounts::new(), Amounts::new());
    for container in pod.init_containers() {
        let own = counted(container);
        if container.restarts_always() {
            add(&mut running, own.clone());
            add(&mut sidecars, own);
            raise(&mut start, &sidecars);
        } else {
            let mut beside = own;
            add(&mut beside, sidecars.clone());
            raise(&mut start, &beside);
        }
    }
    raise(&mut running, &start);
    running
}

/// What is no quantity counts as nothing: it was validated when it was written.
pub(super) fn amounts(list: Option<&ResourceList>) -> impl Iterator<Item = (&str, Quantity)> {
    list.into_iter().flatten().map(|(name, wire)| (name.as_str(), Quantity::try_from(wire).unwrap_or_default()))
}

fn add<'a>(total: &mut Amounts<'a>, more: impl IntoIterator<Item = (&'a str, Quantity)>) {
    for (name, amount) in more {
        *total.entry(name).or_default() += amount;
    }
}

fn raise<'a>(total: &mut Amounts<'a>, other: &Amounts<'a>) {
    for (name, amount) in other {
        let own = total.entry(name).or_insert(*amount);
        *own = (*own).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::Pod;

    fn pod(pod: &Value) -> Pod {
        serde_json::from_value(pod.clone()).unwrap()
    }

    fn named(name: &str, requests: Value) -> Value {
        json!({"name": name, "resources": {"requests": requests}})
    }

    fn asks(requests: Value) -> Value {
        named("c", requests)
    }

    fn sidecar(requests: Value) -> Value {
        json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": requests}})
    }

    fn shown(amounts: &Amounts<'_>) -> Vec<String> {
        amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect()
    }

    fn check(spec: Value, expected: &[&str]) {
        let pod = pod(&json!({"spec": spec}));
        assert_eq!(shown(&requests(&pod, Counting::default())), expected, "{spec}");
    }

    #[test]
    fn containers_are_added_and_the_start_may_take_more() {
        let (one, two, three) = (json!({"cpu": "1"}), json!({"cpu": "2"}), json!({"cpu": "3"}));
        check(json!({"containers": [{"name": "c"}]}), &[]);
        check(json!({"containers": [asks(json!({"cpu": "0"}))]}), &["cpu=0"]);
        check(
            json!({"containers": [asks(one.clone()), asks(json!({"cpu": "500m", "memory": "1Gi"}))]}),
            &["cpu=1500m", "memory=1Gi"],
        );
        check(
            json!({"containers": [asks(one.clone())], "initContainers": [asks(three.clone()), asks(two.clone())]}),
            &["cpu=3"],
        );
        check(
            json!({"containers": [asks(one.clone())], "initContainers": [asks(json!({"memory": "1Gi"}))]}),
            &["cpu=1", "memory=1Gi"],
        );
        check(
            json!({"containers": [asks(one.clone())], "initContainers": [sidecar(one.clone()), asks(three.clone())]}),
            &["cpu=4"],
        );
        check(
            json!({"containers": [asks(one.clone())], "initContainers": [asks(three), sidecar(one.clone())]}),
            &["cpu=3"],
        );
        check(
            json!({"containers": [asks(one.clone())], "initContainers": [sidecar(one.clone()), sidecar(two), asks(one)]}),
            &["cpu=4"],
        );
    }

    #[test]
    fn amounts_are_added_before_they_are_rounded() {
        let little = asks(json!({"cpu": "0.4m", "memory": "400m"}));
        let pod = pod(&json!({"spec": {"containers": [little, little]}}));
        let total = requests(&pod, Counting::default());
        assert_eq!((total["cpu"].milli_value(), total["memory"].value()), (1, 1));
    }

    #[test]
    fn the_pod_as_a_whole_replaces_and_overhead_adds() {
        let (one, five) = (json!({"cpu": "1", "memory": "1Gi"}), json!({"requests": {"cpu": "5"}}));
        check(json!({"containers": [asks(one.clone())], "resources": five}), &["cpu=5", "memory=1Gi"]);
        check(
            json!({"containers": [asks(one.clone())], "resources": five, "overhead": {"cpu": "250m", "pods": "1"}}),
            &["cpu=5250m", "memory=1Gi", "pods=1"],
        );
        // Limits of the whole pod alone, and resources that a pod cannot ask for as a whole, change nothing.
        let odd = json!({"limits": {"cpu": "9"}, "requests": {"example.com/gpu": "3"}});
        check(json!({"containers": [asks(one)], "resources": odd}), &["cpu=1", "memory=1Gi"]);
        check(
            json!({"containers": [{"name": "c"}], "resources": {"requests": {"hugepages-2Mi": "4Mi"}}}),
            &["hugepages-2Mi=4Mi"],
        );
    }

    #[test]
    fn what_is_missing_is_counted_per_container() {
        let missing = [("cpu", Quantity::from_milli(100)), ("memory", Quantity::from_bytes(200 << 20))];
        let spec = json!({"containers": [{"name": "a"}, asks(json!({"cpu": "0"}))],
            "initContainers": [sidecar(json!({"memory": "1Mi"}))], "overhead": {"cpu": "1m"}});
        let pod = pod(&json!({"spec": spec}));
        let total = requests(&pod, Counting { missing: &missing, held: false });
        assert_eq!(shown(&total), ["cpu=201m", "memory=401Mi"]);
    }

    #[test]
    fn a_resize_under_way_holds_the_most_of_both() {
        let case = |conditions: Value, allocated: &str, in_force: &str| {
            let status = json!({"conditions": conditions, "containerStatuses": [{"name": "c", "image": "", "imageID": "",
                "ready": true, "restartCount": 0, "allocatedResources": {"cpu": allocated},
                "resources": {"requests": {"cpu": in_force}}}]});
            let pod = pod(&json!({"spec": {"containers": [asks(json!({"cpu": "2"}))]}, "status": status}));
            shown(&requests(&pod, Counting { missing: &[], held: true })).join(",")
        };
        let infeasible = json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
        let deferred = json!([{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]);
        assert_eq!(case(json!([]), "1", "1"), "cpu=2");
        assert_eq!(case(json!([]), "1", "3"), "cpu=3");
        assert_eq!(case(deferred, "1", "1"), "cpu=2");
        assert_eq!(case(infeasible, "1", "500m"), "cpu=1");
        let unknown = pod(&json!({"spec": {"containers": [asks(json!({"cpu": "2"}))]}}));
        assert_eq!(shown(&requests(&unknown, Counting { missing: &[], held: true })), ["cpu=2"]);
    }
}
