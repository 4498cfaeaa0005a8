//! Operators.

use std::{cmp::Ordering, sync::Arc};

use super::{Call, Library, Row, arithmetic, no_overload};
use crate::value::{Error, Key, List, Value, compare};

const COMPARED: &[&str] = &[
    "(bool, bool) -> bool",
    "(int, int) -> bool",
    "(int, double) -> bool",
    "(int, uint) -> bool",
    "(uint, uint) -> bool",
    "(uint, double) -> bool",
    "(uint, int) -> bool",
    "(double, double) -> bool",
    "(double, int) -> bool",
    "(double, uint) -> bool",
    "(string, string) -> bool",
    "(bytes, bytes) -> bool",
    "(timestamp, timestamp) -> bool",
    "(duration, duration) -> bool",
];

/// What has a sign instead of a name.
pub const OPERATORS: Library = Library(&[
    // The first four and `@not_strictly_false` never come here: they do not evaluate all of their arguments.
    Row { name: "_?_:_", function: never, declarations: &["(bool, A, A) -> A"] },
    Row { name: "_&&_", function: never, declarations: &["(bool, bool) -> bool"] },
    Row { name: "_||_", function: never, declarations: &["(bool, bool) -> bool"] },
    Row { name: "@not_strictly_false", function: never, declarations: &["(bool) -> bool"] },
    Row { name: "!_", function: not, declarations: &["(bool) -> bool"] },
    Row { name: "_==_", function: equals, declarations: &["(A, A) -> bool"] },
    Row { name: "_!=_", function: differs, declarations: &["(A, A) -> bool"] },
    Row { name: "_<_", function: ordered, declarations: COMPARED },
    Row { name: "_<=_", function: ordered, declarations: COMPARED },
    Row { name: "_>_", function: ordered, declarations: COMPARED },
    Row { name: "_>=_", function: ordered, declarations: COMPARED },
    Row {
        name: "_+_",
        function: arithmetic::add,
        declarations: &[
            "(bytes, bytes) -> bytes",
            "(double, double) -> double",
            "(duration, duration) -> duration",
            "(duration, timestamp) -> timestamp",
            "(timestamp, duration) -> timestamp",
            "(int, int) -> int",
            "(list(A), list(A)) -> list(A)",
            "(string, string) -> string",
            "(uint, uint) -> uint",
        ],
    },
    Row {
        name: "_-_",
        function: arithmetic::subtract,
        declarations: &[
            "(double, double) -> double",
            "(duration, duration) -> duration",
            "(int, int) -> int",
            "(timestamp, duration) -> timestamp",
            "(timestamp, timestamp) -> duration",
            "(uint, uint) -> uint",
        ],
    },
    Row { name: "_*_", function: arithmetic::multiply, declarations: NUMBERS },
    Row { name: "_/_", function: arithmetic::divide, declarations: NUMBERS },
    Row { name: "_%_", function: arithmetic::modulo, declarations: &["(int, int) -> int", "(uint, uint) -> uint"] },
    Row { name: "-_", function: arithmetic::negate, declarations: &["(double) -> double", "(int) -> int"] },
    Row { name: "_[_]", function: index, declarations: &["(list(A), int) -> A", "(map(A, B), A) -> B"] },
    Row { name: "@in", function: contained, declarations: &["(A, list(A)) -> bool", "(A, map(A, B)) -> bool"] },
]);

const NUMBERS: &[&str] = &["(double, double) -> double", "(int, int) -> int", "(uint, uint) -> uint"];

fn never<'a>(_: &Call<'_>, _: &[Value<'a>]) -> Result<Value<'a>, Error> {
    no_overload()
}

fn not<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => no_overload(),
    }
}

fn equals<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [left, right] => left.equals(right, call.meter).map(Value::Bool),
        _ => no_overload(),
    }
}

fn differs<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [left, right] => left.equals(right, call.meter).map(|same| Value::Bool(!same)),
        _ => no_overload(),
    }
}

fn ordered<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [left, right] = args else { return no_overload() };
    let order = compare(left, right)?;
    Ok(Value::Bool(match call.name {
        "_<_" => order == Some(Ordering::Less),
        "_<=_" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "_>_" => order == Some(Ordering::Greater),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }))
}

/// The place of an element: also a double that is whole.
fn place(value: &Value<'_>) -> Result<i64, Error> {
    match Key::to_find(value) {
        Some(Key::Int(index)) => Ok(index),
        Some(Key::Uint(index)) => Ok(i64::try_from(index).unwrap_or(i64::MAX)),
        _ => Err(Error::new(format!("unsupported index type '{}' in list", value.value_type().name()))),
    }
}

/// An element or the value of a key, if it is there.
fn find<'a>(from: &Value<'a>, index: &Value<'a>) -> Result<Option<Value<'a>>, Error> {
    match from {
        Value::List(list) => Ok(usize::try_from(place(index)?).ok().and_then(|index| list.get(index))),
        Value::Map(map) => Ok(Key::to_find(index).and_then(|key| map.get(&key))),
        Value::Optional(None) => Ok(None),
        Value::Optional(Some(inside)) => find(inside, index),
        Value::Object(object) => Ok(index.as_str().and_then(|name| object.fields.get(name).cloned())),
        _ => Err(Error::no_overload()),
    }
}

fn index<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [from, index] = args else { return no_overload() };
    if matches!(from, Value::Optional(_)) {
        return find(from, index).map(|found| Value::Optional(found.map(Arc::new)));
    }
    find(from, index)?.ok_or_else(|| match (from, index) {
        (Value::List(_), _) => Error::new(format!("index out of bounds: {}", place(index).unwrap_or_default())),
        (_, index) => match Key::of(index) {
            Some(key) => Error::no_key(key),
            None => Error::new(format!("unsupported key type: {}", index.value_type().name())),
        },
    })
}

/// `list[?0]`
pub(super) fn optional_index<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [from, index] => find(from, index).map(|found| Value::Optional(found.map(Arc::new))),
        _ => no_overload(),
    }
}

fn contained<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [value, Value::List(list)] => contains(call, list, value).map(Value::Bool),
        [key, Value::Map(map)] => Ok(Value::Bool(Key::to_find(key).is_some_and(|key| map.contains(&key)))),
        _ => no_overload(),
    }
}

/// Whether a value is in a list.
pub(super) fn contains<'a>(call: &Call<'_>, list: &List<'a>, value: &Value<'a>) -> Result<bool, Error> {
    for element in list.iter() {
        if element.equals(value, call.meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}
