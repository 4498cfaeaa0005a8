//! What extends the API: definitions of custom resources, and other servers. What comes of the former is in
//! [`crate::definitions`].

use std::marker::PhantomData;

use api_types::{
    Kind,
    apiextensions::{CustomResourceDefinition, CustomResourceDefinitionCondition},
    apiregistration::{APIService, APIServiceCondition},
    custom::FINALIZER,
    meta::Time,
};

use crate::registry::{
    Part, TypedStrategy,
    metadata::keep_all,
    shape::{Counted, Fresh, Shape},
    strategy::{BlindUpdate, now},
};

pub(super) struct CustomResourceDefinitions;

impl TypedStrategy for CustomResourceDefinitions {
    type Kind = CustomResourceDefinition;
    type Shape = Counted;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;

    fn prepare_for_create(&self, new: &mut CustomResourceDefinition) {
        remember_storage(new);
    }

    fn prepare_for_update(&self, new: &mut CustomResourceDefinition, _old: &CustomResourceDefinition) {
        remember_storage(new);
    }

    fn mark_deleted(&self, definition: &mut CustomResourceDefinition) {
        let conditions = definition.status.get_or_insert_default().conditions.get_or_insert_default();
        if conditions.iter().any(|condition| condition.type_ == TERMINATING) {
            return;
        }
        conditions.push(CustomResourceDefinitionCondition {
            type_: TERMINATING.into(),
            status: "True".into(),
            reason: Some("InstanceDeletionPending".into()),
            message: Some(
                "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon".into(),
            ),
            last_transition_time: Some(Time(now())),
            observed_generation: None,
        });
        let finalizers = definition.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
    }

    /// Its objects go first.
    fn may_disappear(&self, definition: &CustomResourceDefinition) -> bool {
        definition.metadata.deletion_timestamp.is_some()
    }
}

const TERMINATING: &str = "Terminating";

/// A version in which objects are stored remains known as one.
fn remember_storage(definition: &mut CustomResourceDefinition) {
    let Some(storage) = definition.spec.versions.iter().find(|version| version.storage) else { return };
    let stored = definition.status.get_or_insert_default().stored_versions.get_or_insert_default();
    if !stored.contains(&storage.name) {
        stored.push(storage.name.clone());
    }
}

/// The strategy of rules about requests.
pub(super) struct Rules<K, S>(PhantomData<fn() -> (K, S)>);

impl<K, S> Default for Rules<K, S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K: Kind, S: Shape<K>> TypedStrategy for Rules<K, S> {
    type Kind = K;
    type Shape = S;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;

    fn prepare_for_part_update(&self, _part: Part, new: &mut K, old: &K) {
        keep_all(new.metadata_mut(), old.metadata());
    }
}

pub(super) struct ApiServices;

impl TypedStrategy for ApiServices {
    type Kind = APIService;
    type Shape = Fresh;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;

    fn prepare_for_create(&self, new: &mut APIService) {
        if new.spec.as_ref().is_none_or(|spec| spec.service.is_none()) {
            new.status.get_or_insert_default().conditions = Some(vec![local()]);
        }
    }

    fn prepare_for_part_update(&self, _part: Part, new: &mut APIService, old: &APIService) {
        keep_all(&mut new.metadata, &old.metadata);
    }
}

/// What this server serves itself is always there.
fn local() -> APIServiceCondition {
    APIServiceCondition {
        type_: "Available".into(),
        status: "True".into(),
        reason: Some("Local".into()),
        message: Some("Local APIServices are always available".into()),
        last_transition_time: Some(Time(now())),
    }
}
