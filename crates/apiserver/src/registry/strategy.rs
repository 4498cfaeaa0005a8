//! What a kind does differently from all others when it is written. Every method has a default, so that a plain kind
//! needs none.

use std::time::SystemTime;

use api_types::{Kind, Object, StatusError, autoscaling::Scale, jiff::Timestamp};
use futures::future::BoxFuture;

use super::{Registry, reservation::Reservation};

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

/// The API server's side of a kind, with the type erased. Implement [`TypedStrategy`] instead.
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
    fn prepare_for_create(&self, new: &mut dyn Object);
    /// See [`TypedStrategy::prepare_for_update`].
    fn prepare_for_update(&self, part: Part, new: &mut dyn Object, old: &dyn Object);
    /// See [`TypedStrategy::grace`].
    fn grace(&self, object: &dyn Object, requested: Option<i64>) -> Grace;
    /// See [`TypedStrategy::mark_deleted`].
    fn mark_deleted(&self, object: &mut dyn Object);
    /// See [`TypedStrategy::may_disappear`].
    fn may_disappear(&self, object: &dyn Object) -> bool;
    /// See [`TypedStrategy::warnings`].
    fn warnings(&self, object: &dyn Object) -> Vec<String>;
    /// See [`TypedStrategy::scale`].
    fn scale(&self, object: &dyn Object) -> Option<Scale>;
    /// See [`TypedStrategy::set_replicas`].
    fn set_replicas(&self, object: &mut dyn Object, replicas: i32);
    /// See [`TypedStrategy::reserve`].
    fn reserve<'a>(
        &'a self,
        registry: &'a Registry,
        new: Option<&'a mut dyn Object>,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>>;
}

/// The API server's side of a kind.
pub trait TypedStrategy: Send + Sync + 'static {
    /// The kind.
    type Kind: Kind;

    /// What an update without a resource version means.
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Allowed;
    /// What a PUT of an object that does not exist does.
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::NotFound;
    /// What a DELETE answers.
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Status;
    /// What happens to dependents by default.
    const DEPENDENTS: Dependents = Dependents::Collected;

    /// Clears what clients may not set (the status, mostly) and sets what the server decides.
    fn prepare_for_create(&self, new: &mut Self::Kind) {
        let _ = new;
    }

    /// Keeps of `old` what an update of the object may not change, the status mostly.
    fn prepare_for_update(&self, new: &mut Self::Kind, old: &Self::Kind) {
        let _ = (new, old);
    }

    /// Keeps of `old` what an update through this subresource may not change: all but the status, mostly.
    fn prepare_for_part_update(&self, part: Part, new: &mut Self::Kind, old: &Self::Kind) {
        let _ = (part, new, old);
    }

    /// How long a deletion waits; `requested` is what the client asks for.
    fn grace(&self, object: &Self::Kind, requested: Option<i64>) -> Grace {
        let _ = (object, requested);
        Grace::None
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
    fn warnings(&self, object: &Self::Kind) -> Vec<String> {
        let _ = object;
        Vec::new()
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
    /// `new` is `None` for a deletion.
    fn reserve<'a>(
        &'a self,
        registry: &'a Registry,
        new: Option<&'a mut Self::Kind>,
        old: Option<&'a Self::Kind>,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>> {
        let _ = (registry, new, old);
        Box::pin(async { Ok(Reservation::default()) })
    }
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

    fn prepare_for_create(&self, new: &mut dyn Object) {
        if let Some(new) = new.downcast_mut() {
            TypedStrategy::prepare_for_create(self, new);
        }
    }

    fn prepare_for_update(&self, part: Part, new: &mut dyn Object, old: &dyn Object) {
        let (Some(new), Some(old)) = (new.downcast_mut(), old.downcast_ref()) else { return };
        match part {
            Part::Main | Part::Scale => TypedStrategy::prepare_for_update(self, new, old),
            part => self.prepare_for_part_update(part, new, old),
        }
    }

    fn grace(&self, object: &dyn Object, requested: Option<i64>) -> Grace {
        object.downcast_ref().map_or(Grace::None, |object| TypedStrategy::grace(self, object, requested))
    }

    fn mark_deleted(&self, object: &mut dyn Object) {
        if let Some(object) = object.downcast_mut() {
            TypedStrategy::mark_deleted(self, object);
        }
    }

    fn may_disappear(&self, object: &dyn Object) -> bool {
        object.downcast_ref().is_none_or(|object| TypedStrategy::may_disappear(self, object))
    }

    fn warnings(&self, object: &dyn Object) -> Vec<String> {
        object.downcast_ref().map(|object| TypedStrategy::warnings(self, object)).unwrap_or_default()
    }

    fn scale(&self, object: &dyn Object) -> Option<Scale> {
        object.downcast_ref().and_then(|object| TypedStrategy::scale(self, object))
    }

    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) {
        if let Some(object) = object.downcast_mut() {
            TypedStrategy::set_replicas(self, object, replicas);
        }
    }

    fn reserve<'a>(
        &'a self,
        registry: &'a Registry,
        new: Option<&'a mut dyn Object>,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>> {
        let new = new.and_then(|new| new.downcast_mut());
        TypedStrategy::reserve(self, registry, new, old.and_then(|old| old.downcast_ref()))
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
