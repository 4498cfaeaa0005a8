//! Who makes an object go with another has to be allowed to delete it; and who keeps the owner waiting for it, to set the
//! owner's finalizers.

use std::{collections::HashSet, sync::Arc};

use api_types::{Resource, StatusError, meta::OwnerReference, rows};
use component::auth::{Attributes, Decision, ResourceAttributes, Target, Verdict};
use futures::future::BoxFuture;

use crate::{
    registry::{
        Operation, Registry, Review,
        admission::{Handle, Plugin},
    },
    resources,
};

pub(super) struct OwnerReferencesPermissionEnforcement {
    registry: Handle,
    /// What owners are of.
    rows: Vec<Arc<Resource>>,
}

impl OwnerReferencesPermissionEnforcement {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { registry: registry.clone(), rows: resources::rows() }
    }

    async fn check(
        &self,
        review: &Review<'_>,
        new: &[OwnerReference],
        old: &[OwnerReference],
    ) -> Result<(), StatusError> {
        let registry = self.registry.registry()?;
        let door = &review.door;
        let own = place(door.row, door.subresource, door.target.namespace, door.target.name);
        let verdict = ask(&registry, review, "delete", own).await;
        if verdict.decision != Decision::Allow {
            let why = "cannot set an ownerRef on a resource you can't delete";
            return Err(review.forbidden(&format!("{why}: {}", told(&verdict))));
        }
        for owner in blocking(new, old) {
            self.check_owner(&registry, review, owner).await?;
        }
        Ok(())
    }

    async fn check_owner(
        &self,
        registry: &Registry,
        review: &Review<'_>,
        owner: &OwnerReference,
    ) -> Result<(), StatusError> {
        let (version, kind) = (&owner.api_version, &owner.kind);
        let Some(row) = self.rows.iter().find(|row| row.api_version() == *version && row.kind == *kind) else {
            return Err(review.forbidden(&format!(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}: no matches for kind {kind:?} in version {version:?}"
            )));
        };
        let namespace = if row.namespaced() { review.door.target.namespace } else { "" };
        let verdict = ask(registry, review, "update", place(row, "finalizers", namespace, &owner.name)).await;
        if verdict.decision == Decision::Allow {
            return Ok(());
        }
        let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
        Err(review.forbidden(&format!("{why}: {}", told(&verdict))))
    }
}

impl Plugin for OwnerReferencesPermissionEnforcement {
    /// Kubelets write the statuses of pods whose owners they do not know.
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let written = matches!(door.operation, Operation::Create | Operation::Update);
        written && !(door.row.is(&rows::PODS) && door.subresource == "status")
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let Some(object) = review.get() else { return Ok(()) };
            let new = object.meta().owner_references.as_deref().unwrap_or_default();
            let old = review.old().and_then(|old| old.meta().owner_references.as_deref()).unwrap_or_default();
            if new == old { Ok(()) } else { self.check(review, new, old).await }
        })
    }
}

fn place<'a>(row: &'a Resource, subresource: &'a str, namespace: &'a str, name: &'a str) -> ResourceAttributes<'a> {
    ResourceAttributes {
        group: (&*row.group).into(),
        version: (&*row.version).into(),
        namespace: namespace.into(),
        resource: (&*row.plural).into(),
        subresource: subresource.into(),
        name: name.into(),
        ..ResourceAttributes::default()
    }
}

async fn ask(registry: &Registry, review: &Review<'_>, verb: &'static str, place: ResourceAttributes<'_>) -> Verdict {
    let asked = Attributes { user: review.user(), verb: verb.into(), target: Target::Resource(place) };
    registry.authorizer().authorize(&asked).await
}

/// Reason and error as upstream prints them.
fn told(verdict: &Verdict) -> String {
    let error = if verdict.error.is_empty() { "<nil>" } else { &verdict.error };
    format!("{}, {error}", verdict.reason)
}

/// Owners that an object keeps waiting and did not before.
fn blocking<'a>(new: &'a [OwnerReference], old: &'a [OwnerReference]) -> impl Iterator<Item = &'a OwnerReference> {
    let blocks = |owner: &&OwnerReference| owner.block_owner_deletion == Some(true);
    let before: HashSet<&str> = old.iter().filter(blocks).map(|owner| owner.uid.as_str()).collect();
    new.iter().filter(blocks).filter(move |owner| !before.contains(owner.uid.as_str()))
}
