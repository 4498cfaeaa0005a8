//! Nothing is created in a namespace that is going away, and nothing is written in one that is not there; some
//! namespaces never go away.

use api_types::{StatusError, meta, rows};
use futures::future::BoxFuture;

use crate::registry::{
    Operation, Review, Target,
    admission::{Handle, Plugin},
};

/// Namespaces that cannot be deleted.
const IMMORTAL_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle {
    pub registry: Handle,
}

impl Plugin for NamespaceLifecycle {
    fn concerns(&self, review: &Review<'_>) -> bool {
        match review.door.operation {
            // Who may do what can be asked about any namespace.
            Operation::Create | Operation::Update => {
                !review.door.target.namespace.is_empty() && !review.door.row.is(&rows::LOCAL_SUBJECT_ACCESS_REVIEWS)
            }
            Operation::Delete => review.door.row.is(&rows::NAMESPACES),
            Operation::Connect => false,
        }
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            match review.door.operation {
                Operation::Delete => check_mortality(review),
                _ => self.check_namespace(review).await,
            }
        })
    }
}

fn check_mortality(review: &Review<'_>) -> Result<(), StatusError> {
    if IMMORTAL_NAMESPACES.contains(&review.door.target.name) {
        return Err(review.forbidden("this namespace may not be deleted"));
    }
    Ok(())
}

impl NamespaceLifecycle {
    async fn check_namespace(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let name = review.door.target.namespace;
        let registry = self.registry.registry()?;
        let namespaces = registry.core("namespaces")?;
        let entry = registry.get_cached(&namespaces, Target { namespace: "", name }).await?;
        if review.door.operation != Operation::Create {
            return Ok(());
        }
        // The phase is a selectable field, so nothing has to be decoded here.
        let phase = namespaces.field("status.phase");
        match phase.map(|index| entry.field(index)) {
            Some("Terminating") => Err(being_terminated(review, name)),
            _ => Ok(()),
        }
    }
}

fn being_terminated(review: &Review<'_>, namespace: &str) -> StatusError {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = review.forbidden(&why).status().clone();
    let cause = meta::StatusCause {
        reason: Some("NamespaceTerminating".into()),
        message: Some(format!("namespace {namespace} is being terminated")),
        field: Some("metadata.namespace".into()),
    };
    status.details.get_or_insert_default().causes.get_or_insert_default().push(cause);
    status.into()
}
