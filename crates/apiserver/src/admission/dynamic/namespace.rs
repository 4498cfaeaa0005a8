//! What is known of the namespace of a request.

use std::collections::BTreeMap;

use api_types::{Object, StatusError, core::Namespace, rows, selector::label::Selector};
use serde_json::{Value, json};

use crate::{
    admission::view::View,
    registry::{Operation, Review, Target, admission::Handle},
};

/// The namespaces that there are.
pub(in crate::admission) struct Namespaces(View<Namespace>);

impl Namespaces {
    pub(in crate::admission) fn new(handle: &Handle) -> Self {
        Self(View::new(handle, &rows::NAMESPACES))
    }

    /// Whether the namespace of a request is selected. What is in no namespace always is.
    ///
    /// # Errors
    /// 404 when the namespace is not there.
    pub(super) async fn selected(&self, selector: &Selector, review: &Review<'_>) -> Result<bool, StatusError> {
        if selector.is_everything() {
            return Ok(true);
        }
        let door = &review.door;
        let is_namespace = door.row.is(&rows::NAMESPACES);
        let written = matches!(door.operation, Operation::Create | Operation::Update) && door.subresource.is_empty();
        if is_namespace && written {
            // What the namespace is about to say counts.
            return Ok(review.get().is_some_and(|object| selector.matches(&object.meta().labels)));
        }
        let name = door.namespace();
        if name.is_empty() {
            return Ok(!is_namespace);
        }
        let (registry, rest) = self.0.rest()?;
        let entry = registry.get_cached(&rest, Target { namespace: "", name }).await?;
        let labels: Vec<(&str, &str)> = entry.labels().collect();
        Ok(selector.matches(labels.as_slice()))
    }

    /// What expressions see of the namespace of a request: not everything. Null for what is in none, and for namespaces.
    ///
    /// # Errors
    /// 404 when the namespace is not there.
    pub(in crate::admission) async fn shown(&self, review: &Review<'_>) -> Result<Value, StatusError> {
        let (group, _, kind) = review.door.kind();
        let name = review.door.namespace();
        if name.is_empty() || (group.is_empty() && kind == "Namespace") {
            return Ok(Value::Null);
        }
        let found = self.0.get("", name).await?;
        let found = found.ok_or_else(|| StatusError::not_found((&rows::NAMESPACES).into(), name))?;
        Ok(shown(&found))
    }
}

fn shown(namespace: &Namespace) -> Value {
    const TOLD: [&str; 12] = [
        "name",
        "generateName",
        "namespace",
        "labels",
        "annotations",
        "uid",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "resourceVersion",
        "finalizers",
    ];
    let mut whole = namespace.to_value();
    let metadata = whole["metadata"].as_object().cloned().unwrap_or_default();
    let metadata: BTreeMap<String, Value> =
        metadata.into_iter().filter(|(name, _)| TOLD.contains(&name.as_str())).collect();
    json!({"metadata": metadata, "spec": whole["spec"].take(), "status": whole["status"].take()})
}
