//! Pods without a priority class have priority zero and may preempt; whoever updates a pod need not know.

use api_types::{
    StatusError,
    core::{Pod, PodSpec},
    rows,
};
use futures::future::BoxFuture;

use crate::registry::{Operation, Review, admission::Plugin};

pub(super) struct Priority;

/// Upstream's built-in classes.
const SYSTEM_CLASSES: &[(&str, i32)] =
    &[("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// What classes say about preemption that say nothing.
const PREEMPTION: &str = "PreemptLowerPriority";

impl Plugin for Priority {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let written = matches!(door.operation, Operation::Create | Operation::Update);
        written && door.subresource.is_empty() && door.row.is(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = match review.old() {
            Some(old) => keep(review, old.downcast_ref()),
            None => decide(review),
        };
        Box::pin(async move { result })
    }
}

/// Neither can be changed; but a manifest need not name what was decided here.
fn keep(review: &mut Review<'_>, old: Option<&Pod>) -> Result<(), StatusError> {
    let new = review.expect_mut::<Pod>("Pod")?;
    if let (Some(new), Some(old)) = (&mut new.spec, old.and_then(|old| old.spec.as_ref())) {
        new.priority = new.priority.or(old.priority);
        if new.preemption_policy.is_none() {
            new.preemption_policy.clone_from(&old.preemption_policy);
        }
    }
    Ok(())
}

fn decide(review: &mut Review<'_>) -> Result<(), StatusError> {
    let spec = review.expect_mut::<Pod>("Pod")?.spec.as_mut();
    match spec.map(set_priority) {
        Some(Err(why)) => Err(review.forbidden(&why)),
        Some(Ok(())) | None => Ok(()),
    }
}

fn set_priority(spec: &mut PodSpec) -> Result<(), String> {
    let priority = match spec.priority_class_name.as_deref().unwrap_or_default() {
        "" => 0,
        class => {
            let known = SYSTEM_CLASSES.iter().find(|(name, _)| *name == class);
            known.map(|(_, value)| *value).ok_or_else(|| format!("no PriorityClass with name {class} was found"))?
        }
    };
    if let Some(asked) = spec.priority.filter(|asked| *asked != priority) {
        return Err(format!(
            "the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        ));
    }
    if let Some(asked) = spec.preemption_policy.as_deref().filter(|asked| *asked != PREEMPTION) {
        return Err(format!(
            "the string value of PreemptionPolicy ({asked}) must not be provided in pod spec; priority admission controller computed {PREEMPTION} from the given PriorityClass name"
        ));
    }
    spec.priority = Some(priority);
    spec.preemption_policy = Some(PREEMPTION.to_owned());
    Ok(())
}
