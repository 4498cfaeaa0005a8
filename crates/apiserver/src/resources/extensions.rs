//! What extends the API: definitions of custom resources, and other servers. Nothing is served from them here.

use std::marker::PhantomData;

use api_types::{
    Kind,
    apiextensions::CustomResourceDefinition,
    apiregistration::{APIService, APIServiceCondition},
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
}

/// A version in which objects are stored remains known as one.
fn remember_storage(definition: &mut CustomResourceDefinition) {
    let Some(storage) = definition.spec.versions.iter().find(|version| version.storage) else { return };
    let stored = definition.status.get_or_insert_default().stored_versions.get_or_insert_default();
    if !stored.contains(&storage.name) {
        stored.push(storage.name.clone());
    }
}

/// The strategy of a kind that is stored, and of which nothing comes yet: who writes such an object is told.
pub(super) struct Unenforced<K, S>(PhantomData<fn() -> (K, S)>);

impl<K, S> Default for Unenforced<K, S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K: Kind, S: Shape<K>> TypedStrategy for Unenforced<K, S> {
    type Kind = K;
    type Shape = S;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;

    fn prepare_for_part_update(&self, _part: Part, new: &mut K, old: &K) {
        keep_all(new.metadata_mut(), old.metadata());
    }

    fn warnings(&self, _object: &K, _old: Option<&K>) -> Vec<String> {
        vec![format!("this {} is stored and not enforced yet", K::KIND)]
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
