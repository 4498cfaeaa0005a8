//! `/eviction` of a pod: a deletion that a disruption budget may refuse.

use api_types::{
    GroupResource, Object, StatusError,
    core::{Pod, PodCondition, PodStatus},
    meta::{self, Condition, Time},
    policy::{Eviction as Wish, PodDisruptionBudget},
    rows,
    selector::label::Selector,
};
use futures::future::BoxFuture;

use super::{Answer, Call, body, create, delete::dry_run, write};
use crate::{
    catalogue::{Endpoint, Request},
    registry::own::{loopback_user, own_options},
    registry::{
        Change, Changed, Door, DryRun, Operation, Part, Registry, Rest, Review, Stored, Target, Write, WriteOptions,
        decode::{Wanted, decode_kind},
        deletion::DeleteRequest,
        review::decode_as,
        strategy::now,
    },
    storage::cache::{Freshness, ListRequest},
};

/// So often an eviction is tried again whose pod changes meanwhile: upstream's number.
const ATTEMPTS: usize = 20;
/// More pods than these are not on their way at once under one budget.
const MAX_DISRUPTED: usize = 2000;
/// When to come again where a budget is behind, in seconds.
const RETRY_AFTER: u32 = 10;
/// Tells whether a budget allows anything.
const ALLOWED: &str = "DisruptionAllowed";

/// Evicts a pod.
pub struct Eviction;

impl Endpoint for Eviction {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(evict(call, request))
    }
}

async fn evict(call: &Call<'_>, mut request: Request) -> Answer {
    let sent = body::read_json(&mut request).await?;
    let mut write = write(&request, "CreateOptions")?;
    let wanted = Wanted::kind("policy", "v1", "Eviction").or("policy/v1beta1");
    let decoded = decode_kind::<Wish>(&wanted, &sent, write.options.field_validation)?;
    decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
    let wish = decoded.object;
    if dry_run(wish.delete_options.as_ref())? == DryRun::All {
        write.options.dry_run = DryRun::All;
    }
    let registry = call.registry();
    let door =
        Door { operation: Operation::Create, row: &call.rest.row, subresource: "eviction", target: call.target() };
    let mut object: Box<dyn Object> = Box::new(wish);
    registry.admit(&mut Review::other(door, &write, &mut object, decode_as::<Wish>)).await?;
    if object.meta().name.as_deref().unwrap_or_default() != call.place.name {
        return Err(StatusError::bad_request("name in URL does not match name in Eviction object"));
    }
    // Whether the pod is there is told first, as upstream has it.
    registry.get_cached(call.rest, call.target()).await?;
    registry.validate(&Review::other(door, &write, &mut object, decode_as::<Wish>)).await?;
    let wish: &Wish = object.expect_ref("Eviction")?;
    let wanted = DeleteRequest::new(wish.delete_options.clone().unwrap_or_default())?;
    let write = write.reviewed();
    Evicting { registry, pods: call.rest, write: &write, target: call.target(), wanted: &wanted }.run().await?;
    Ok(create::done(request.accept.encoding))
}

/// What stands between a pod and its eviction.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// It has ended, or goes already: it serves nobody.
    Over,
    /// It has not begun; that has to be so still when it is deleted.
    Pending,
    /// No budget counts it.
    Unguarded,
    /// This budget does not count it, as long as it is unhealthy.
    Unhealthy(String),
    /// This budget has to allow it.
    Guarded(String),
    /// More than one budget counts it.
    Ambiguous,
}

fn judge(pod: &Pod, budgets: &[PodDisruptionBudget]) -> Judgement {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    match status.phase.as_deref() {
        Some("Succeeded" | "Failed") => return Judgement::Over,
        _ if pod.metadata.deletion_timestamp.is_some() => return Judgement::Over,
        Some("Pending") => return Judgement::Pending,
        _ => {}
    }
    let mut counting = budgets.iter().filter(|budget| counts(budget, pod));
    let Some(budget) = counting.next() else { return Judgement::Unguarded };
    if counting.next().is_some() {
        return Judgement::Ambiguous;
    }
    let name = budget.metadata.name.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().any(|own| own.type_ == "Ready" && own.status == "True");
    if !ready && lets_unhealthy_go(budget) { Judgement::Unhealthy(name) } else { Judgement::Guarded(name) }
}

fn counts(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let Some(labels) = pod.metadata.labels.as_ref().filter(|labels| !labels.is_empty()) else { return false };
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    Selector::from_label_selector(selector).is_ok_and(|selector| selector.matches(labels))
}

fn lets_unhealthy_go(budget: &PodDisruptionBudget) -> bool {
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    let status = budget.status.as_ref();
    let healthy = status.and_then(|status| status.current_healthy).unwrap_or_default();
    let desired = status.and_then(|status| status.desired_healthy).unwrap_or_default();
    policy == Some("AlwaysAllow") || (healthy >= desired && desired > 0)
}

/// An eviction under way.
struct Evicting<'a> {
    registry: &'a Registry,
    pods: &'a Rest,
    write: &'a Write<'a>,
    target: Target<'a>,
    wanted: &'a DeleteRequest,
}

impl Evicting<'_> {
    async fn run(&self) -> Result<(), StatusError> {
        let mut attempts = 1..=ATTEMPTS;
        loop {
            attempts.next();
            let (pod, budgets) = (self.pod().await?, self.budgets().await?);
            let version = pod.metadata.resource_version.clone();
            let pinned = || {
                let own = self.wanted.resource_version.clone();
                DeleteRequest { resource_version: own.or(version), ..self.wanted.clone() }
            };
            let result = match judge(&pod, &budgets) {
                Judgement::Over => self.delete(self.wanted).await,
                Judgement::Pending => self.delete(&pinned()).await,
                Judgement::Unguarded => return self.delete(self.wanted).await,
                Judgement::Guarded(budget) => {
                    self.ask(&budget).await?;
                    return self.delete(self.wanted).await;
                }
                Judgement::Unhealthy(budget) => {
                    return self.delete(&pinned()).await.map_err(|error| match self.may_retry(&error) {
                        true => behind(&budget),
                        false => error,
                    });
                }
                Judgement::Ambiguous => return Err(ambiguous()),
            };
            match result {
                Err(error) if self.may_retry(&error) && !attempts.is_empty() => {}
                result => return result,
            }
        }
    }

    /// Whether the pod has changed, and the client does not insist on the version that it was.
    fn may_retry(&self, error: &StatusError) -> bool {
        error.reason() == "Conflict" && self.wanted.resource_version.is_none()
    }

    async fn pod(&self) -> Result<Pod, StatusError> {
        let entry = self.registry.get(self.pods, self.target).await?;
        let object = self.pods.decode(entry.item()).await?;
        Ok(object.expect_ref::<Pod>("Pod")?.clone())
    }

    fn budget_kind(&self) -> Result<std::sync::Arc<Rest>, StatusError> {
        let row = &rows::DISRUPTION_BUDGETS;
        let found = self.registry.find(&row.group, &row.version, &row.plural);
        found.ok_or_else(|| StatusError::internal("disruption budgets are not served"))
    }

    /// The budgets of the pod's namespace.
    async fn budgets(&self) -> Result<Vec<PodDisruptionBudget>, StatusError> {
        let rest = self.budget_kind()?;
        let all = ListRequest::all(rest.scope(self.target.namespace), Freshness::Consistent);
        let listing = rest.cache().list(&all).await.map_err(|error| rest.store_error("", &error))?;
        let items: Vec<_> = listing.entries.iter().map(|entry| entry.item()).collect();
        let mut budgets = Vec::with_capacity(items.len());
        for stored in rest.read_each(&items).await?.into_iter().flatten() {
            budgets.push(stored.object.expect_ref::<PodDisruptionBudget>("PodDisruptionBudget")?.clone());
        }
        Ok(budgets)
    }

    /// Takes one disruption from a budget, which counts down in the store: of two who want the last, one gets it.
    async fn ask(&self, budget: &str) -> Result<(), StatusError> {
        let rest = self.budget_kind()?;
        let target = Target { namespace: self.target.namespace, name: budget };
        let user = loopback_user();
        let write = Write::new(&user, WriteOptions { dry_run: self.write.options.dry_run, ..own_options() });
        let change = CountDown { pod: self.target.name };
        self.registry.update(&rest, &write, target, Part::Status, &change).await.map(drop)
    }

    /// Says on the pod why it goes, and deletes it.
    async fn delete(&self, wanted: &DeleteRequest) -> Result<(), StatusError> {
        let mut wanted = wanted.clone();
        if self.write.options.dry_run == DryRun::Off {
            let change = Explain { wanted: &wanted, kind: self.pods.group_kind() };
            let written = self.registry.update(self.pods, self.write, self.target, Part::Status, &change).await?;
            if wanted.resource_version.is_some() {
                let pod: serde_json::Value = serde_json::from_slice(&written.json).map_err(StatusError::internal)?;
                wanted.resource_version = pod["metadata"]["resourceVersion"].as_str().map(str::to_owned);
            }
        }
        self.registry.delete(self.pods, self.write, self.target, &wanted).await.map(drop)
    }
}

/// Adds the condition that tells of the disruption.
struct Explain<'a> {
    wanted: &'a DeleteRequest,
    kind: GroupResource<'a>,
}

impl Change for Explain<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        self.wanted.check(self.kind, current.object.meta())?;
        let mut new = current.object.clone_object();
        explain(new.expect_mut::<Pod>("Pod")?);
        // Nobody owns what the server says of it.
        Ok(Changed { object: new, managed: Some(current.managed.clone()) })
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

fn explain(pod: &mut Pod) {
    let mut condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("EvictionByEvictionAPI".into()),
        message: Some("Eviction API: evicting".into()),
        observed_generation: pod.metadata.generation,
        last_transition_time: Some(Time(now())),
        ..PodCondition::default()
    };
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    match conditions.iter_mut().find(|own| own.type_ == condition.type_) {
        None => conditions.push(condition),
        Some(own) => {
            if own.status == condition.status {
                condition.last_transition_time.clone_from(&own.last_transition_time);
            }
            *own = condition;
        }
    }
}

/// Takes one disruption from a budget, for this pod.
struct CountDown<'a> {
    pod: &'a str,
}

impl Change for CountDown<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        count_down(new.expect_mut("PodDisruptionBudget")?, self.pod)?;
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

fn count_down(budget: &mut PodDisruptionBudget, pod: &str) -> Result<(), StatusError> {
    const BUDGET: GroupResource<'_> = GroupResource::new("policy", "poddisruptionbudget");
    let name = budget.metadata.name.clone().unwrap_or_default();
    let status = budget.status.get_or_insert_default();
    if status.observed_generation.unwrap_or_default() < budget.metadata.generation.unwrap_or_default() {
        return Err(behind(&name));
    }
    let allowed = status.disruptions_allowed.unwrap_or_default();
    if allowed < 0 {
        return Err(StatusError::forbidden(BUDGET, &name, "pdb disruptions allowed is negative"));
    }
    let disrupted = status.disrupted_pods.get_or_insert_default();
    if disrupted.len() > MAX_DISRUPTED {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(StatusError::forbidden(BUDGET, &name, why));
    }
    if allowed == 0 {
        return Err(StatusError::disruption_budget(&refusal(&name, budget), 0));
    }
    disrupted.insert(pod.to_owned(), Time(now()));
    status.disruptions_allowed = Some(allowed - 1);
    if allowed == 1 {
        let observed = status.observed_generation;
        nothing_more(status.conditions.get_or_insert_default(), observed);
    }
    Ok(())
}

/// Why a budget allows nothing.
fn refusal(name: &str, budget: &PodDisruptionBudget) -> String {
    let status = budget.status.clone().unwrap_or_default();
    let (healthy, desired) = (status.current_healthy.unwrap_or_default(), status.desired_healthy.unwrap_or_default());
    let condition = status.conditions.into_iter().flatten().find(|own| own.type_ == ALLOWED);
    match condition {
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        Some(Condition { reason, message, .. }) if reason == "SyncFailed" => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
            )
        }
        _ => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

/// Says that a budget is used up.
fn nothing_more(conditions: &mut Vec<meta::Condition>, observed: Option<i64>) {
    let mut condition = Condition {
        type_: ALLOWED.into(),
        status: "False".into(),
        reason: "InsufficientPods".into(),
        message: String::new(),
        observed_generation: observed,
        last_transition_time: Time(now()),
    };
    match conditions.iter_mut().find(|own| own.type_ == ALLOWED) {
        None => conditions.push(condition),
        Some(own) => {
            if own.status == condition.status {
                condition.last_transition_time.clone_from(&own.last_transition_time);
            }
            *own = condition;
        }
    }
}

/// The budget has not been looked at since it, or its pods, have changed.
fn behind(budget: &str) -> StatusError {
    let why = format!("The disruption budget {budget} is still being processed by the server.");
    StatusError::disruption_budget(&why, RETRY_AFTER)
}

fn ambiguous() -> StatusError {
    let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    StatusError::from(meta::Status {
        status: Some("Failure".into()),
        message: Some(message.into()),
        code: Some(500),
        ..meta::Status::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "status": status})).unwrap()
    }

    fn budget(name: &str, spec: &Value, status: &Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({"metadata": {"name": name, "generation": 1}, "spec": spec, "status": status}))
            .unwrap()
    }

    #[test]
    fn budgets_guard_what_runs() {
        let all = json!({"selector": {"matchLabels": {"a": "b"}}});
        let always = json!({"selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let unready = json!({"phase": "Running"});
        let healthy = json!({"currentHealthy": 2, "desiredHealthy": 2});
        let named = |judgement: fn(String) -> Judgement| judgement("x".into());
        let cases = [
            (json!({"phase": "Succeeded"}), vec![(&all, &healthy)], Judgement::Over),
            (json!({"phase": "Pending"}), vec![(&all, &healthy)], Judgement::Pending),
            (ready.clone(), vec![], Judgement::Unguarded),
            (ready.clone(), vec![(&all, &healthy)], named(Judgement::Guarded)),
            (unready.clone(), vec![(&all, &healthy)], named(Judgement::Unhealthy)),
            (unready.clone(), vec![(&all, &Value::Null)], named(Judgement::Guarded)),
            (unready, vec![(&always, &Value::Null)], named(Judgement::Unhealthy)),
            (ready, vec![(&all, &healthy), (&always, &healthy)], Judgement::Ambiguous),
        ];
        for (status, budgets, expected) in cases {
            let budgets: Vec<_> = budgets.into_iter().map(|(spec, status)| budget("x", spec, status)).collect();
            assert_eq!(judge(&pod(&status), &budgets), expected, "{status}");
        }
    }

    #[test]
    fn a_budget_counts_down_to_nothing() {
        let mut budget = budget("x", &json!({}), &json!({"observedGeneration": 1, "disruptionsAllowed": 1}));
        count_down(&mut budget, "p").unwrap();
        let status = budget.status.as_ref().unwrap();
        assert_eq!((status.disruptions_allowed, status.disrupted_pods.as_ref().unwrap().len()), (Some(0), 1));
        assert_eq!(status.conditions.as_ref().unwrap()[0].reason, "InsufficientPods");
        let refused = count_down(&mut budget, "q").unwrap_err();
        assert_eq!((refused.code(), refused.retry_after_seconds()), (429, None));
        budget.metadata.generation = Some(2);
        assert_eq!(count_down(&mut budget, "q").unwrap_err().retry_after_seconds(), Some(10));
    }
}
