//! `v1.Namespace`.

use serde_json::Value;

use crate::{
    core::Namespace,
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::defaults::default_text,
    table,
    validation::names,
};

/// Finalizers that need no domain; the first is held until the namespace controller has emptied the namespace.
const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

impl Kind for Namespace {
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("Status", "The status of the namespace"), Column::AGE];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::text("status.phase")];

    fn set_defaults(&mut self) {
        default_text(&mut self.status.get_or_insert_default().phase, "Active");
    }

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec").child("finalizers");
        finalizers(self).flat_map(|own| finalizer(&path, own)).collect()
    }

    fn validate_part_update(&self, old: &Self, subresource: &str) -> Vec<FieldError> {
        if subresource != "finalize" {
            return self.validate_status_update(old);
        }
        let path = Path::new("spec").child("finalizers");
        finalizers(self).enumerate().flat_map(|(i, own)| finalizer(&path.index(i), own)).collect()
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let path = Path::new("status").child("Phase");
        let phase = self.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let error = match (self.metadata.deletion_timestamp.is_some(), phase) {
            (false, phase) if phase != "Active" => "may only be 'Active' if `deletionTimestamp` is empty",
            (true, phase) if phase != "Terminating" => "may only be 'Terminating' if `deletionTimestamp` is not empty",
            _ => return Vec::new(),
        };
        vec![FieldError::invalid(&path, phase, error)]
    }

    fn cells(&self) -> Vec<Value> {
        let phase = self.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            phase.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn finalizers(namespace: &Namespace) -> impl Iterator<Item = &str> {
    namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()).map(String::as_str)
}

fn finalizer(path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors = names::check(names::qualified_name, path, name);
    if errors.is_empty() && !name.contains('/') && !STANDARD.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_namespace_is_active() {
        let mut namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        namespace.set_defaults();
        assert_eq!(
            serde_json::to_value(&namespace).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}, "status": {"phase": "Active"},
            })
        );
    }
}
