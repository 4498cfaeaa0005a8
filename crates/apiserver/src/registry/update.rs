//! PUT and PATCH: an object is changed, in whole or in part, unless somebody else was faster.

use api_types::{
    GroupResource, Object, StatusError, WrongType,
    autoscaling::Scale,
    field::{FieldError, Path},
    meta::ManagedFieldsEntry,
    validation::meta::{validate_object_meta, validate_object_meta_update, validate_standard_finalizers},
};
use bytes::Bytes;
use component::auth::{self, Attributes, Decision, ResourceAttributes, Verdict};

use super::{
    Door, DryRun, Made, Operation, Registry, Rest, Review, Stored, Target, Write, Written, check_namespace,
    create::{is_built_in, warn_of_owners},
    deletion::may_be_removed,
    metadata,
    review::decode_as,
    strategy::{AbsentUpdate, BlindUpdate, Part, now},
};
use crate::{
    managed_fields::{After, ManagedFields, Writer, on_update},
    storage::{Item, StoreError, cache::Freshness},
};

/// Makes the new object of the current one. It is asked again when somebody else has changed the object meanwhile.
pub trait Change: Send + Sync {
    /// The object as it is to be, or its `Scale` where that is written, with `metadata.resourceVersion` set if it insists
    /// on that version.
    ///
    /// # Errors
    /// When the change cannot be applied.
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError>;

    /// The object to create when there is none; `None` when that is a 404.
    ///
    /// # Errors
    /// When the change cannot be applied to nothing.
    fn create(&self) -> Result<Option<Changed>, StatusError>;

    /// What another uid means.
    fn identity(&self) -> Identity {
        Identity::Precondition
    }
}

/// What another uid than the object's means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// That another object was meant.
    Precondition,
    /// That the client tries to change it.
    Field,
}

/// What a change makes of an object.
pub struct Changed {
    /// The object.
    pub object: Box<dyn Object>,
    /// Who manages its fields; `None` when that is still to be found out.
    pub managed: Option<ManagedFields>,
}

impl From<Box<dyn Object>> for Changed {
    fn from(object: Box<dyn Object>) -> Self {
        Self { object, managed: None }
    }
}

/// Who changes which object of what, and by which door.
#[derive(Clone, Copy)]
struct Update<'a> {
    rest: &'a Rest,
    write: &'a Write<'a>,
    target: Target<'a>,
    part: Part,
}

impl<'a> Update<'a> {
    fn door(&self) -> Door<'a> {
        let subresource = self.part.subresource();
        Door { operation: Operation::Update, row: &self.rest.row, subresource, target: self.target }
    }
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
    /// The object is as it is to be.
    Unchanged(Written),
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
        let update = Update { rest, write, target, part };
        loop {
            let outcome = match self.attempt(update, &item, change).await {
                Ok(Attempt::Done(written)) => return Ok(written),
                Ok(Attempt::Overtaken(newer)) => {
                    (item, source) = (*newer, Source::Store);
                    continue;
                }
                Ok(Attempt::Unchanged(written)) => Ok(written),
                Err(error) => Err(error),
            };
            if source == Source::Store {
                return outcome;
            }
            // Nothing was written, and the reason may be that the cache is behind.
            let newer = self.stored(rest, target).await?;
            if newer.revision == item.revision {
                return outcome;
            }
            (item, source) = (newer, Source::Store);
        }
    }

    async fn current(&self, rest: &Rest, target: Target<'_>) -> Result<Option<(Item, Source)>, StatusError> {
        let key = rest.key(target.namespace, target.name);
        if let Ok(entry) = rest.cache().get(&key, Freshness::Any).await {
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
        let new = change.create()?.ok_or_else(absent)?;
        check_name(&*new.object, target)?;
        self.may_create(rest, write, target).await?;
        self.create(rest, write, target.namespace, new).await
    }

    /// Who may change an object may not create it for that.
    async fn may_create(&self, rest: &Rest, write: &Write<'_>, target: Target<'_>) -> Result<(), StatusError> {
        let place = ResourceAttributes {
            group: (&*rest.row.group).into(),
            version: (&*rest.row.version).into(),
            namespace: target.namespace.into(),
            resource: (&*rest.row.plural).into(),
            name: target.name.into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes { user: write.user, verb: "create".into(), target: auth::Target::Resource(place) };
        match self.authorizer.authorize(&asked).await {
            Verdict { decision: Decision::Allow, .. } => Ok(()),
            Verdict { error, .. } if !error.is_empty() => Err(StatusError::internal(error)),
            Verdict { reason, .. } => Err(StatusError::forbidden(rest.group_resource(), target.name, &reason)),
        }
    }

    async fn attempt(&self, update: Update<'_>, item: &Item, change: &dyn Change) -> Result<Attempt, StatusError> {
        let Update { rest, write, target, part } = update;
        let stored = rest.read(item).await?;
        let old = &*stored.object;
        let Changed { object: mut new, managed } = change.apply(&stored)?;
        if part == Part::Scale {
            new = self.scaled(update, new, old).await?;
        }
        check_names(&mut *new, target)?;
        check_preconditions(rest, &*new, old, target.name, change.identity())?;
        warn_of_owners(write, new.meta_mut());
        metadata::carry_over(new.meta_mut(), old.meta());
        rest.row.ops.set_defaults(&mut *new)?;
        let ownership = Ownership::of(part, managed, &mut *new);
        if part != Part::Scale {
            self.admit(&mut Review::object(update.door(), write, &mut new).with_old(old)).await?;
            check_names(&mut *new, target)?;
        }
        rest.strategy.prepare_for_update(part, &mut *new, old)?;
        let errors = validate_change(rest, part, &*new, old)?;
        if !errors.is_empty() {
            return Err(StatusError::invalid(rest.group_kind(), target.name, &errors));
        }
        self.review_change(update, &mut new, old).await?;
        if part.is_specification() {
            for warning in rest.strategy.warnings(&*new, Some(old))? {
                write.warn(warning);
            }
        }
        self.store_changed(update, item, &stored, New { object: new, ownership }).await
    }

    /// What becomes of an object through its `scale`: a `Scale` is reviewed, and its replicas are written.
    async fn scaled(
        &self,
        update: Update<'_>,
        mut scale: Box<dyn Object>,
        old: &dyn Object,
    ) -> Result<Box<dyn Object>, StatusError> {
        let Update { rest, write, .. } = update;
        check_names(&mut *scale, update.target)?;
        let before = scale_of(rest, old)?;
        let review = Review::other(update.door(), write, &mut scale, decode_as::<Scale>);
        self.admit(&mut review.with_old(&before)).await?;
        let scale = scale.expect_ref::<Scale>("Scale")?;
        let mut new = old.clone_object();
        let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        check_scale(rest, scale, old, replicas)?;
        rest.strategy.set_replicas(&mut *new, replicas)?;
        // The version that the scale insists on is checked as for the object itself.
        new.meta_mut().resource_version.clone_from(&scale.metadata.resource_version);
        Ok(new)
    }

    /// The validating side sees what the mutating side has seen: a `Scale` where one was sent.
    async fn review_change(
        &self,
        update: Update<'_>,
        new: &mut Box<dyn Object>,
        old: &dyn Object,
    ) -> Result<(), StatusError> {
        let Update { rest, write, part, .. } = update;
        if part != Part::Scale {
            return self.validate(&Review::object(update.door(), write, new).with_old(old)).await;
        }
        let (mut scale, before): (Box<dyn Object>, _) = (Box::new(scale_of(rest, &**new)?), scale_of(rest, old)?);
        let review = Review::other(update.door(), write, &mut scale, decode_as::<Scale>);
        self.validate(&review.with_old(&before)).await
    }

    /// Whether an object that stays as it is has to be written all the same: with the newest key, for example. When that
    /// cannot be found out, it can wait.
    async fn is_outdated(&self, item: &Item) -> bool {
        self.store.needs_rewrite(&item.key).await.unwrap_or(false)
    }

    async fn store_changed(
        &self,
        update: Update<'_>,
        item: &Item,
        old: &Stored,
        mut new: New,
    ) -> Result<Attempt, StatusError> {
        let Update { rest, write, target, part } = update;
        let removed = may_be_removed(&*rest.strategy, &*new.object)?;
        // An object that goes needs nothing any more.
        let kept = if removed { None } else { Some(&mut *new.object) };
        let reservation = rest.strategy.reserve(kept, Some(&*old.object), write.options.dry_run).await?;
        let json = to_store(&mut *new.object);
        let managed = new.ownership.managed(rest, write, part, &json, old);
        let same = json == old.json && managed.same_but_for_times(&old.managed);
        let managed = if same { old.managed.clone() } else { managed };
        let value = match rest.encode(&*new.object, &json, &managed).await {
            Ok(value) => value,
            Err(error) => {
                reservation.cancel().await;
                return Err(error);
            }
        };
        if write.options.dry_run == DryRun::All || (same && !self.is_outdated(item).await) {
            reservation.cancel().await;
            return written(rest, &Item { value, ..item.clone() }).await.map(Attempt::Unchanged);
        }
        let result = if removed {
            self.store.delete(&item.key, item.revision).await
        } else {
            self.store.update(&item.key, item.revision, value.clone(), rest.storage.ttl).await
        };
        match result {
            Ok(revision) => {
                rest.storage.wrote(revision);
                reservation.commit().await;
                written(rest, &Item { value, revision, ..item.clone() }).await.map(Attempt::Done)
            }
            Err(error) => {
                reservation.failed(&error).await;
                match error {
                    StoreError::Conflict { current, .. } => Ok(Attempt::Overtaken(current)),
                    error => Err(rest.store_error(target.name, &error)),
                }
            }
        }
    }
}

async fn written(rest: &Rest, item: &Item) -> Result<Written, StatusError> {
    Ok(Written { made: Made::Changed, json: rest.present_item(item).await? })
}

/// An object that is about to be stored.
struct New {
    object: Box<dyn Object>,
    ownership: Ownership,
}

/// How it is known who manages the fields of an object after a write.
enum Ownership {
    /// It is known.
    Known(ManagedFields),
    /// A binding belongs to nobody, as upstream.
    Unchanged,
    /// Who changes a field owns it.
    Changed {
        /// The object as the client wants it, before the server adds anything.
        wanted: Bytes,
        /// Managed fields that the client sent.
        sent: Option<Vec<ManagedFieldsEntry>>,
    },
}

impl Ownership {
    fn of(part: Part, managed: Option<ManagedFields>, wanted: &mut dyn Object) -> Self {
        let sent = wanted.meta_mut().managed_fields.take();
        match managed {
            Some(managed) => Self::Known(managed),
            None if part == Part::Binding => Self::Unchanged,
            None => Self::Changed { wanted: without_version(wanted), sent },
        }
    }

    fn managed(self, rest: &Rest, write: &Write<'_>, part: Part, stored: &[u8], old: &Stored) -> ManagedFields {
        match self {
            Self::Known(managed) => managed,
            Self::Unchanged => old.managed.clone(),
            Self::Changed { wanted, sent } => {
                let after = After { wanted: &wanted, stored };
                on_update(Some(old.live()), after, sent, &writer(rest, write, part))
            }
        }
    }
}

/// Who writes what, as managed fields tell it.
pub(super) fn writer<'a>(rest: &'a Rest, write: &'a Write<'_>, part: Part) -> Writer<'a> {
    Writer { resource: &rest.row, manager: &write.options.field_manager, subresource: part.subresource(), now: now() }
}

/// The JSON of an object that is about to be stored.
pub(super) fn to_store(object: &mut dyn Object) -> Bytes {
    let meta = object.meta_mut();
    meta.resource_version = None;
    meta.managed_fields = None;
    object.encode().into()
}

fn without_version(object: &mut dyn Object) -> Bytes {
    let version = object.meta_mut().resource_version.take();
    let json = object.encode().into();
    object.meta_mut().resource_version = version;
    json
}

/// Sees that an object has the name that the request has.
///
/// # Errors
/// 400 when it has another, or none.
pub fn check_name(object: &dyn Object, target: Target<'_>) -> Result<(), StatusError> {
    match object.meta().name.as_deref() {
        Some(name) if !name.is_empty() && name != target.name => Err(StatusError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        ))),
        Some(name) if !name.is_empty() => Ok(()),
        _ => Err(StatusError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        ))),
    }
}

fn check_names(object: &mut dyn Object, target: Target<'_>) -> Result<(), StatusError> {
    check_name(object, target)?;
    check_namespace(object, target.namespace)
}

/// The `scale` of an object.
///
/// # Errors
/// When the kind has none.
pub fn scale_of(rest: &Rest, object: &dyn Object) -> Result<Scale, StatusError> {
    rest.strategy.scale(object)?.ok_or_else(|| StatusError::internal("object has no scale"))
}

/// Sees that a scale is valid and of the object that there is.
fn check_scale(rest: &Rest, scale: &Scale, old: &dyn Object, replicas: i32) -> Result<(), StatusError> {
    let name = old.meta().name.as_deref().unwrap_or_default();
    let wanted = scale.metadata.uid.as_deref().unwrap_or_default();
    let actual = old.meta().uid.as_deref().unwrap_or_default();
    if !wanted.is_empty() && wanted != actual {
        let resource = format!("{}/scale", rest.row.plural);
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}");
        return Err(StatusError::conflict(GroupResource::new(&rest.row.group, &resource), name, &why));
    }
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(StatusError::invalid(GroupResource::new("autoscaling", "Scale"), name, &[error]));
    }
    Ok(())
}

fn check_preconditions(
    rest: &Rest,
    new: &dyn Object,
    old: &dyn Object,
    name: &str,
    identity: Identity,
) -> Result<(), StatusError> {
    let (new, old) = (new.meta(), old.meta());
    if let (Some(wanted), Some(actual)) = (new.uid.as_deref().filter(|uid| !uid.is_empty()), &old.uid)
        && wanted != actual
        && identity == Identity::Precondition
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
        wanted if wanted.parse::<u64>().is_err() => {
            let why = format!("strconv.ParseUint: parsing {wanted:?}: invalid syntax");
            Err(StatusError::unexplained(why))
        }
        _ => Err(StatusError::modified(rest.group_resource(), name)),
    }
}

fn validate_change(rest: &Rest, part: Part, new: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
    let mut errors = validate_object_meta_update(new.meta(), old.meta());
    let ops = &rest.row.ops;
    if part.is_specification() {
        errors.extend(validate_object_meta(new.meta(), rest.row.scope, rest.row.name_rule));
        if is_built_in(rest) {
            errors.extend(validate_standard_finalizers(new.meta()));
        }
        errors.extend(ops.revalidate(new, old)?);
        errors.extend(ops.validate_update(new, old)?);
    } else {
        errors.extend(ops.validate_part_update(new, old, part.subresource())?);
    }
    Ok(errors)
}

/// A PUT: the object as the client sent it.
pub struct Replace<'a> {
    /// What the client sent.
    pub object: &'a dyn Object,
    /// What happens when there is none.
    pub absent: AbsentUpdate,
}

impl Change for Replace<'_> {
    fn apply(&self, _current: &Stored) -> Result<Changed, StatusError> {
        Ok(self.object.clone_object().into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok((self.absent == AbsentUpdate::Creates).then(|| self.object.clone_object().into()))
    }
}
