//! Tracking of every write but server-side apply: who changes a field owns it.

use api_types::meta::ManagedFieldsEntry;

use super::{
    Live, ManagedFields, Operation, Writer,
    compare::{Before, Difference, compare},
    entries::{self, Manager},
};
use crate::json::Outline;

/// An object after a write, without managed fields.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// As the client wants it, with defaults: what the server sets besides belongs to nobody.
    pub wanted: &'a [u8],
    /// As it is stored: what the server does not let through belongs to nobody either.
    pub stored: &'a [u8],
}

/// The managed fields of an object after a write: what differs from `old` is the writer's, what is gone is nobody's.
/// With `old` absent the object is new. Of an object that nobody manages nobody becomes a manager but by applying.
///
/// Managed fields that the client `sent` count as upstream counts them: those of a main resource replace the old
/// ones unless they are empty or malformed, `[{}]` resets them, a subresource's are ignored.
#[must_use]
pub fn on_update(
    old: Option<Live<'_>>,
    new: After<'_>,
    sent: Option<Vec<ManagedFieldsEntry>>,
    writer: &Writer<'_>,
) -> ManagedFields {
    let mut managers = managers(old, sent, writer);
    if old.is_some() && managers.is_empty() {
        return ManagedFields::default();
    }
    let old = old.map(|old| Outline::of(old.json));
    let since = |new: &[u8]| {
        let before = old.as_ref().map_or(Before::Zero, |old| Before::Value(old.root()));
        compare(before, Some(Outline::of(new).root()), writer.shape())
    };
    let mut difference = since(new.wanted);
    if new.stored != new.wanted {
        let stored = since(new.stored);
        difference.changed = difference.changed.intersection(&stored.changed);
        difference.removed = difference.removed.intersection(&stored.removed);
    }
    writer.keep_managed(&mut difference.changed);
    writer.keep_managed(&mut difference.removed);
    take_over(&mut managers, difference, writer);
    ManagedFields::of(managers)
}

fn take_over(managers: &mut Vec<Manager>, difference: Difference, writer: &Writer<'_>) {
    for manager in managers.iter_mut() {
        manager.set.subtract(&difference.changed);
        manager.set.subtract(&difference.removed);
    }
    if difference.changed.is_empty() {
        return;
    }
    let mut current = writer.manager(Operation::Update, difference.changed);
    if let Some(index) = managers.iter().position(|manager| manager.is(&current)) {
        current.set.union(&managers.swap_remove(index).set);
    }
    managers.push(current);
}

fn managers(old: Option<Live<'_>>, sent: Option<Vec<ManagedFieldsEntry>>, writer: &Writer<'_>) -> Vec<Manager> {
    let sent = sent.filter(|_| writer.subresource.is_empty()).unwrap_or_default();
    if sent.len() == 1 && sent.first() == Some(&ManagedFieldsEntry::default()) {
        return Vec::new();
    }
    let sent = entries::sent(sent);
    if sent.is_empty() { old.map(|old| old.managed.managers()).unwrap_or_default() } else { sent }
}
