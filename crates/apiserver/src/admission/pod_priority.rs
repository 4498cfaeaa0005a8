//! Pods without a priority class have priority zero and may preempt.

use api_types::{GroupResource, Object, StatusError, core};
use futures::future::BoxFuture;

use super::{Attributes, Plugin};

pub(super) struct Priority;

/// Upstream's built-in classes.
const SYSTEM_CLASSES: &[(&str, i32)] =
    &[("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        object: &'a mut dyn Object,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = match object.downcast_mut::<core::Pod>() {
            Some(pod) if attributes.creates_pod() => set_priority(attributes.target.name, pod),
            _ => Ok(()),
        };
        Box::pin(async move { result })
    }
}

fn set_priority(name: &str, pod: &mut core::Pod) -> Result<(), StatusError> {
    let refuse = |why: &str| StatusError::forbidden(GroupResource::new("", "pods"), name, why);
    let Some(spec) = &mut pod.spec else { return Ok(()) };
    let priority = match spec.priority_class_name.as_deref().unwrap_or_default() {
        "" => 0,
        class => {
            let known = SYSTEM_CLASSES.iter().find(|(name, _)| *name == class);
            known
                .map(|(_, value)| *value)
                .ok_or_else(|| refuse(&format!("no PriorityClass with name {class} was found")))?
        }
    };
    if spec.priority.is_some_and(|asked| asked != priority) {
        return Err(refuse(&format!(
            "the integer value of priority must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    spec.priority = Some(priority);
    spec.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".into());
    Ok(())
}
