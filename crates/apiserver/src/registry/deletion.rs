//! Decides what a deletion does to an object; nothing here touches the store.

use api_types::{
    GroupResource, Object, StatusError, WrongType,
    field::{FieldError, Path},
    jiff::{SignedDuration, Timestamp},
    meta::{DeleteOptions, ObjectMeta, Time},
};
use serde_json::{Map, Value};

use super::strategy::{Dependents, Grace, Strategy};

/// Dependents are to stay: the garbage collector releases them first.
pub const ORPHAN: &str = "orphan";
/// Dependents are to go first: the garbage collector deletes them.
pub const FOREGROUND: &str = "foregroundDeletion";

/// What happens to an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Seconds to wait; the kind's default when `None`.
    pub grace: Option<i64>,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must be of this version.
    pub resource_version: Option<String>,
    /// What happens to dependents; the kind's default when `None`.
    pub propagation: Option<Propagation>,
}

impl DeleteRequest {
    /// Reads and checks a client's options.
    ///
    /// # Errors
    /// 422 when they contradict each other or have values that are not supported.
    pub fn new(options: DeleteOptions) -> Result<Self, StatusError> {
        let invalid = |error| StatusError::invalid(GroupResource::new("meta.k8s.io", "DeleteOptions"), "", &[error]);
        if options.orphan_dependents.is_some() && options.propagation_policy.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            return Err(invalid(FieldError::invalid(&Path::new("propagationPolicy"), options.propagation_policy, why)));
        }
        let propagation = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (None, None) => None,
            (Some(other), _) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                return Err(invalid(FieldError::not_supported(&Path::new("propagationPolicy"), other, &supported)));
            }
        };
        let (uid, resource_version) =
            options.preconditions.map(|wanted| (wanted.uid, wanted.resource_version)).unwrap_or_default();
        // Negative periods are read as one second, as upstream has it.
        let grace = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
        Ok(Self { grace, uid, resource_version, propagation })
    }

    /// What of the request `DeleteOptions` say.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let propagation = self.propagation.map(|propagation| match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        });
        let preconditions = [("uid", &self.uid), ("resourceVersion", &self.resource_version)];
        let preconditions: Map<_, _> = preconditions
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?.into())))
            .collect();
        let mut options = Map::new();
        let mut set = |name: &str, value: Option<Value>| options.extend(value.map(|value| (name.to_owned(), value)));
        set("gracePeriodSeconds", self.grace.map(Value::from));
        set("preconditions", (!preconditions.is_empty()).then_some(preconditions.into()));
        set("propagationPolicy", propagation.map(Value::from));
        options.into()
    }

    /// Whether the object is the one that is meant.
    ///
    /// # Errors
    /// 409 when it is not.
    pub fn check(&self, kind: GroupResource<'_>, meta: &ObjectMeta) -> Result<(), StatusError> {
        let name = meta.name.as_deref().unwrap_or_default();
        let actual = meta.uid.as_deref().unwrap_or_default();
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != actual) {
            let why = format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({actual}). The object might have been deleted and then recreated"
            );
            return Err(StatusError::conflict(kind, name, &why));
        }
        let actual = meta.resource_version.as_deref().unwrap_or_default();
        if let Some(wanted) = self.resource_version.as_deref().filter(|wanted| *wanted != actual) {
            let why = format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({actual}). The object might have been modified"
            );
            return Err(StatusError::conflict(kind, name, &why));
        }
        Ok(())
    }
}

/// What a deletion does.
#[derive(Debug)]
pub enum Plan {
    /// Nothing: it is under way already.
    Pending,
    /// The object is marked and stays until its finalizers are gone or its end is confirmed.
    Mark(Box<dyn Object>),
    /// The object is marked a last time, so that its watchers see how it ends, and disappears.
    Finish(Box<dyn Object>),
    /// The object disappears.
    Remove,
}

/// Decides what a deletion does to an object.
///
/// # Errors
/// For an object of another kind than the strategy's.
pub fn plan(
    strategy: &dyn Strategy,
    object: &dyn Object,
    request: &DeleteRequest,
    now: Timestamp,
) -> Result<Plan, WrongType> {
    let mut marked = object.clone_object();
    let finalizers = finalizers(object.meta(), request.propagation, strategy.dependents());
    marked.meta_mut().finalizers = (!finalizers.is_empty()).then_some(finalizers);
    let wait = match object.meta().deletion_timestamp {
        Some(_) => shorten(marked.meta_mut(), request.grace, now),
        None => begin(marked.meta_mut(), strategy.grace(object, request.grace)?, now),
    };
    if wait == Wait::No && marked.meta().finalizers.is_none() && strategy.may_disappear(&*marked)? {
        let told = marked.meta().deletion_grace_period_seconds != object.meta().deletion_grace_period_seconds;
        return Ok(if told { Plan::Finish(marked) } else { Plan::Remove });
    }
    if marked.meta().deletion_timestamp.is_none() {
        mark(marked.meta_mut(), 0, now);
    }
    strategy.mark_deleted(&mut *marked)?;
    Ok(if marked.meta() == object.meta() { Plan::Pending } else { Plan::Mark(marked) })
}

/// Whether somebody else has to confirm the end.
#[derive(PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

fn begin(meta: &mut ObjectMeta, grace: Grace, now: Timestamp) -> Wait {
    match grace {
        Grace::Seconds(seconds) => {
            mark(meta, seconds, now);
            if seconds > 0 { Wait::Yes } else { Wait::No }
        }
        Grace::None => Wait::No,
    }
}

/// A deletion that is under way can only be hurried.
fn shorten(meta: &mut ObjectMeta, requested: Option<i64>, now: Timestamp) -> Wait {
    let granted = meta.deletion_grace_period_seconds.unwrap_or(0);
    match requested {
        Some(seconds) if seconds < granted => {
            meta.deletion_timestamp = meta.deletion_timestamp.take().map(|end| {
                let begun = begun(end.0, granted).unwrap_or(now);
                Time(after(begun, seconds))
            });
            meta.deletion_grace_period_seconds = Some(seconds);
            if seconds > 0 { Wait::Yes } else { Wait::No }
        }
        _ if granted > 0 => Wait::Yes,
        _ => Wait::No,
    }
}

/// The last second that there is.
fn last_second() -> Timestamp {
    Timestamp::from_second(Timestamp::MAX.as_second()).unwrap_or(Timestamp::MAX)
}

/// So many seconds later; clients may ask for more than there are.
fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).map_or_else(|_| last_second(), |sum| sum.min(last_second()))
}

/// When the deletion began that ends at `end`; `None` when that is not known, because the end lay beyond all time.
fn begun(end: Timestamp, granted: i64) -> Option<Timestamp> {
    let known = end < last_second();
    known.then(|| end.checked_sub(SignedDuration::from_secs(granted)).ok()).flatten()
}

fn mark(meta: &mut ObjectMeta, grace: i64, now: Timestamp) {
    meta.deletion_timestamp = Some(Time(after(now, grace)));
    meta.deletion_grace_period_seconds = Some(grace);
    // Controllers see by the generation that there is something new to observe.
    meta.generation = meta.generation.map(|generation| generation.saturating_add(i64::from(generation > 0)));
}

/// The finalizers that the garbage collector goes by, as the client or else the kind wants them.
fn finalizers(meta: &ObjectMeta, propagation: Option<Propagation>, default: Dependents) -> Vec<String> {
    let present = meta.finalizers.clone().unwrap_or_default();
    let has = |name: &str| present.iter().any(|finalizer| finalizer == name);
    let wanted = match propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        None if has(ORPHAN) || has(FOREGROUND) => return present,
        None => (default == Dependents::Orphaned).then_some(ORPHAN),
    };
    let others = present.into_iter().filter(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    others.chain(wanted.map(str::to_owned)).collect()
}

/// Whether an object whose deletion has begun is to disappear now.
///
/// # Errors
/// For an object of another kind than the strategy's.
pub fn may_be_removed(strategy: &dyn Strategy, object: &dyn Object) -> Result<bool, WrongType> {
    let meta = object.meta();
    let due = meta.deletion_timestamp.is_some()
        && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
        && meta.deletion_grace_period_seconds.unwrap_or(0) == 0;
    if due { strategy.may_disappear(object) } else { Ok(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_is_shortened_from_its_beginning() {
        let at = |second| Timestamp::from_second(second).unwrap();
        // What was granted, what is asked for later, and when the deletion then ends; it began at 1000, now is 1010.
        let cases = [
            (30, 5, 1005),
            (30, 0, 1000),
            (300_000_000_000, 5, 1015),
            (i64::MAX, 5, 1015),
            (i64::MAX, 0, 1010),
            (i64::MAX, i64::MAX - 1, last_second().as_second()),
        ];
        for (granted, asked, end) in cases {
            let mut meta = ObjectMeta::default();
            mark(&mut meta, granted, at(1000));
            shorten(&mut meta, Some(asked), at(1010));
            assert_eq!(meta.deletion_timestamp.unwrap().0, at(end), "{granted} {asked}");
            assert_eq!(meta.deletion_grace_period_seconds, Some(asked));
        }
    }
}
