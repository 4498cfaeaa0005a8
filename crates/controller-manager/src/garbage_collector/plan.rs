//! What an object's owners and dependents mean for it.

use std::sync::Arc;

use super::tracked::{FOREGROUND, ORPHAN, Tracked};

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It exists.
    Present,
    /// It exists, and goes when its dependents have gone.
    WaitsForDependents,
    /// It does not exist; the server said so.
    Absent,
}

/// What becomes of dependents' dependents; the wire's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

impl Propagation {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }
}

/// What to do about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Nothing,
    /// Release all dependents, then take the finalizer off.
    OrphanDependents,
    /// Nothing holds it any more: take the finalizer off.
    FinishForeground,
    /// Look at the dependents: they have to go first.
    VisitDependents,
    /// It has other owners: take the references with these uids off.
    DropOwners(Vec<String>),
    /// Nobody owns it any more.
    Delete(Propagation),
    /// As [`Action::Delete`] in the foreground, but a circle of owners waits for itself: stop
    /// holding the owners first.
    UnblockAndDelete,
}

/// What to do about an object that is being deleted, as the owner of `dependents`.
pub(super) fn as_owner(object: &Tracked, dependents: &[Arc<Tracked>]) -> Action {
    if object.has_finalizer(ORPHAN) {
        return Action::OrphanDependents;
    }
    if !object.has_finalizer(FOREGROUND) {
        return Action::Nothing;
    }
    let blocks = |dependent: &Arc<Tracked>| {
        let mut references = dependent.owners().iter().filter(|owner| owner.uid == object.uid());
        references.any(|owner| owner.block_owner_deletion == Some(true))
    };
    if dependents.iter().any(blocks) { Action::VisitDependents } else { Action::FinishForeground }
}

/// What to do about an object that is not being deleted, as the dependent of its owners, whose
/// states stand in the order of its references.
pub(super) fn as_dependent(object: &Tracked, owners: &[OwnerState], dependents: &[Arc<Tracked>]) -> Action {
    if object.owners().is_empty() || owners.len() != object.owners().len() {
        return Action::Nothing;
    }
    if owners.contains(&OwnerState::Present) {
        let states = object.owners().iter().zip(owners);
        let gone: Vec<String> =
            states.filter(|(_, state)| **state != OwnerState::Present).map(|(owner, _)| owner.uid.clone()).collect();
        return if gone.is_empty() { Action::Nothing } else { Action::DropOwners(gone) };
    }
    if owners.contains(&OwnerState::WaitsForDependents) && !dependents.is_empty() {
        let circle = dependents.iter().any(|dependent| dependent.waits_for_dependents());
        return if circle { Action::UnblockAndDelete } else { Action::Delete(Propagation::Foreground) };
    }
    // A finalizer that is there already is somebody's wish.
    Action::Delete(match object {
        object if object.has_finalizer(ORPHAN) => Propagation::Orphan,
        object if object.has_finalizer(FOREGROUND) => Propagation::Foreground,
        _ => Propagation::Background,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(uid: &str, owners: &[(&str, bool)], finalizers: &[&str], deleting: bool) -> Arc<Tracked> {
        let owner = |(uid, blocks): &(&str, bool)| json!({"apiVersion": "v1", "kind": "K", "name": uid, "uid": uid, "blockOwnerDeletion": blocks});
        let owners: Vec<Value> = owners.iter().map(owner).collect();
        let deletion = deleting.then_some("2020-01-01T00:00:00Z");
        Arc::new(
            serde_json::from_value(json!({"metadata": {
                "name": uid, "uid": uid, "ownerReferences": owners, "finalizers": finalizers, "deletionTimestamp": deletion,
            }}))
            .unwrap(),
        )
    }

    /// Finalizers of the owner, or states of owners; dependents; what is to be done.
    type Case<'a, T> = (&'a [T], &'a [Arc<Tracked>], Action);

    #[test]
    fn owners_wait_or_let_go() {
        let blocking = object("d", &[("o", true)], &[], false);
        let free = object("d", &[("o", false)], &[], false);
        let both = [blocking.clone(), free.clone()];
        let (blocking, free) = (&[blocking][..], &[free][..]);
        let cases: [Case<'_, &str>; 6] = [
            (&[], blocking, Action::Nothing),
            (&["other"], blocking, Action::Nothing),
            (&["orphan"], blocking, Action::OrphanDependents),
            (&["foregroundDeletion"], &both, Action::VisitDependents),
            (&["foregroundDeletion"], free, Action::FinishForeground),
            (&["foregroundDeletion"], &[], Action::FinishForeground),
        ];
        for (finalizers, dependents, expected) in cases {
            assert_eq!(as_owner(&object("o", &[], finalizers, true), dependents), expected, "{finalizers:?}");
        }
    }

    #[test]
    fn dependents_go_with_their_last_owner() {
        use OwnerState::{Absent, Present, WaitsForDependents as Waits};
        let dependent = [object("x", &[("d", true)], &[], false)];
        let circle = [object("x", &[("d", true)], &["foregroundDeletion"], true)];
        let drop = |uids: &[&str]| Action::DropOwners(uids.iter().map(|uid| (*uid).to_owned()).collect());
        let cases: [Case<'_, OwnerState>; 9] = [
            (&[], &[], Action::Nothing),
            (&[Present], &[], Action::Nothing),
            (&[Absent], &[], Action::Delete(Propagation::Background)),
            (&[Absent, Absent], &dependent, Action::Delete(Propagation::Background)),
            (&[Present, Absent], &[], drop(&["o1"])),
            (&[Waits, Present, Absent], &[], drop(&["o0", "o2"])),
            (&[Waits], &[], Action::Delete(Propagation::Background)),
            (&[Waits, Absent], &dependent, Action::Delete(Propagation::Foreground)),
            (&[Waits], &circle, Action::UnblockAndDelete),
        ];
        for (owners, dependents, expected) in cases {
            let names: Vec<String> = (0..owners.len()).map(|i| format!("o{i}")).collect();
            let references: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), true)).collect();
            let action = as_dependent(&object("d", &references, &[], false), owners, dependents);
            assert_eq!(action, expected, "{owners:?}");
        }
    }

    #[test]
    fn finalizers_that_are_there_decide() {
        for (finalizer, expected) in [("orphan", Propagation::Orphan), ("foregroundDeletion", Propagation::Foreground)]
        {
            let object = object("d", &[("o", true)], &[finalizer], false);
            assert_eq!(as_dependent(&object, &[OwnerState::Absent], &[]), Action::Delete(expected));
        }
    }
}
