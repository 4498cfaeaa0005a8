//! Nothing is created in a namespace that is not there or is going away; some namespaces never go away.

use api_types::{GroupResource, Object, StatusError, meta};
use futures::future::BoxFuture;

use super::{Attributes, Operation, Plugin};
use crate::{bootstrap::IMMORTAL_NAMESPACES, registry::Target};

pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        _object: &'a mut dyn Object,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let concerned = attributes.operation == Operation::Create && attributes.rest.row.namespaced();
            if concerned { check_namespace(attributes).await } else { Ok(()) }
        })
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        _new: Option<&'a dyn Object>,
        _old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        let row = &attributes.rest.row;
        let name = attributes.target.name;
        let deleted = attributes.operation == Operation::Delete && row.group.is_empty() && row.plural == "namespaces";
        let refused = deleted && IMMORTAL_NAMESPACES.contains(&name);
        Box::pin(async move {
            if refused {
                let why = "this namespace may not be deleted";
                return Err(StatusError::forbidden(GroupResource::new("", "namespaces"), name, why));
            }
            Ok(())
        })
    }
}

async fn check_namespace(attributes: &Attributes<'_>) -> Result<(), StatusError> {
    let name = attributes.target.namespace;
    let namespaces = attributes.registry.core("namespaces")?;
    let entry = attributes.registry.get_cached(namespaces, Target { namespace: "", name }).await?;
    // The phase is a selectable field, so nothing has to be decoded here.
    let phase = namespaces.row.ops.selectable().iter().position(|field| field.path == "status.phase");
    match phase.map(|index| entry.field(index)) {
        Some("Terminating") => Err(being_terminated(attributes, name)),
        _ => Ok(()),
    }
}

fn being_terminated(attributes: &Attributes<'_>, namespace: &str) -> StatusError {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let error = StatusError::forbidden(attributes.rest.group_resource(), attributes.target.name, &why);
    let mut status = error.status().clone();
    let cause = meta::StatusCause {
        reason: Some("NamespaceTerminating".into()),
        message: Some(format!("namespace {namespace} is being terminated")),
        field: Some("metadata.namespace".into()),
    };
    status.details.get_or_insert_default().causes.get_or_insert_default().push(cause);
    status.into()
}
