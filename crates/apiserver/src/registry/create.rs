//! POST: a new object.

use api_types::{
    Object, StatusError, WrongType,
    field::FieldError,
    meta::ObjectMeta,
    validation::meta::{validate_object_meta, validate_standard_finalizers},
};

use super::{
    Changed, Door, DryRun, Made, Operation, Registry, Rest, Review, Target, Write, Written, check_namespace,
    decode::decode_stored,
    metadata,
    reservation::Reservation,
    strategy::{Part, now},
    update::{to_store, writer},
};
use crate::{
    managed_fields::{After, ManagedFields, on_update, put_together},
    storage::{Item, Key, StoreError},
};

/// So many generated names are tried before the client is told that none was free; upstream's number.
const NAME_ATTEMPTS: usize = 8;

impl Registry {
    /// Creates an object.
    ///
    /// # Errors
    /// 400, 403, 404 (no such namespace), 409 (the name is taken), 422, or the store's.
    pub async fn create(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        namespace: &str,
        new: impl Into<Changed>,
    ) -> Result<Written, StatusError> {
        let mut new = new.into();
        check_namespace(&mut *new.object, namespace)?;
        warn_of_owners(write, new.object.meta_mut());
        rest.row.ops.set_defaults(&mut *new.object)?;
        // What the server adds from here on belongs to nobody.
        let managed = new.managed.take().unwrap_or_else(|| track_new(rest, write, &mut *new.object));
        new.managed = Some(managed);
        self.admit_new(rest, write, &mut new.object).await?;
        check_namespace(&mut *new.object, namespace)?;
        let object = &new.object;
        let base = object.meta().generate_name.clone().filter(|base| !base.is_empty());
        let named = object.meta().name.as_deref().is_some_and(|name| !name.is_empty());
        let Some(base) = base.filter(|_| !named) else {
            return self.create_named(rest, write, new).await;
        };
        let mut attempts = 1..=NAME_ATTEMPTS;
        loop {
            let mut candidate = object.clone_object();
            let name = metadata::generate_name(&base);
            candidate.meta_mut().name = Some(name.clone());
            attempts.next();
            let candidate = Changed { object: candidate, managed: new.managed.clone() };
            match self.create_named(rest, write, candidate).await {
                Err(error) if error.reason() == "AlreadyExists" && attempts.is_empty() => {
                    return Err(StatusError::generate_name_conflict(rest.group_resource(), &name, 1));
                }
                Err(error) if error.reason() == "AlreadyExists" => {}
                result => return result,
            }
        }
    }

    /// The mutating side sees a new object as it was sent, before it has a name that is made up.
    async fn admit_new(&self, rest: &Rest, write: &Write<'_>, object: &mut Box<dyn Object>) -> Result<(), StatusError> {
        let (namespace, name) = names(&**object);
        let door = door(rest, Target { namespace: &namespace, name: &name });
        self.admit(&mut Review::object(door, write, object)).await
    }

    async fn create_named(&self, rest: &Rest, write: &Write<'_>, mut new: Changed) -> Result<Written, StatusError> {
        let object = &mut new.object;
        let version = object.meta().resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
        metadata::stamp_new(object.meta_mut(), now());
        rest.strategy.prepare_for_create(&mut **object)?;
        rest.strategy.attribute(&mut **object, write.user)?;
        let (namespace, name) = names(&**object);
        let target = Target { namespace: &namespace, name: &name };
        let errors = validate_new(rest, &**object)?;
        if !errors.is_empty() {
            return Err(StatusError::invalid(rest.group_kind(), &name, &errors));
        }
        self.validate(&Review::object(door(rest, target), write, object)).await?;
        if version.is_some_and(|version| version != 0) {
            return Err(StatusError::unexplained("resourceVersion should not be set on objects to be created"));
        }
        for warning in rest.strategy.warnings(&**object, None)? {
            write.warn(warning);
        }
        let reservation = rest.strategy.reserve(Some(&mut **object), None, write.options.dry_run).await?;
        self.store_new(rest, write, target, new, reservation).await
    }

    async fn store_new(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        target: Target<'_>,
        mut new: Changed,
        reservation: Reservation,
    ) -> Result<Written, StatusError> {
        let json = to_store(&mut *new.object);
        let managed = new.managed.unwrap_or_default();
        let value = match rest.encode(&*new.object, &json, &managed).await {
            Ok(value) => value,
            Err(error) => {
                reservation.cancel().await;
                return Err(error);
            }
        };
        let key = rest.key(target.namespace, target.name);
        if write.options.dry_run == DryRun::All {
            reservation.cancel().await;
            return match self.store.get(&key).await {
                Ok(item) => Err(taken(rest, target, &item)),
                Err(StoreError::NotFound { .. }) => {
                    let json = put_together(&json, &managed).map_err(StatusError::internal)?;
                    Ok(Written { made: Made::Created, json })
                }
                Err(error) => Err(rest.store_error(target.name, &error)),
            };
        }
        match self.store.create(&key, value.clone(), rest.storage.ttl).await {
            Ok(revision) => {
                rest.storage.wrote(revision);
                reservation.commit().await;
                let json = rest.present_item(&Item { key, value, revision, created: revision }).await?;
                Ok(Written { made: Made::Created, json })
            }
            Err(error) => {
                reservation.failed(&error).await;
                Err(self.not_created(rest, target, &key, &error).await)
            }
        }
    }

    async fn not_created(&self, rest: &Rest, target: Target<'_>, key: &Key, error: &StoreError) -> StatusError {
        if matches!(error, StoreError::Exists { .. })
            && let Ok(item) = self.store.get(key).await
        {
            return taken(rest, target, &item);
        }
        rest.store_error(target.name, error)
    }
}

/// The name is another object's, which may be on its way out.
fn taken(rest: &Rest, target: Target<'_>, item: &Item) -> StatusError {
    let other = decode_stored(&rest.storage.row, &item.value);
    if other.is_ok_and(|other| other.meta().deletion_timestamp.is_some()) {
        return StatusError::still_exists(rest.group_resource(), target.name);
    }
    StatusError::already_exists(rest.group_resource(), target.name)
}

/// Who creates an object owns what is in it.
fn track_new(rest: &Rest, write: &Write<'_>, object: &mut dyn Object) -> ManagedFields {
    let sent = object.meta_mut().managed_fields.take();
    let json = object.encode();
    on_update(None, After { wanted: &json, stored: &json }, sent, &writer(rest, write, Part::Main))
}

/// Upstream has said for long that it may refuse these one day.
pub(super) fn warn_of_owners(write: &Write<'_>, meta: &mut ObjectMeta) {
    let dropped = metadata::drop_duplicate_owners(meta);
    if !dropped.is_empty() {
        write.warn(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            dropped.join(", ")
        ));
    }
}

fn door<'a>(rest: &'a Rest, target: Target<'a>) -> Door<'a> {
    Door { operation: Operation::Create, row: &rest.row, subresource: Part::Main.subresource(), target }
}

/// Namespace and name, each empty when there is none.
fn names(object: &dyn Object) -> (String, String) {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn validate_new(rest: &Rest, object: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
    let mut errors = validate_object_meta(object.meta(), rest.row.scope, rest.row.name_rule);
    if is_built_in(rest) {
        errors.extend(validate_standard_finalizers(object.meta()));
    }
    errors.extend(rest.row.ops.validate(object)?);
    Ok(errors)
}

/// Whether upstream has this kind, too: it is stricter with those.
pub(super) fn is_built_in(rest: &Rest) -> bool {
    rest.row.schema().is_message()
}
