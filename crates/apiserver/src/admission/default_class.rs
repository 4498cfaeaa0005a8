//! What names no class gets the default one: claims a storage class, ingresses an ingress class.

use std::{cmp::Reverse, sync::Arc};

use api_types::{
    Object, Resource, StatusError,
    core::PersistentVolumeClaim,
    networking::{Ingress, IngressClass},
    rows,
    storage::StorageClass,
};
use futures::future::BoxFuture;

use super::view::View;
use crate::registry::{
    Review,
    admission::{Handle, Plugin},
};

/// An object that belongs to a class.
pub(super) trait Classed: Object {
    /// The classes.
    type Class: Object + Clone;
    /// Its row.
    const ROW: &'static Resource;
    /// Its kind.
    const KIND: &'static str;
    /// The row of its classes.
    const CLASSES: &'static Resource;
    /// Annotations by which a class is the default one.
    const DEFAULT: &'static [&'static str];
    /// The annotation that named a class before there was a field.
    const ANNOTATION: &'static str;

    /// The field that names its class.
    fn class_mut(&mut self) -> &mut Option<String>;
}

impl Classed for PersistentVolumeClaim {
    type Class = StorageClass;
    const ROW: &'static Resource = &rows::PERSISTENT_VOLUME_CLAIMS;
    const KIND: &'static str = "PersistentVolumeClaim";
    const CLASSES: &'static Resource = &rows::STORAGE_CLASSES;
    const DEFAULT: &'static [&'static str] =
        &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    const ANNOTATION: &'static str = "volume.beta.kubernetes.io/storage-class";

    fn class_mut(&mut self) -> &mut Option<String> {
        &mut self.spec.get_or_insert_default().storage_class_name
    }
}

impl Classed for Ingress {
    type Class = IngressClass;
    const ROW: &'static Resource = &rows::INGRESSES;
    const KIND: &'static str = "Ingress";
    const CLASSES: &'static Resource = &rows::INGRESS_CLASSES;
    const DEFAULT: &'static [&'static str] = &["ingressclass.kubernetes.io/is-default-class"];
    const ANNOTATION: &'static str = "kubernetes.io/ingress.class";

    fn class_mut(&mut self) -> &mut Option<String> {
        &mut self.spec.get_or_insert_default().ingress_class_name
    }
}

/// The plugin of one kind.
pub(super) struct DefaultClass<T: Classed> {
    classes: View<T::Class>,
}

impl<T: Classed> DefaultClass<T> {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { classes: View::new(registry, T::CLASSES) }
    }

    /// The default class: of several the newest, of those the first by name.
    async fn default(&self) -> Result<Option<Arc<T::Class>>, StatusError> {
        let is_default = |class: &Arc<T::Class>| {
            let annotations = class.meta().annotations.as_ref();
            annotations.is_some_and(|own| T::DEFAULT.iter().any(|key| own.get(*key).is_some_and(|on| on == "true")))
        };
        let all = self.classes.list("").await?.into_iter().filter(is_default);
        Ok(all.min_by_key(|class| {
            let meta = class.meta();
            (Reverse(meta.creation_timestamp.as_ref().map(|time| time.0)), meta.name.clone())
        }))
    }
}

impl<T: Classed> Plugin for DefaultClass<T> {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.creates(T::ROW)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let object = review.expect_mut::<T>(T::KIND)?;
            let annotated = object.meta().annotations.as_ref().is_some_and(|own| own.contains_key(T::ANNOTATION));
            if annotated || object.class_mut().is_some() {
                return Ok(());
            }
            if let Some(class) = self.default().await? {
                *review.expect_mut::<T>(T::KIND)?.class_mut() = class.meta().name.clone();
            }
            Ok(())
        })
    }
}
