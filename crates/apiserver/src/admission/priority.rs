//! Pods get the number behind their priority class; whoever updates a pod need not know. One class at most is for pods that
//! name none.

use std::sync::Arc;

use api_types::{
    StatusError,
    core::{Pod, PodSpec},
    rows,
    scheduling::PriorityClass,
};
use futures::future::BoxFuture;

use super::view::View;
use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

/// What classes say about preemption that say nothing.
const PREEMPTION: &str = "PreemptLowerPriority";

pub(super) struct Priority {
    classes: View<PriorityClass>,
}

impl Priority {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { classes: View::new(registry, &rows::PRIORITY_CLASSES) }
    }

    /// The class of pods that name none: of several the least.
    async fn default(&self) -> Result<Option<Arc<PriorityClass>>, StatusError> {
        let all = self.classes.list("").await?;
        Ok(all.into_iter().filter(|class| class.global_default == Some(true)).min_by_key(|class| class.value))
    }

    async fn decide(&self, review: &mut Review<'_>) -> Result<(), StatusError> {
        let pod = review.expect::<Pod>("Pod")?;
        let named = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.clone()).unwrap_or_default();
        let class = match named.as_str() {
            "" => self.default().await?,
            name => match self.classes.get("", name).await? {
                None => return Err(review.forbidden(&format!("no PriorityClass with name {name} was found"))),
                found => found,
            },
        };
        let computed = class.as_deref().map_or_else(Computed::default, Computed::of);
        let spec = review.expect_mut::<Pod>("Pod")?.spec.as_mut();
        match spec.map(|spec| computed.set(spec)) {
            Some(Err(why)) => Err(review.forbidden(&why)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    async fn check_default(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let new = review.expect::<PriorityClass>("PriorityClass")?;
        if new.global_default != Some(true) {
            return Ok(());
        }
        let name = |class: &PriorityClass| class.metadata.name.clone().unwrap_or_default();
        match self.default().await?.map(|class| name(&class)) {
            Some(other) if review.door.operation == Operation::Create || other != name(new) => {
                let why = "is already marked as default. Only one default can exist";
                Err(review.forbidden(&format!("PriorityClass {other} {why}")))
            }
            _ => Ok(()),
        }
    }
}

impl Plugin for Priority {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::PODS) || review.door.writes(&rows::PRIORITY_CLASSES)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            match review.old() {
                _ if !review.door.row.is(&rows::PODS) => Ok(()),
                Some(old) => {
                    let old = old.downcast_ref();
                    keep(review, old)
                }
                None => self.decide(review).await,
            }
        })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move { if review.door.row.is(&rows::PODS) { Ok(()) } else { self.check_default(review).await } })
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

/// What a pod gets.
struct Computed {
    class: String,
    priority: i32,
    preemption: Option<String>,
}

impl std::default::Default for Computed {
    fn default() -> Self {
        Self { class: String::new(), priority: 0, preemption: Some(PREEMPTION.into()) }
    }
}

impl Computed {
    fn of(class: &PriorityClass) -> Self {
        Self {
            class: class.metadata.name.clone().unwrap_or_default(),
            priority: class.value.unwrap_or_default(),
            preemption: class.preemption_policy.clone(),
        }
    }

    fn set(self, spec: &mut PodSpec) -> Result<(), String> {
        const COMPUTED: &str = "must not be provided in pod spec; priority admission controller computed";
        const FROM: &str = "from the given PriorityClass name";
        let Self { class, priority, preemption } = self;
        if !class.is_empty() {
            spec.priority_class_name = Some(class);
        }
        if let Some(asked) = spec.priority.filter(|asked| *asked != priority) {
            return Err(format!("the integer value of priority ({asked}) {COMPUTED} {priority} {FROM}"));
        }
        spec.priority = Some(priority);
        let Some(preemption) = preemption else { return Ok(()) };
        if let Some(asked) = spec.preemption_policy.as_ref().filter(|asked| **asked != preemption) {
            return Err(format!("the string value of PreemptionPolicy ({asked}) {COMPUTED} {preemption} {FROM}"));
        }
        spec.preemption_policy = Some(preemption);
        Ok(())
    }
}
