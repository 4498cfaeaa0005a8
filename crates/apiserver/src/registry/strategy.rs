//! What a kind does differently from all others when it is written. Every method has a default, so that a plain kind
//! needs none.

use std::time::SystemTime;

use api_types::{Object, StatusError, WrongType, autoscaling::Scale, jiff::Timestamp, k8s_openapi::Resource};
use futures::future::BoxFuture;

use super::{DryRun, reservation::Reservation, shape::Shape};
use crate::request::User;

/// Which part of an object a request writes; the rest stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// `/scale`: the number of replicas.
    Scale,
    /// `/status`.
    Status,
    /// `/finalize` of a namespace.
    Finalize,
    /// `/binding` of a pod.
    Binding,
    /// `/approval` of a certificate signing request.
    Approval,
    /// `/ephemeralcontainers` of a pod.
    EphemeralContainers,
    /// `/resize` of a pod.
    Resize,
}

impl Part {
    /// The name of the subresource; empty for the object itself.
    #[must_use]
    pub const fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Scale => "scale",
            Self::Status => "status",
            Self::Finalize => "finalize",
            Self::Binding => "binding",
            Self::Approval => "approval",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
        }
    }

    /// Whether what is written is the object itself rather than its status.
    #[must_use]
    pub const fn is_specification(self) -> bool {
        matches!(self, Self::Main | Self::Scale)
    }
}

/// What an update without `metadata.resourceVersion` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlindUpdate {
    /// It replaces whatever is there.
    Allowed,
    /// It is refused.
    Refused,
}

/// What a PUT of an object that does not exist does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentUpdate {
    /// It creates it.
    Creates,
    /// It is answered with 404.
    NotFound,
}

/// What a successful DELETE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// The object in its last state.
    Object,
    /// A `Status` that names it.
    Status,
}

/// What happens to an object's dependents when a DELETE says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependents {
    /// The garbage collector deletes them.
    Collected,
    /// They stay.
    Orphaned,
}

/// How a deletion goes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// The object disappears at once.
    None,
    /// It is marked, and somebody else confirms its end, this many seconds later at most.
    Seconds(i64),
}

/// The API server's side of a kind, with the type erased. Implement [`TypedStrategy`] instead. An object of another kind
/// is an error everywhere.
pub trait Strategy: Send + Sync + 'static {
    /// See [`TypedStrategy::BLIND_UPDATE`].
    fn blind_update(&self) -> BlindUpdate;
    /// See [`TypedStrategy::ABSENT_UPDATE`].
    fn absent_update(&self) -> AbsentUpdate;
    /// See [`TypedStrategy::DELETE_ANSWER`].
    fn delete_answer(&self) -> DeleteAnswer;
    /// See [`TypedStrategy::DEPENDENTS`].
    fn dependents(&self) -> Dependents;
    /// See [`TypedStrategy::prepare_for_create`].
    fn prepare_for_create(&self, new: &mut dyn Object) -> Result<(), WrongType>;
    /// See [`TypedStrategy::attribute`].
    fn attribute(&self, new: &mut dyn Object, user: &User) -> Result<(), WrongType>;
    /// See [`TypedStrategy::prepare_for_update`].
    fn prepare_for_update(&self, part: Part, new: &mut dyn Object, old: &dyn Object) -> Result<(), WrongType>;
    /// See [`TypedStrategy::grace`].
    fn grace(&self, object: &dyn Object, requested: Option<i64>) -> Result<Grace, WrongType>;
    /// See [`TypedStrategy::DELETE_WARNING`].
    fn delete_warning(&self) -> Option<&'static str>;
    /// See [`TypedStrategy::undeletable`].
    fn undeletable(&self, object: &dyn Object) -> Result<Option<&'static str>, WrongType>;
    /// See [`TypedStrategy::mark_deleted`].
    fn mark_deleted(&self, object: &mut dyn Object) -> Result<(), WrongType>;
    /// See [`TypedStrategy::may_disappear`].
    fn may_disappear(&self, object: &dyn Object) -> Result<bool, WrongType>;
    /// See [`TypedStrategy::warnings`].
    fn warnings(&self, object: &dyn Object, old: Option<&dyn Object>) -> Result<Vec<String>, WrongType>;
    /// See [`TypedStrategy::scale`].
    fn scale(&self, object: &dyn Object) -> Result<Option<Scale>, WrongType>;
    /// See [`TypedStrategy::set_replicas`].
    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) -> Result<(), WrongType>;
    /// Where in the object the number of replicas is that its scale writes.
    fn replicas_path(&self) -> Vec<&str> {
        vec!["spec", "replicas"]
    }
    /// See [`TypedStrategy::reserve`].
    fn reserve<'a>(
        &'a self,
        new: Option<&'a mut dyn Object>,
        old: Option<&'a dyn Object>,
        dry_run: DryRun,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>>;
}

/// The API server's side of a kind.
pub trait TypedStrategy: Send + Sync + 'static {
    /// The kind.
    type Kind: api_types::Kind;
    /// What its objects consist of. This does the usual; what follows is what the kind does besides.
    type Shape: Shape<Self::Kind>;

    /// What an update without a resource version means.
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Allowed;
    /// What a PUT of an object that does not exist does.
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::NotFound;
    /// What a DELETE answers.
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Status;
    /// What happens to dependents by default.
    const DEPENDENTS: Dependents = Dependents::Collected;

    /// What to tell whoever deletes without a word about dependents.
    const DELETE_WARNING: Option<&'static str> = None;

    /// Clears what clients may not set and sets what the server decides.
    fn prepare_for_create(&self, new: &mut Self::Kind) {
        let _ = new;
    }

    /// Writes into a new object who creates it, where it tells that.
    fn attribute(&self, new: &mut Self::Kind, user: &User) {
        let _ = (new, user);
    }

    /// Keeps of `old` what an update of the object may not change, besides its other parts.
    fn prepare_for_update(&self, new: &mut Self::Kind, old: &Self::Kind) {
        let _ = (new, old);
    }

    /// Keeps of `old` what an update through this subresource may not change, besides the other parts. What a
    /// subresource other than `status` keeps is all up to this.
    fn prepare_for_part_update(&self, part: Part, new: &mut Self::Kind, old: &Self::Kind) {
        let _ = (part, new, old);
    }

    /// How long a deletion waits; `requested` is what the client asks for.
    fn grace(&self, object: &Self::Kind, requested: Option<i64>) -> Grace {
        let _ = (object, requested);
        Grace::None
    }

    /// Why this object can never be deleted, if it cannot.
    fn undeletable(&self, object: &Self::Kind) -> Option<&'static str> {
        let _ = object;
        None
    }

    /// Further marks of an object whose deletion has begun.
    fn mark_deleted(&self, object: &mut Self::Kind) {
        let _ = object;
    }

    /// Whether an object whose deletion has begun, and whose `metadata.finalizers` are gone, may disappear.
    fn may_disappear(&self, object: &Self::Kind) -> bool {
        let _ = object;
        true
    }

    /// What to tell the writer although the write succeeds.
    fn warnings(&self, object: &Self::Kind, old: Option<&Self::Kind>) -> Vec<String> {
        api_types::Kind::warnings(object, old)
    }

    /// The `scale` subresource; `None` for kinds without.
    fn scale(&self, object: &Self::Kind) -> Option<Scale> {
        let _ = object;
        None
    }

    /// Writes through the `scale` subresource.
    fn set_replicas(&self, object: &mut Self::Kind, replicas: i32) {
        let _ = (object, replicas);
    }

    /// Takes from shared pools what the new object needs (and writes it into the object), given what the old one has.
    /// `new` is `None` for a deletion. A dry run takes nothing: it gets what was free when it looked.
    fn reserve<'a>(
        &'a self,
        new: Option<&'a mut Self::Kind>,
        old: Option<&'a Self::Kind>,
        dry_run: DryRun,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>> {
        let _ = (new, old, dry_run);
        Box::pin(async { Ok(Reservation::default()) })
    }
}

/// The object as the strategy's kind.
fn kind<S: TypedStrategy>(object: &dyn Object) -> Result<&S::Kind, WrongType> {
    object.expect_ref(S::Kind::KIND)
}

/// The same, for change.
fn kind_mut<S: TypedStrategy>(object: &mut dyn Object) -> Result<&mut S::Kind, WrongType> {
    object.expect_mut(S::Kind::KIND)
}

impl<S: TypedStrategy> Strategy for S {
    fn blind_update(&self) -> BlindUpdate {
        S::BLIND_UPDATE
    }

    fn absent_update(&self) -> AbsentUpdate {
        S::ABSENT_UPDATE
    }

    fn delete_answer(&self) -> DeleteAnswer {
        S::DELETE_ANSWER
    }

    fn dependents(&self) -> Dependents {
        S::DEPENDENTS
    }

    fn prepare_for_create(&self, new: &mut dyn Object) -> Result<(), WrongType> {
        let new = kind_mut::<S>(new)?;
        S::Shape::begin(new);
        TypedStrategy::prepare_for_create(self, new);
        Ok(())
    }

    fn attribute(&self, new: &mut dyn Object, user: &User) -> Result<(), WrongType> {
        kind_mut::<S>(new).map(|new| TypedStrategy::attribute(self, new, user))
    }

    fn prepare_for_update(&self, part: Part, new: &mut dyn Object, old: &dyn Object) -> Result<(), WrongType> {
        let (new, old) = (kind_mut::<S>(new)?, kind::<S>(old)?);
        match part {
            Part::Main | Part::Scale => {
                S::Shape::keep_status(new, old);
                TypedStrategy::prepare_for_update(self, new, old);
                S::Shape::count(new, old);
            }
            Part::Status => {
                S::Shape::keep_spec(new, old);
                self.prepare_for_part_update(part, new, old);
            }
            Part::Finalize | Part::Binding | Part::Approval | Part::EphemeralContainers | Part::Resize => {
                self.prepare_for_part_update(part, new, old);
            }
        }
        Ok(())
    }

    fn grace(&self, object: &dyn Object, requested: Option<i64>) -> Result<Grace, WrongType> {
        kind::<S>(object).map(|object| TypedStrategy::grace(self, object, requested))
    }

    fn delete_warning(&self) -> Option<&'static str> {
        S::DELETE_WARNING
    }

    fn undeletable(&self, object: &dyn Object) -> Result<Option<&'static str>, WrongType> {
        kind::<S>(object).map(|object| TypedStrategy::undeletable(self, object))
    }

    fn mark_deleted(&self, object: &mut dyn Object) -> Result<(), WrongType> {
        kind_mut::<S>(object).map(|object| TypedStrategy::mark_deleted(self, object))
    }

    fn may_disappear(&self, object: &dyn Object) -> Result<bool, WrongType> {
        kind::<S>(object).map(|object| TypedStrategy::may_disappear(self, object))
    }

    fn warnings(&self, object: &dyn Object, old: Option<&dyn Object>) -> Result<Vec<String>, WrongType> {
        let old = old.map(kind::<S>).transpose()?;
        kind::<S>(object).map(|object| TypedStrategy::warnings(self, object, old))
    }

    fn scale(&self, object: &dyn Object) -> Result<Option<Scale>, WrongType> {
        kind::<S>(object).map(|object| TypedStrategy::scale(self, object))
    }

    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) -> Result<(), WrongType> {
        kind_mut::<S>(object).map(|object| TypedStrategy::set_replicas(self, object, replicas))
    }

    fn reserve<'a>(
        &'a self,
        new: Option<&'a mut dyn Object>,
        old: Option<&'a dyn Object>,
        dry_run: DryRun,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>> {
        match (new.map(kind_mut::<S>).transpose(), old.map(kind::<S>).transpose()) {
            (Ok(new), Ok(old)) => TypedStrategy::reserve(self, new, old, dry_run),
            (Err(error), _) | (_, Err(error)) => Box::pin(async move { Err(error.into()) }),
        }
    }
}

/// The present, in whole seconds as `metadata` has it.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs())
        .ok()
        .and_then(|s| Timestamp::from_second(s).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
