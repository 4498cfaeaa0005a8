//! Namespaces: two-phase deletion. What is inside goes first; then the namespace controller takes `kubernetes` off
//! `spec.finalizers` through `/finalize`, and the namespace disappears.

use api_types::core::{Namespace, NamespaceSpec, NamespaceStatus};

use crate::registry::{
    Part, TypedStrategy,
    shape::Split,
    strategy::{BlindUpdate, DeleteAnswer},
};

pub(super) struct Namespaces;

const FINALIZER: &str = "kubernetes";
const ACTIVE: &str = "Active";
const TERMINATING: &str = "Terminating";

impl TypedStrategy for Namespaces {
    type Kind = Namespace;
    type Shape = Split;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Allowed;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut Namespace) {
        new.status = Some(NamespaceStatus { phase: Some(ACTIVE.into()), conditions: None });
        let finalizers = new.spec.get_or_insert_with(NamespaceSpec::default).finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
        name_label(new);
    }

    fn prepare_for_update(&self, new: &mut Namespace, old: &Namespace) {
        new.spec.get_or_insert_default().finalizers = old.spec.as_ref().and_then(|spec| spec.finalizers.clone());
        name_label(new);
    }

    fn prepare_for_part_update(&self, part: Part, new: &mut Namespace, old: &Namespace) {
        if part == Part::Finalize {
            new.status.clone_from(&old.status);
        }
    }

    fn mark_deleted(&self, namespace: &mut Namespace) {
        namespace.metadata.deletion_grace_period_seconds = None;
        namespace.status.get_or_insert_default().phase = Some(TERMINATING.into());
    }

    fn may_disappear(&self, namespace: &Namespace) -> bool {
        namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref()).is_none_or(Vec::is_empty)
    }
}

/// Every namespace can be selected by this label.
fn name_label(namespace: &mut Namespace) {
    let name = namespace.metadata.name.clone().unwrap_or_default();
    namespace.metadata.labels.get_or_insert_default().insert("kubernetes.io/metadata.name".into(), name);
}
