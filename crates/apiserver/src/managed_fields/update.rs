//! Tracking of every write but server-side apply: who changes a field owns it.

use api_types::{Object, meta::ManagedFieldsEntry};
use serde_json::Value;

use super::{
    Operation, Writer,
    compare::{Before, Difference, compare},
    entries::{self, Manager},
};

/// Gives `new` its managed fields: what differs from `old` is the writer's, what is gone is nobody's.
/// Call it when nothing else will change the object before it is stored; with `old` absent the object is new.
///
/// Managed fields that the client sent count as upstream counts them: those of a main resource replace the old
/// ones unless they are empty or malformed, `[{}]` resets them, a subresource's are ignored.
pub fn on_update(old: Option<&dyn Object>, new: &mut dyn Object, writer: &Writer<'_>) {
    let sent = new.meta_mut().managed_fields.take();
    let mut managers = managers(old, sent, writer);
    let before = old.map(tree);
    let after = tree(new);
    let before = before.as_ref().map_or(Before::Zero, Before::Value);
    let mut difference = compare(before, Some(&after), writer.shape());
    writer.keep_managed(&mut difference.changed);
    writer.keep_managed(&mut difference.removed);
    take_over(&mut managers, difference, writer);
    let entries = entries::write(managers);
    new.meta_mut().managed_fields = Some(entries).filter(|entries| !entries.is_empty());
}

/// An object as a tree, without its managed fields.
pub(super) fn tree(object: &dyn Object) -> Value {
    let mut tree = object.to_value();
    if let Some(Value::Object(metadata)) = tree.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    tree
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

fn managers(old: Option<&dyn Object>, sent: Option<Vec<ManagedFieldsEntry>>, writer: &Writer<'_>) -> Vec<Manager> {
    let sent = sent.filter(|_| writer.subresource.is_empty()).unwrap_or_default();
    if sent.len() == 1 && sent.first() == Some(&ManagedFieldsEntry::default()) {
        return Vec::new();
    }
    let sent = entries::read(sent).unwrap_or_default();
    if sent.is_empty() { old.map(owners).unwrap_or_default() } else { sent }
}

/// The managers of a stored object.
pub(super) fn owners(object: &dyn Object) -> Vec<Manager> {
    object.meta().managed_fields.clone().and_then(entries::read).unwrap_or_default()
}
