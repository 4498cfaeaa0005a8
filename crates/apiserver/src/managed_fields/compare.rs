//! Which paths a write changed, and which it removed.

use std::borrow::Cow;

use super::{
    set::FieldSet,
    shape::{Shape, Tree, View, by_path},
};

/// What was there before.
#[derive(Clone, Copy, Debug)]
pub enum Before<T> {
    /// Nothing.
    Nothing,
    /// The zero value of the kind: what a new object is compared with.
    Zero,
    /// A value.
    Value(T),
}

impl<T> Before<T> {
    fn of(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// The difference of two objects.
#[derive(Debug, Default)]
pub struct Difference {
    /// Paths that are new or have another value.
    pub changed: FieldSet,
    /// Paths that are gone.
    pub removed: FieldSet,
}

/// Compares two values of the same shape.
#[must_use]
pub fn compare<'a, T: Tree<'a>>(before: Before<T>, after: Option<T>, shape: Shape<'_>) -> Difference {
    match (before, after) {
        (Before::Nothing | Before::Zero, None) => Difference::default(),
        (Before::Value(before), Some(after)) if before == after => Difference::default(),
        (Before::Nothing, Some(after)) => Difference { changed: everything(after, shape), ..Difference::default() },
        (Before::Value(before), None) => Difference { removed: everything(before, shape), ..Difference::default() },
        (Before::Zero, Some(after)) => Difference { changed: since_zero(after, shape), ..Difference::default() },
        (Before::Value(before), Some(after)) => between(before, after, shape),
    }
}

/// Every path of a value that is wholly new or wholly gone, its containers included.
fn everything<'a, T: Tree<'a>>(value: T, shape: Shape<'_>) -> FieldSet {
    let mut all = FieldSet::leaf();
    match shape.view(value) {
        View::Leaf | View::Empty => {}
        View::Fields(fields) => {
            for (name, value) in in_order(fields) {
                all.children.insert(FieldSet::field(&name), everything(value, shape.field(&name).0));
            }
        }
        View::Elements(elements) => {
            for (path, item) in in_order(elements) {
                all.children.insert(path, everything(item, shape.element()));
            }
        }
    }
    all
}

/// By path, as sets keep them: inserting in another order moves what was inserted before, again and again.
pub(super) fn in_order<P: Ord, T>(mut below: Vec<(P, T)>) -> Vec<(P, T)> {
    below.sort_by(|a, b| a.0.cmp(&b.0));
    below
}

/// Paths of a new value whose container the kind's zero value already had.
fn since_zero<'a, T: Tree<'a>>(value: T, shape: Shape<'_>) -> FieldSet {
    let view = shape.view(value);
    let owned = matches!(view, View::Leaf) && !is_zero(value);
    FieldSet { owned, ..below(view, shape) }
}

fn is_zero<'a, T: Tree<'a>>(value: T) -> bool {
    matches!(&*value.json(), "{}" | "[]" | "\"\"" | "0" | "false" | "null")
}

fn below<'a, T: Tree<'a>>(view: View<'a, T>, shape: Shape<'_>) -> FieldSet {
    let mut changed = FieldSet::default();
    match view {
        View::Leaf | View::Empty => {}
        View::Fields(fields) => {
            for (name, value) in in_order(fields) {
                let (below, present) = shape.field(&name);
                let before = if present { Before::Zero } else { Before::Nothing };
                changed.insert(FieldSet::field(&name), compare(before, Some(value), below).changed);
            }
        }
        View::Elements(elements) => {
            for (path, item) in in_order(elements) {
                changed.insert(path, everything(item, shape.element()));
            }
        }
    }
    changed
}

/// Members by name. Maps are sorted, and may have as many members as a client likes; an object's fields need not be.
struct Members<'f, 'a, T> {
    fields: &'f [(Cow<'a, str>, T)],
    sorted: bool,
}

impl<'f, 'a, T: Copy> Members<'f, 'a, T> {
    fn of(fields: &'f [(Cow<'a, str>, T)]) -> Self {
        Self { fields, sorted: fields.is_sorted_by(|a, b| a.0 < b.0) }
    }

    fn find(&self, wanted: &str) -> Option<T> {
        let place = if self.sorted {
            self.fields.binary_search_by(|(name, _)| (**name).cmp(wanted)).ok()
        } else {
            self.fields.iter().position(|(name, _)| name == wanted)
        };
        place.map(|place| self.fields[place].1)
    }
}

fn between<'a, T: Tree<'a>>(before: T, after: T, shape: Shape<'_>) -> Difference {
    let mut difference = Difference::default();
    let mut inside = |path: String, before: Before<T>, after: Option<T>, shape: Shape<'_>| {
        let inner = compare(before, after, shape);
        difference.changed.insert(path.clone(), inner.changed);
        difference.removed.insert(path, inner.removed);
    };
    match (shape.view(before), shape.view(after)) {
        (View::Fields(old), View::Fields(new)) => {
            let (before, after) = (Members::of(&old), Members::of(&new));
            for (name, after) in &new {
                let before = before.find(name);
                if before != Some(*after) {
                    inside(FieldSet::field(name), Before::of(before), Some(*after), shape.field(name).0);
                }
            }
            for (name, before) in old.iter().filter(|(name, _)| after.find(name).is_none()) {
                inside(FieldSet::field(name), Before::Value(*before), None, shape.field(name).0);
            }
        }
        (View::Elements(old), View::Elements(new)) => {
            let (old, new) = (by_path(&old), by_path(&new));
            for (path, after) in &new {
                inside((*path).to_owned(), Before::of(old.get(path).copied()), Some(*after), shape.element());
            }
            for (path, before) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
                inside((*path).to_owned(), Before::Value(*before), None, shape.element());
            }
        }
        (View::Leaf, View::Leaf) | (View::Empty, View::Empty) => difference.changed.owned = true,
        (old, new) => {
            // What is empty becomes full, or the other way round, or the type changes.
            difference.changed = if matches!(new, View::Leaf) { FieldSet::leaf() } else { below(new, shape) };
            difference.removed = below(old, shape);
        }
    }
    difference
}
