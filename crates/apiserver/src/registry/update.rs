//! PUT and PATCH: an object is changed, in whole or in part, unless somebody else was faster.

use api_types::{
    Object, StatusError,
    field::{FieldError, Path},
    validation::meta::{name_rule, validate_object_meta, validate_object_meta_update},
};

use super::{
    DryRun, FieldTracking, Made, Registry, Rest, Target, Write, Written, check_namespace,
    deletion::may_be_removed,
    metadata,
    strategy::{AbsentUpdate, BlindUpdate, Part, now},
};
use crate::{
    admission::{Attributes, Operation},
    managed_fields::{Writer, on_update},
    storage::{Item, StoreError, cache::Freshness},
};

/// Makes the new object of the current one. It is asked again when somebody else has changed the object meanwhile.
pub trait Change: Send + Sync {
    /// The object as it is to be, with `metadata.resourceVersion` set if it insists on that version.
    ///
    /// # Errors
    /// When the change cannot be applied.
    fn apply(&self, current: &dyn Object) -> Result<Box<dyn Object>, StatusError>;

    /// The object to create when there is none; `None` when that is a 404.
    ///
    /// # Errors
    /// When the change cannot be applied to nothing.
    fn create(&self) -> Result<Option<Box<dyn Object>>, StatusError>;
}

/// Where the current object was read; the cache may be behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Cache,
    Store,
}

/// How one attempt ended that did not fail.
enum Attempt {
    Done(Written),
    /// Somebody was faster; this is what they wrote.
    Overtaken(Box<Item>),
}

impl Registry {
    /// Changes an object.
    ///
    /// # Errors
    /// 400, 403, 404, 409 (it is not of the version that the change insists on), 422, or the store's.
    pub async fn update(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        target: Target<'_>,
        part: Part,
        change: &dyn Change,
    ) -> Result<Written, StatusError> {
        let Some((mut item, mut source)) = self.current(rest, target).await? else {
            return self.create_absent(rest, write, target, part, change).await;
        };
        loop {
            match self.attempt(rest, write, target, part, &item, change).await {
                Ok(Attempt::Done(written)) => return Ok(written),
                Ok(Attempt::Overtaken(newer)) => (item, source) = (*newer, Source::Store),
                Err(error) if source == Source::Store => return Err(error),
                Err(error) => {
                    // The reason may be that the cache is behind.
                    let newer = self.stored(rest, target).await?;
                    if newer.revision == item.revision {
                        return Err(error);
                    }
                    (item, source) = (newer, Source::Store);
                }
            }
        }
    }

    async fn current(&self, rest: &Rest, target: Target<'_>) -> Result<Option<(Item, Source)>, StatusError> {
        let key = rest.key(target.namespace, target.name);
        if let Ok(entry) = rest.cache.get(&key, Freshness::Any).await {
            return Ok(Some((entry.item().clone(), Source::Cache)));
        }
        match self.store.get(&key).await {
            Ok(item) => Ok(Some((item, Source::Store))),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(rest.store_error(target.name, &error)),
        }
    }

    async fn create_absent(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        target: Target<'_>,
        part: Part,
        change: &dyn Change,
    ) -> Result<Written, StatusError> {
        let absent = || StatusError::not_found(rest.group_resource(), target.name);
        if part != Part::Main {
            return Err(absent());
        }
        let object = change.create()?.ok_or_else(absent)?;
        check_name(&*object, target)?;
        self.create(rest, write, target.namespace, object).await
    }

    async fn attempt(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        target: Target<'_>,
        part: Part,
        item: &Item,
        change: &dyn Change,
    ) -> Result<Attempt, StatusError> {
        let old = rest.decode(item)?;
        let mut new = change.apply(&*old)?;
        check_name(&*new, target)?;
        check_namespace(&mut *new, target.namespace)?;
        check_preconditions(rest, &*new, &*old, target.name)?;
        metadata::carry_over(new.meta_mut(), old.meta());
        rest.row.ops.set_defaults(&mut *new);
        rest.strategy.prepare_for_update(part, &mut *new, &*old);
        let attributes = Attributes { registry: self, rest, write, operation: Operation::Update, part, target };
        self.admission.admit(&attributes, &mut *new).await?;
        let errors = validate_change(rest, part, &*new, &*old);
        if !errors.is_empty() {
            return Err(StatusError::invalid(rest.group_kind(), target.name, &errors));
        }
        self.admission.validate(&attributes, Some(&*new), Some(&*old)).await?;
        if part.is_specification() {
            for warning in rest.strategy.warnings(&*new) {
                write.warn(warning);
            }
        }
        track_fields(rest, write, part, &mut *new, Some(&*old));
        self.store_changed(rest, write, target, item, new, &*old).await
    }

    async fn store_changed(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        target: Target<'_>,
        item: &Item,
        mut new: Box<dyn Object>,
        old: &dyn Object,
    ) -> Result<Attempt, StatusError> {
        let reservation = rest.strategy.reserve(self, Some(&mut *new), Some(old)).await?;
        let value = rest.encode(&mut *new)?;
        let changed = |item: Item| {
            let json = rest.present_item(item)?;
            Ok(Attempt::Done(Written { made: Made::Changed, json }))
        };
        if value == item.value || write.options.dry_run == DryRun::All {
            reservation.cancel().await;
            return changed(Item { value, ..item.clone() });
        }
        let result = if may_be_removed(rest.strategy, &*new) {
            self.store.delete(&item.key, item.revision).await
        } else {
            self.store.update(&item.key, item.revision, value.clone(), rest.ttl).await
        };
        match result {
            Ok(revision) => {
                reservation.commit().await;
                changed(Item { value, revision, ..item.clone() })
            }
            Err(error) => {
                reservation.cancel().await;
                match error {
                    StoreError::Conflict { current, .. } => Ok(Attempt::Overtaken(current)),
                    error => Err(rest.store_error(target.name, &error)),
                }
            }
        }
    }
}

/// Records who set which fields.
pub(super) fn track_fields(rest: &Rest, write: &Write<'_>, part: Part, new: &mut dyn Object, old: Option<&dyn Object>) {
    // A binding belongs to nobody, as upstream.
    if write.fields == FieldTracking::Due && part != Part::Binding {
        let manager = write.options.field_manager.as_str();
        on_update(old, new, &Writer { resource: rest.row, manager, subresource: part.subresource(), now: now() });
    }
}

/// Sees that an object has the name that the request has.
///
/// # Errors
/// 400 when it has another.
pub fn check_name(object: &dyn Object, target: Target<'_>) -> Result<(), StatusError> {
    match object.meta().name.as_deref() {
        Some(name) if !name.is_empty() && name != target.name => Err(StatusError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        ))),
        _ => Ok(()),
    }
}

fn check_preconditions(rest: &Rest, new: &dyn Object, old: &dyn Object, name: &str) -> Result<(), StatusError> {
    let (new, old) = (new.meta(), old.meta());
    if let (Some(wanted), Some(actual)) = (new.uid.as_deref().filter(|uid| !uid.is_empty()), &old.uid)
        && wanted != actual
    {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}");
        return Err(StatusError::conflict(rest.group_resource(), name, &why));
    }
    match new.resource_version.as_deref().unwrap_or_default() {
        "" | "0" if rest.strategy.blind_update() == BlindUpdate::Allowed => Ok(()),
        "" | "0" => {
            let path = Path::new("metadata").child("resourceVersion");
            let error = FieldError::invalid(&path, 0, "must be specified for an update");
            // Upstream names the resource here, where it names the kind everywhere else.
            Err(StatusError::invalid(rest.group_resource(), name, &[error]))
        }
        wanted if Some(wanted) == old.resource_version.as_deref() => Ok(()),
        _ => Err(StatusError::modified(rest.group_resource(), name)),
    }
}

fn validate_change(rest: &Rest, part: Part, new: &dyn Object, old: &dyn Object) -> Vec<FieldError> {
    let mut errors = validate_object_meta_update(new.meta(), old.meta());
    let ops = rest.row.ops;
    if part.is_specification() {
        errors.extend(validate_object_meta(new.meta(), rest.row.scope, name_rule(rest.row)));
        errors.extend(ops.validate(new));
        errors.extend(ops.validate_update(new, old));
    } else {
        errors.extend(ops.validate_status_update(new, old));
    }
    errors
}

/// A PUT: the object as the client sent it.
pub struct Replace<'a> {
    /// What the client sent.
    pub object: &'a dyn Object,
    /// What happens when there is none.
    pub absent: AbsentUpdate,
}

impl Change for Replace<'_> {
    fn apply(&self, _current: &dyn Object) -> Result<Box<dyn Object>, StatusError> {
        Ok(self.object.clone_object())
    }

    fn create(&self) -> Result<Option<Box<dyn Object>>, StatusError> {
        Ok((self.absent == AbsentUpdate::Creates).then(|| self.object.clone_object()))
    }
}
