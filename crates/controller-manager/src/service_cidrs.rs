//! Ranges of cluster IPs stay as long as services have addresses that are in no other range. Until then a finalizer keeps
//! them. Whoever may be asked for an address is told whether a range is ready.

use std::{net::IpAddr, sync::Arc, time::Duration};

use api_types::jiff::{SignedDuration, Timestamp};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{Client, api::Patch};
use serde_json::{Value, json};

use crate::{
    context::Context,
    controllers::Run,
    slim::{ServiceAddress, ServiceCidr},
    step::{Error, failed},
    write,
};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Ready";
const IS_READY: &str = "Kubernetes Service CIDR is ready";
const IS_USED: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
/// Until then every API server has heard that a range goes, and takes no more addresses from it. Upstream's number.
const GRACE: SignedDuration = SignedDuration::from_secs(10);
const WORKERS: usize = 2;

/// Who keeps the finalizers.
struct Keeper {
    ranges: Informer<ServiceCidr>,
    addresses: Informer<ServiceAddress>,
    client: Client,
}

/// The controller.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let keeper = Keeper { ranges: context.informer(), addresses: context.informer(), client: context.client.clone() };
    let (keeper, queue) = (Arc::new(keeper), WorkQueue::new());
    let (keys, ranges) = (Arc::clone(&queue), keeper.ranges.clone());
    // A range that comes or goes may decide about others.
    keeper.ranges.on_event(move |event| {
        keys.add(ObjectKey::of(&**event.object()));
        for other in ranges.store().list().iter().filter(|other| overlap(other, event.object())) {
            if !matches!(event, Event::Updated { .. }) {
                keys.add(ObjectKey::of(&**other));
            }
        }
    });
    let (keys, ranges) = (Arc::clone(&queue), keeper.ranges.clone());
    keeper.addresses.on_event(move |event| {
        let Some(address) = event.object().of_service() else { return };
        for range in ranges.store().list().iter().filter(|range| is_going(range) && contains(range, address)) {
            keys.add(ObjectKey::of(&**range));
        }
    });
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "service_cidrs", WORKERS, move |key| {
            let keeper = Arc::clone(&keeper);
            async move { write::settle_races(keeper.reconcile(&key, Timestamp::now()).await) }
        });
    }))
}

impl Keeper {
    async fn reconcile(&self, key: &ObjectKey, now: Timestamp) -> Result<Outcome, Error> {
        let Some(range) = self.ranges.store().get(key) else { return Ok(Outcome::Done) };
        let is_used = || {
            let others = self.ranges.store().list();
            let addresses = self.addresses.store().list();
            is_used(&range, &others, addresses.iter().filter_map(|address| address.of_service()))
        };
        let plan = plan(&range, is_used, now);
        let api: Api<ServiceCidr> = Api::all(self.client.clone());
        if let Some(patch) = plan.patch {
            let written = api.patch(&key.name, &write::patch_params(), &Patch::Strategic(patch)).await;
            written.map_err(failed("changing the finalizer"))?;
        }
        if let Some(patch) = plan.status {
            let written = api.patch_status(&key.name, &write::patch_params(), &Patch::Strategic(patch)).await;
            written.map_err(failed("writing the status"))?;
        }
        Ok(plan.again.map_or(Outcome::Done, Outcome::RequeueAfter))
    }
}

/// What is to be done about a range.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// A patch of its finalizers.
    patch: Option<Value>,
    /// A patch of its status.
    status: Option<Value>,
    /// When to look again.
    again: Option<Duration>,
}

fn plan(range: &ServiceCidr, is_used: impl FnOnce() -> bool, now: Timestamp) -> Plan {
    let kept = range.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER);
    let ready = range.condition(READY);
    let Some(deleted) = &range.metadata.deletion_timestamp else {
        let patch = (!kept).then(|| finalizers(range, "finalizers"));
        let status = (ready != Some("True")).then(|| status(range, "True", "", IS_READY, now));
        return Plan { patch, status, again: None };
    };
    if !kept {
        return Plan::default();
    }
    if is_used() {
        let status = (ready != Some("False")).then(|| status(range, "False", "Terminating", IS_USED, now));
        return Plan { status, ..Plan::default() };
    }
    let left = GRACE - now.duration_since(deleted.0);
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => Plan { again: Some(left), ..Plan::default() },
        _ => Plan { patch: Some(finalizers(range, "$deleteFromPrimitiveList/finalizers")), ..Plan::default() },
    }
}

fn finalizers(range: &ServiceCidr, what: &str) -> Value {
    let meta = &range.metadata;
    json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, what: [FINALIZER]}})
}

fn status(range: &ServiceCidr, status: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    let condition = json!({
        "type": READY, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": api_types::meta::Time(now),
    });
    json!({"metadata": {"uid": range.metadata.uid}, "status": {"conditions": [condition]}})
}

/// Whether a service has an address of this range that is in no other. Where every network of the range is part of
/// another range, none has.
fn is_used(range: &ServiceCidr, all: &[Arc<ServiceCidr>], mut addresses: impl Iterator<Item = IpAddr>) -> bool {
    let others = || all.iter().filter(|other| other.name() != range.name());
    let part_of = |network| others().any(|other| other.networks().any(|whole| whole.contains(&network)));
    if range.networks().all(part_of) {
        return false;
    }
    addresses.any(|address| contains(range, address) && !others().any(|other| contains(other, address)))
}

fn contains(range: &ServiceCidr, address: IpAddr) -> bool {
    range.networks().any(|network| network.contains(&address))
}

fn overlap(a: &ServiceCidr, b: &ServiceCidr) -> bool {
    a.networks().any(|a| b.networks().any(|b| a.contains(&b) || b.contains(&a)))
}

fn is_going(range: &ServiceCidr) -> bool {
    range.metadata.deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(name: &str, cidrs: &[&str], deleted: Option<&str>, finalizers: Value) -> ServiceCidr {
        let metadata = json!({"name": name, "deletionTimestamp": deleted, "finalizers": finalizers});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"cidrs": cidrs}})).unwrap()
    }

    #[test]
    fn a_range_is_used_by_addresses_that_are_nowhere_else() {
        let own = range("a", &["10.0.0.0/24"], None, json!(null));
        let used = |others: &[&[&str]], address: &str| {
            let others = others.iter().enumerate().map(|(i, cidrs)| range(&format!("b{i}"), cidrs, None, json!(null)));
            let all: Vec<Arc<ServiceCidr>> = others.chain([own.clone()]).map(Arc::new).collect();
            is_used(&own, &all, std::iter::once(address.parse().unwrap()))
        };
        assert!(used(&[], "10.0.0.1") && !used(&[], "10.0.1.1"));
        assert!(!used(&[&["10.0.0.0/24"]], "10.0.0.1"), "another range is the same");
        assert!(!used(&[&["10.0.0.0/16"]], "10.0.0.1"), "it is part of another");
        assert!(!used(&[&["10.0.0.0/28"]], "10.0.0.1") && used(&[&["10.0.0.0/28"]], "10.0.0.99"));
    }

    #[test]
    fn a_range_that_goes_waits() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let deleted = Some("2026-01-01T00:00:00Z");
        let going = range("a", &["10.0.0.0/24"], deleted, json!([FINALIZER, "x"]));
        let early = plan(&going, || false, at("2026-01-01T00:00:04Z"));
        assert_eq!(early, Plan { again: Some(Duration::from_secs(6)), ..Plan::default() });
        let due = plan(&going, || false, at("2026-01-01T00:00:10Z"));
        assert_eq!(due.patch.unwrap()["metadata"]["$deleteFromPrimitiveList/finalizers"], json!([FINALIZER]));
        let blocked = plan(&going, || true, at("2026-01-01T00:01:00Z"));
        assert_eq!(
            (&blocked.patch, &blocked.status.unwrap()["status"]["conditions"][0]["reason"]),
            (&None, &json!("Terminating"))
        );
        let others = range("a", &["10.0.0.0/24"], deleted, json!(["x"]));
        assert_eq!(plan(&others, || panic!("nobody asks"), at("2026-01-01T00:01:00Z")), Plan::default());
        let new = plan(&range("a", &[], None, json!(null)), || true, at("2026-01-01T00:00:00Z"));
        assert_eq!(new.patch.unwrap()["metadata"]["finalizers"], json!([FINALIZER]));
        assert_eq!(new.status.unwrap()["status"]["conditions"][0]["status"], "True");
    }
}
