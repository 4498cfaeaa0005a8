//! Claims of devices: access to devices that others use is for namespaces that say so, and who writes a claim's status
//! needs more rights than to write it. Both are part of upstream's validation, and cannot be switched off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::{
    GroupResource, Object, StatusError,
    core::{Namespace, NodeSelector},
    devices::{
        AllocatedDeviceStatus, AllocationResult, DeviceClaim, DeviceRequest, ResourceClaim, ResourceClaimStatus,
        ResourceClaimTemplate,
    },
    field::{FieldError, Path},
    rows,
    validation::names,
};
use component::auth::{Attributes, Decision, ResourceAttributes, Target, User, user::NODE_NAME};
use futures::future::BoxFuture;

use super::view::View;
use crate::registry::{
    Operation, Registry, Review,
    admission::{Handle, Plugin},
};

/// Marks namespaces in which access that disregards other users may be claimed.
const ADMIN_LABEL: &str = "resource.kubernetes.io/admin-access";
const STATUS: &str = "status";

pub(super) struct DeviceClaims {
    registry: Handle,
    namespaces: View<Namespace>,
}

impl DeviceClaims {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { registry: registry.clone(), namespaces: View::new(registry, &rows::NAMESPACES) }
    }

    async fn check(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let mut errors = Vec::new();
        if let Some(path) = wanted(review) {
            errors.extend(self.allowed(review, &path).await?);
        }
        if review.door.subresource == STATUS {
            let claim = review.expect::<ResourceClaim>("ResourceClaim")?;
            let old = review.old().and_then(|old| old.downcast_ref::<ResourceClaim>());
            let new = claim.status.clone().unwrap_or_default();
            let old = old.and_then(|old| old.status.clone()).unwrap_or_default();
            errors.extend(Change { registry: self.registry.registry()?, review, new, old }.check().await);
        }
        if errors.is_empty() {
            return Ok(());
        }
        let row = review.door.row;
        let kind = GroupResource::new(&row.group, &row.kind);
        Err(StatusError::invalid(kind, review.door.target.name, &errors))
    }

    /// Refuses what disregards other users where the namespace does not allow it.
    async fn allowed(&self, review: &Review<'_>, path: &Path) -> Result<Option<FieldError>, StatusError> {
        let labels = self.namespaces.labels("", review.door.target.namespace).await?;
        let marked = labels.iter().any(|(key, value)| key == ADMIN_LABEL && value == "true");
        let detail =
            format!("admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace");
        Ok((!marked).then(|| FieldError::forbidden(path, detail)))
    }
}

impl Plugin for DeviceClaims {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let claim = door.row.is(&rows::RESOURCE_CLAIMS) || door.row.is(&rows::RESOURCE_CLAIM_TEMPLATES);
        claim && matches!(door.operation, Operation::Create | Operation::Update)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(self.check(review))
    }
}

/// Where access is wanted that disregards other users, unless that has been looked at before: a specification and an
/// allocation never change.
fn wanted(review: &Review<'_>) -> Option<Path> {
    let object = review.get()?;
    if review.door.subresource == STATUS {
        let granted = |object: &dyn Object| granted(object.downcast_ref::<ResourceClaim>()?.status.as_ref()?);
        return if review.old().and_then(granted).is_some() { None } else { granted(object) };
    }
    if let Some(claim) = object.downcast_ref::<ResourceClaim>() {
        return requested(claim.spec.devices.as_ref()?);
    }
    requested(object.downcast_ref::<ResourceClaimTemplate>()?.spec.spec.devices.as_ref()?)
}

fn requested(claim: &DeviceClaim) -> Option<Path> {
    let exactly = |own: &DeviceRequest| own.exactly.as_ref().and_then(|own| own.admin_access);
    let position = claim.requests.iter().flatten().position(|own| exactly(own) == Some(true))?;
    Some(Path::new("spec").child("devices").child("requests").index(position).child("adminAccess"))
}

fn granted(status: &ResourceClaimStatus) -> Option<Path> {
    let results = status.allocation.as_ref()?.devices.as_ref()?.results.as_ref()?;
    let position = results.iter().position(|own| own.admin_access == Some(true))?;
    let path = Path::new(STATUS).child("allocation").child("devices").child("results");
    Some(path.index(position).child("adminAccess"))
}

/// What becomes of a claim's status.
struct Change<'a> {
    registry: Arc<Registry>,
    review: &'a Review<'a>,
    new: ResourceClaimStatus,
    old: ResourceClaimStatus,
}

impl Change<'_> {
    async fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::from_iter(self.binding().await);
        for driver in changed(&self.new, &self.old) {
            errors.extend(self.driver(&driver).await);
        }
        errors
    }

    /// Devices are given to claims, and claims to pods, by who may do that in all namespaces.
    async fn binding(&self) -> Option<FieldError> {
        if self.new.allocation == self.old.allocation && self.new.reserved_for == self.old.reserved_for {
            return None;
        }
        let verb = self.review.verb();
        let refusal = self.refusal(verb, "binding", "", "").await?;
        let what = r#"changing status.allocation or status.reservedFor requires resource="resourceclaims/binding""#;
        Some(FieldError::forbidden(&Path::new(STATUS), format!("{what}, verb=\"{verb}\" permission: {refusal}")))
    }

    /// What a driver says of its devices is told by who may speak for it: for devices of the node on which they are, or
    /// of any.
    async fn driver(&self, driver: &str) -> Option<FieldError> {
        let mut prefixes = vec!["arbitrary-node:"];
        let node = self.new.allocation.as_ref().and_then(node_of);
        if node.is_some() && node == associated(self.review.user()) {
            prefixes.insert(0, "associated-node:");
        }
        let verbs: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}{}", self.review.verb())).collect();
        let mut first = None;
        for verb in &verbs {
            let refusal = self.refusal(verb, "driver", self.review.door.target.namespace, driver).await?;
            first.get_or_insert(refusal);
        }
        let what = r#"changing status.devices requires resource="resourceclaims/driver""#;
        let detail = format!("{what}, verb=\"[{}]\" permission: {}", verbs.join(" "), first.unwrap_or_default());
        Some(FieldError::forbidden(&Path::new(STATUS).child("devices"), detail))
    }

    /// Why somebody may not do something to a part of the claim that is none on the wire.
    async fn refusal(&self, verb: &str, subresource: &str, namespace: &str, name: &str) -> Option<String> {
        let row = self.review.door.row;
        let place = ResourceAttributes {
            group: (&*row.group).into(),
            version: (&*row.version).into(),
            namespace: namespace.into(),
            resource: (&*row.plural).into(),
            subresource: subresource.into(),
            name: name.into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes { user: self.review.user(), verb: verb.into(), target: Target::Resource(place) };
        let verdict = self.registry.authorizer().authorize(&asked).await;
        let why = match (verdict.error.as_str(), verdict.reason.as_str()) {
            ("", reason) => reason.to_owned(),
            (error, "") => error.to_owned(),
            (error, reason) => format!("{error}: {reason}"),
        };
        (verdict.decision != Decision::Allow).then(|| asked.forbidden(&why).to_string())
    }
}

/// The drivers of whose devices something else is said than before.
fn changed(new: &ResourceClaimStatus, old: &ResourceClaimStatus) -> BTreeSet<String> {
    type Key<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);
    fn by_device(status: &ResourceClaimStatus) -> BTreeMap<Key<'_>, &AllocatedDeviceStatus> {
        let devices = status.devices.iter().flatten();
        devices.map(|own| ((&*own.driver, &*own.pool, &*own.device, own.share_id.as_deref()), own)).collect()
    }
    let (new, old) = (by_device(new), by_device(old));
    let keys: BTreeSet<Key<'_>> = new.keys().chain(old.keys()).copied().collect();
    keys.into_iter().filter(|key| new.get(key) != old.get(key)).map(|key| key.0.to_owned()).collect()
}

/// The node to which devices belong, when they belong to one.
fn node_of(allocation: &AllocationResult) -> Option<&str> {
    let NodeSelector { node_selector_terms } = allocation.node_selector.as_ref()?;
    let [term] = &node_selector_terms[..] else { return None };
    let labels = term.match_expressions.as_ref().is_some_and(|labels| !labels.is_empty());
    let [field] = term.match_fields.as_deref()? else { return None };
    match field.values.as_deref()? {
        [name] if !labels && field.key == "metadata.name" && field.operator == "In" => Some(name),
        _ => None,
    }
}

/// The node of a service account whose token was made for a pod there.
fn associated(user: &User) -> Option<&str> {
    let account = user.name.strip_prefix("system:serviceaccount:")?;
    account.split_once(':').filter(|(_, name)| !name.contains(':'))?;
    match user.extra.get(NODE_NAME).map(Vec::as_slice)? {
        [node] if names::dns1123_subdomain(node).is_empty() => Some(node),
        _ => None,
    }
}
