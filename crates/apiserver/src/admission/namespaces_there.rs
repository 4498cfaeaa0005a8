//! Namespaces that are not there: one plugin refuses what is written in them, another makes them.

use api_types::{Resource, StatusError, core::Namespace, meta::ObjectMeta, rows};
use futures::future::BoxFuture;

use super::view::View;
use crate::{
    registry::own::{loopback_user, own_options},
    registry::{
        DryRun, Operation, Review, Write,
        admission::{Handle, Plugin},
    },
};

/// What asks and writes nothing.
fn only_asks(row: &Resource) -> bool {
    row.is(&rows::LOCAL_SUBJECT_ACCESS_REVIEWS)
}

/// Refuses what is written in a namespace that is not there.
pub(super) struct NamespaceExists {
    namespaces: View<Namespace>,
}

impl NamespaceExists {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { namespaces: View::new(registry, &rows::NAMESPACES) }
    }
}

impl Plugin for NamespaceExists {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let written = review.door.operation != Operation::Connect;
        written && !review.door.target.namespace.is_empty() && !only_asks(review.door.row)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let name = review.door.target.namespace;
            match self.namespaces.get("", name).await? {
                Some(_) => Ok(()),
                None => Err(StatusError::not_found((&rows::NAMESPACES).into(), name)),
            }
        })
    }
}

/// Makes the namespace in which something is created.
pub(super) struct NamespaceAutoProvision {
    namespaces: View<Namespace>,
}

impl NamespaceAutoProvision {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { namespaces: View::new(registry, &rows::NAMESPACES) }
    }

    async fn provide(&self, name: &str) -> Result<(), StatusError> {
        if self.namespaces.get("", name).await?.is_some() {
            return Ok(());
        }
        let (registry, rest) = self.namespaces.rest()?;
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace: Box<dyn api_types::Object> = Box::new(Namespace { metadata, ..Namespace::default() });
        let user = loopback_user();
        match registry.create(&rest, &Write::new(&user, own_options()), "", namespace).await {
            Err(error) if error.reason() != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }
}

impl Plugin for NamespaceAutoProvision {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let created = review.door.operation == Operation::Create && review.dry_run() == DryRun::Off;
        created && !review.door.target.namespace.is_empty() && !only_asks(review.door.row)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(self.provide(review.door.target.namespace))
    }
}
