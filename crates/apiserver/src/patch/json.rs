//! JSON patch as upstream's library reads it, which is laxer than RFC 6902: absent members of objects are null, indices
//! may count from the end, and what stands before the first slash of a path is not looked at. Bounded in what it may cost.

use serde_json::{Map, Value};

use super::PatchError;
use crate::json::MAX_DEPTH;

/// Upstream's limit of operations in one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Upstream's limit of what copies may add: that of a request body. Without it, a few operations
/// that copy a parent into its child fill the memory. Moves count too, because they are measured.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;
/// So many elements of lists may be moved to make room for others, or to fill a gap.
const MAX_MOVED: usize = 50_000_000;

/// One step of a patch.
#[derive(Clone, Debug)]
pub struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    /// Null when it is absent.
    value: Value,
    /// Whether there is a value, be it null.
    valued: bool,
}

/// Reads a patch.
pub(super) fn decode(patch: Value) -> Result<Vec<Operation>, PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Decode(format!(
            "json: cannot unmarshal {} into Go value of type []interface {{}}",
            word(&patch)
        )));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { limit: MAX_OPERATIONS, count: operations.len() });
    }
    operations.into_iter().map(Operation::read).collect()
}

/// What a value is called in messages.
pub(super) fn word(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) | Value::Null => "number",
    }
}

impl Operation {
    fn read(value: Value) -> Result<Self, PatchError> {
        let mut members = match value {
            Value::Object(members) => members,
            Value::Null => Map::new(),
            other => {
                let what = word(&other);
                return Err(PatchError::NotAnObject(format!(
                    "json: cannot unmarshal {what} into Go value of type jsonpatch.Operation"
                )));
            }
        };
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let op = text("op").unwrap_or_else(|| "unknown".to_owned());
        let (path, from) = (text("path"), text("from"));
        let value = members.remove("value");
        Ok(Self { op, path, from, valued: value.is_some(), value: value.unwrap_or_default() })
    }

    fn path(&self) -> Result<&str, PatchError> {
        self.path.as_deref().ok_or_else(|| unfit("operation missing path field"))
    }

    fn from(&self) -> Result<&str, PatchError> {
        self.from.as_deref().ok_or_else(|| unfit("operation, missing from field"))
    }
}

pub(super) fn apply(object: &mut Value, operations: &[Operation]) -> Result<(), PatchError> {
    let mut patcher = Patcher { object, copied: 0, moved: 0 };
    operations.iter().try_for_each(|operation| patcher.apply(operation))
}

struct Patcher<'a> {
    object: &'a mut Value,
    /// About how many bytes copies and moves have put somewhere.
    copied: usize,
    /// How many elements of lists have been moved.
    moved: usize,
}

impl Patcher<'_> {
    fn apply(&mut self, operation: &Operation) -> Result<(), PatchError> {
        match operation.op.as_str() {
            "add" => self.put(operation.path()?, operation.value.clone(), Insert::Yes),
            "remove" => self.take(operation.path()?).map(drop),
            "replace" => self.replace(operation.path()?, &operation.value),
            "move" => {
                let from = operation.from()?;
                self.measure(from, operation.path()?)?;
                let value = self.take(from)?;
                self.put(operation.path()?, value, Insert::Yes)
            }
            "copy" => {
                let path = operation.path()?;
                self.measure(operation.from()?, path)?;
                let value = self.place(operation.from()?)?.get()?.cloned().unwrap_or_default();
                self.put(path, value, Insert::Yes)
            }
            "test" => self.test(operation),
            other => Err(unfit(&format!("Unexpected kind: {other}"))),
        }
    }

    fn place(&mut self, path: &str) -> Result<Place<'_>, PatchError> {
        find(self.object, path).ok_or_else(|| unfit(&format!("doc is missing path: {path:?}")))
    }

    fn put(&mut self, path: &str, value: Value, insert: Insert) -> Result<(), PatchError> {
        if path.matches('/').count() + extent(&value).depth > MAX_DEPTH {
            return Err(PatchError::TooDeep { limit: MAX_DEPTH });
        }
        let moved = self.place(path)?.put(value, insert)?;
        self.count_moved(moved)
    }

    fn take(&mut self, path: &str) -> Result<Value, PatchError> {
        let (value, moved) = self.place(path)?.take()?;
        self.count_moved(moved)?;
        Ok(value)
    }

    fn replace(&mut self, path: &str, value: &Value) -> Result<(), PatchError> {
        if !path.is_empty() {
            return self.put(path, value.clone(), Insert::No);
        }
        if !value.is_object() && !value.is_array() {
            return Err(unfit("replace operation value must be object or array"));
        }
        *self.object = value.clone();
        Ok(())
    }

    fn test(&mut self, operation: &Operation) -> Result<(), PatchError> {
        let path = operation.path()?;
        let wanted = &operation.value;
        let equal = if path.is_empty() {
            *self.object == *wanted
        } else {
            match self.place(path)?.get()? {
                None | Some(Value::Null) => wanted.is_null(),
                Some(value) => operation.valued && value == wanted,
            }
        };
        if equal { Ok(()) } else { Err(PatchError::Test(format!("testing value {path} failed"))) }
    }

    /// Sees that what goes from one place to another does not grow without end.
    fn measure(&mut self, from: &str, to: &str) -> Result<(), PatchError> {
        let Extent { bytes, depth } = match self.place(from)?.get()? {
            Some(value) => extent(value),
            None => Extent::default(),
        };
        if to.matches('/').count() + depth > MAX_DEPTH {
            return Err(PatchError::TooDeep { limit: MAX_DEPTH });
        }
        self.copied += bytes;
        if self.copied > MAX_COPIED_BYTES {
            return Err(PatchError::TooLarge { limit: MAX_COPIED_BYTES });
        }
        Ok(())
    }

    fn count_moved(&mut self, moved: usize) -> Result<(), PatchError> {
        self.moved += moved;
        if self.moved > MAX_MOVED { Err(PatchError::TooMuchMoved { limit: MAX_MOVED }) } else { Ok(()) }
    }
}

fn unfit(why: &str) -> PatchError {
    PatchError::Operation(why.to_owned())
}

/// Whether a value goes between others or takes the place of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Insert {
    Yes,
    No,
}

/// A member of an object, or an element of a list, whether it is there or not.
enum Place<'a> {
    Member(&'a mut Map<String, Value>, String),
    Element(&'a mut Vec<Value>, String),
}

impl Place<'_> {
    /// What is there; an element must be.
    fn get(&self) -> Result<Option<&Value>, PatchError> {
        match self {
            Self::Member(members, name) => Ok(members.get(name)),
            Self::Element(items, key) => Ok(items.get(index(key, items.len())?)),
        }
    }

    /// Puts a value there, and tells how many elements had to move.
    fn put(self, value: Value, insert: Insert) -> Result<usize, PatchError> {
        match self {
            Self::Member(members, name) => {
                members.insert(name, value);
                Ok(0)
            }
            Self::Element(items, key) if insert == Insert::No => {
                let index = index(&key, items.len())?;
                items[index] = value;
                Ok(0)
            }
            Self::Element(items, key) => {
                let index = if key == "-" { items.len() } else { index(&key, items.len() + 1)? };
                let moved = items.len() - index;
                items.insert(index, value);
                Ok(moved)
            }
        }
    }

    /// Takes what is there away, and tells how many elements had to move.
    fn take(self) -> Result<(Value, usize), PatchError> {
        match self {
            Self::Member(members, name) => {
                let value = members.remove(&name);
                let absent = || unfit(&format!("Unable to remove nonexistent key: {name}"));
                Ok((value.ok_or_else(absent)?, 0))
            }
            Self::Element(items, key) => {
                let index = index(&key, items.len())?;
                let value = items.remove(index);
                Ok((value, items.len() - index))
            }
        }
    }
}

/// An index below `length`; one below zero counts from there.
fn index(key: &str, length: usize) -> Result<usize, PatchError> {
    let index: isize = key.parse().map_err(|_| unfit(&format!("value was not a proper array index: '{key}'")))?;
    let place = if index < 0 { length.checked_sub(index.unsigned_abs()) } else { Some(index.unsigned_abs()) };
    place.filter(|place| *place < length).ok_or_else(|| unfit(&format!("Unable to access invalid index: {index}")))
}

/// The place at a path, if the way there is one of objects and lists.
fn find<'a>(mut value: &'a mut Value, path: &str) -> Option<Place<'a>> {
    let (_, steps) = path.split_once('/')?;
    let mut steps = steps.split('/').peekable();
    loop {
        let key = unescaped(steps.next()?);
        match (value, steps.peek()) {
            (Value::Object(members), None) => return Some(Place::Member(members, key)),
            (Value::Array(items), None) => return Some(Place::Element(items, key)),
            (Value::Object(members), Some(_)) => value = members.get_mut(&key)?,
            (Value::Array(items), Some(_)) => {
                let index = index(&key, items.len()).ok()?;
                value = items.get_mut(index)?;
            }
            _ => return None,
        }
    }
}

/// `~1` is a slash, `~0` a tilde.
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// How large a value is.
#[derive(Default)]
struct Extent {
    /// About how many bytes of JSON.
    bytes: usize,
    /// How many arrays and objects within one another.
    depth: usize,
}

impl Extent {
    /// Of an array or object that has this in it.
    fn around(parts: impl Iterator<Item = Self>) -> Self {
        let all = parts.fold(Self::default(), |all, part| Self {
            bytes: all.bytes + part.bytes,
            depth: all.depth.max(part.depth),
        });
        Self { bytes: all.bytes + 2, depth: all.depth + 1 }
    }
}

fn extent(value: &Value) -> Extent {
    match value {
        Value::String(text) => Extent { bytes: text.len() + 2, depth: 0 },
        Value::Array(items) => Extent::around(items.iter().map(|item| {
            let item = extent(item);
            Extent { bytes: item.bytes + 1, ..item }
        })),
        Value::Object(fields) => Extent::around(fields.iter().map(|(key, value)| {
            let value = extent(value);
            Extent { bytes: key.len() + value.bytes + 4, ..value }
        })),
        Value::Null | Value::Bool(_) | Value::Number(_) => Extent { bytes: 8, depth: 0 },
    }
}
