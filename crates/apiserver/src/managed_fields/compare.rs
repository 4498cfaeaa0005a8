//! Which paths a write changed, and which it removed.

use serde_json::{Map, Value};

use super::{
    set::FieldSet,
    shape::{Shape, View, by_path},
};

/// What was there before.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// Nothing.
    Nothing,
    /// The zero value of the kind: what a new object is compared with.
    Zero,
    /// A value.
    Value(&'a Value),
}

impl<'a> Before<'a> {
    fn of(value: Option<&'a Value>) -> Self {
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
pub fn compare(before: Before<'_>, after: Option<&Value>, shape: Shape) -> Difference {
    match (before, after.filter(|value| !value.is_null())) {
        (Before::Value(before), after) if before.is_null() => compare(Before::Nothing, after, shape),
        (Before::Nothing | Before::Zero, None) => Difference::default(),
        (Before::Value(before), Some(after)) if before == after => Difference::default(),
        (Before::Nothing, Some(after)) => Difference { changed: everything(after, shape), ..Difference::default() },
        (Before::Value(before), None) => Difference { removed: everything(before, shape), ..Difference::default() },
        (Before::Zero, Some(after)) => Difference { changed: since_zero(after, shape), ..Difference::default() },
        (Before::Value(before), Some(after)) => between(before, after, shape),
    }
}

/// Every path of a value that is wholly new or wholly gone, its containers included.
fn everything(value: &Value, shape: Shape) -> FieldSet {
    let mut all = FieldSet::leaf();
    match shape.view(value) {
        View::Leaf => {}
        View::Fields(fields) => {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                all.children.insert(format!("f:{name}"), everything(value, shape.field(name).0));
            }
        }
        View::Elements(elements) => {
            for (path, item) in elements {
                all.children.insert(path, everything(item, shape.element()));
            }
        }
    }
    all
}

/// Paths of a new value whose container the kind's zero value already had.
fn since_zero(value: &Value, shape: Shape) -> FieldSet {
    let mut changed = everything_below(value, shape);
    let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    changed.owned = matches!(shape.view(value), View::Leaf) && !empty;
    changed
}

fn everything_below(value: &Value, shape: Shape) -> FieldSet {
    let mut changed = FieldSet::default();
    match shape.view(value) {
        View::Leaf => {}
        View::Fields(fields) => {
            for (name, value) in fields {
                let (below, present) = shape.field(name);
                let before = if present { Before::Zero } else { Before::Nothing };
                changed.insert(format!("f:{name}"), compare(before, Some(value), below).changed);
            }
        }
        View::Elements(elements) => {
            for (path, item) in elements {
                changed.insert(path, everything(item, shape.element()));
            }
        }
    }
    changed
}

fn between(before: &Value, after: &Value, shape: Shape) -> Difference {
    let mut difference = Difference::default();
    let mut below = |path: String, before: Before<'_>, after: Option<&Value>, shape: Shape| {
        let inner = compare(before, after, shape);
        difference.changed.insert(path.clone(), inner.changed);
        difference.removed.insert(path, inner.removed);
    };
    match (shape.view(before), shape.view(after)) {
        (View::Fields(old), View::Fields(new)) => {
            for (name, after) in new {
                below(format!("f:{name}"), Before::of(old.get(name)), Some(after), shape.field(name).0);
            }
            for (name, before) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
                below(format!("f:{name}"), Before::Value(before), None, shape.field(name).0);
            }
        }
        (View::Elements(old), View::Elements(new)) => {
            let (old, new) = (by_path(&old), by_path(&new));
            for (path, after) in &new {
                below(path.clone(), Before::of(old.get(path).copied()), Some(after), shape.element());
            }
            for (path, before) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
                below(path.clone(), Before::Value(before), None, shape.element());
            }
        }
        (View::Leaf, View::Leaf) => difference.changed.owned = true,
        (old, new) => {
            // An empty container becomes a full one, or the other way round, or the type changes.
            difference.changed =
                if matches!(new, View::Leaf) { FieldSet::leaf() } else { everything_below(after, shape) };
            difference.removed =
                if matches!(old, View::Leaf) { FieldSet::default() } else { everything_below(before, shape) };
        }
    }
    difference
}
