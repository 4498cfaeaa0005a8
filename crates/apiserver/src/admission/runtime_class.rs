//! A pod of a runtime class costs what the class says besides its containers, and goes where the class is known.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    StatusError,
    core::{Pod, PodSpec},
    node::{RuntimeClass as Class, Scheduling},
    quota::from_wire,
    rows,
};
use futures::future::BoxFuture;

use super::{tolerations::merge, view::View};
use crate::registry::{
    Review,
    admission::{Handle, Plugin},
};

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const UNFOUNDED: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

pub(super) struct RuntimeClass {
    classes: View<Class>,
}

impl RuntimeClass {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { classes: View::new(registry, &rows::RUNTIME_CLASSES) }
    }

    async fn class_of(&self, review: &Review<'_>) -> Result<Option<Arc<Class>>, StatusError> {
        let pod = review.expect::<Pod>("Pod")?;
        let Some(name) = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_ref()) else { return Ok(None) };
        match self.classes.get("", name).await? {
            None => Err(review.forbidden(&format!("pod rejected: RuntimeClass {name:?} not found"))),
            found => Ok(found),
        }
    }
}

impl Plugin for RuntimeClass {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.creates(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let Some(class) = self.class_of(review).await? else { return Ok(()) };
            let spec = review.expect_mut::<Pod>("Pod")?.spec.get_or_insert_default();
            apply(spec, &class).map_err(|why| review.forbidden(&why))
        })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let class = self.class_of(review).await?;
            let pod = review.expect::<Pod>("Pod")?;
            let own = pod.spec.as_ref().and_then(|spec| spec.overhead.as_ref());
            match class.as_ref().and_then(|class| class.overhead.as_ref()) {
                Some(overhead) if from_wire(overhead.pod_fixed.as_ref()) != from_wire(own) => {
                    Err(review.forbidden(MISMATCH))
                }
                None if own.is_some_and(|own| !own.is_empty()) => Err(review.forbidden(UNFOUNDED)),
                _ => Ok(()),
            }
        })
    }
}

fn apply(spec: &mut PodSpec, class: &Class) -> Result<(), String> {
    if let Some(overhead) = &class.overhead {
        let own = spec.overhead.as_ref().filter(|own| !own.is_empty());
        if own.is_some_and(|own| from_wire(Some(own)) != from_wire(overhead.pod_fixed.as_ref())) {
            return Err(MISMATCH.to_owned());
        }
        spec.overhead.clone_from(&overhead.pod_fixed);
    }
    class.scheduling.as_ref().map_or(Ok(()), |scheduling| schedule(spec, scheduling))
}

fn schedule(spec: &mut PodSpec, scheduling: &Scheduling) -> Result<(), String> {
    if let Some(wanted) = &scheduling.node_selector {
        let own: &mut BTreeMap<String, String> = spec.node_selector.get_or_insert_default();
        for (key, value) in wanted {
            let present = own.entry(key.clone()).or_insert_with(|| value.clone());
            if present != value {
                let (ours, theirs) = ("runtimeClass.scheduling.nodeSelector", "pod.spec.nodeSelector");
                return Err(format!("conflict: {ours}[{key}] = {value}; {theirs}[{key}] = {present}"));
            }
        }
    }
    let more = scheduling.tolerations.as_deref().unwrap_or_default();
    let merged = merge(spec.tolerations.as_deref().unwrap_or_default(), more)?;
    spec.tolerations = Some(merged).filter(|merged| !merged.is_empty());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(class: Value) -> Class {
        let mut object = json!({"metadata": {"name": "r"}, "handler": "h"});
        object.as_object_mut().unwrap().extend(class.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn check(spec: Value, of: Value, expected: Result<Value, &str>) {
        let mut spec: PodSpec = serde_json::from_value(spec).unwrap();
        spec.containers.clear();
        let result = apply(&mut spec, &class(of));
        let mut shown = serde_json::to_value(spec).unwrap();
        shown.as_object_mut().unwrap().remove("containers");
        assert_eq!(result.map(|()| shown), expected.map_err(str::to_owned));
    }

    #[test]
    fn classes_add_what_they_say() {
        let overhead = json!({"overhead": {"podFixed": {"cpu": "250m"}}});
        let fixed = json!({"overhead": {"cpu": "250m"}});
        check(json!({"containers": []}), overhead.clone(), Ok(fixed));
        check(
            json!({"containers": [], "overhead": {"cpu": "0.25"}}),
            overhead.clone(),
            Ok(json!({"overhead": {"cpu": "250m"}})),
        );
        check(json!({"containers": [], "overhead": {"cpu": "1"}}), overhead, Err(MISMATCH));
        let scheduling =
            json!({"scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
        check(
            json!({"containers": [], "nodeSelector": {"c": "d"}, "tolerations": [{"key": "k", "operator": "Equal", "value": "v"}]}),
            scheduling.clone(),
            Ok(json!({"nodeSelector": {"a": "b", "c": "d"}, "tolerations": [{"key": "k", "operator": "Exists"}]})),
        );
        check(
            json!({"containers": [], "nodeSelector": {"a": "c"}}),
            scheduling,
            Err("conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c"),
        );
    }
}
