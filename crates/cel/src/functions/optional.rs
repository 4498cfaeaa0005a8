//! What may be absent.

use std::sync::Arc;

use super::{Call, Library, Row, no_overload, operators};
use crate::value::{Error, Value};

/// Optional values, and the list functions that come with them.
pub const OPTIONAL: Library = Library(&[
    Row { name: "optional.of", function: of, declarations: &["(V) -> optional(V)"] },
    Row { name: "optional.ofNonZeroValue", function: of_non_zero, declarations: &["(V) -> optional(V)"] },
    Row { name: "optional.none", function: none, declarations: &["() -> optional(V)"] },
    Row { name: "value", function: value, declarations: &["optional(V).() -> V"] },
    Row { name: "hasValue", function: has_value, declarations: &["optional(V).() -> bool"] },
    Row { name: "or", function: or, declarations: &["optional(V).(optional(V)) -> optional(V)"] },
    Row { name: "orValue", function: or_value, declarations: &["optional(V).(V) -> V"] },
    Row {
        name: "_[?_]",
        function: operators::optional_index,
        declarations: &[
            "(list(V), int) -> optional(V)",
            "(optional(list(V)), int) -> optional(V)",
            "(map(K, V), K) -> optional(V)",
            "(optional(map(K, V)), K) -> optional(V)",
        ],
    },
    Row {
        name: "_[_]",
        function: operators::optional_index,
        declarations: &["(optional(list(V)), int) -> optional(V)", "(optional(map(K, V)), K) -> optional(V)"],
    },
    Row { name: "first", function: first, declarations: &["list(V).() -> optional(V)"] },
    Row { name: "last", function: last, declarations: &["list(V).() -> optional(V)"] },
    Row { name: "optional.unwrap", function: unwrap, declarations: &["(list(optional(V))) -> list(V)"] },
    Row { name: "unwrapOpt", function: unwrap, declarations: &["list(optional(V)).() -> list(V)"] },
]);

fn of<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    args.first().cloned().map_or_else(no_overload, |value| Ok(Value::some(value)))
}

fn of_non_zero<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args.first() {
        Some(value) if value.is_zero() => Ok(Value::Optional(None)),
        _ => of(call, args),
    }
}

fn none<'a>(_: &Call<'_>, _: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::Optional(None))
}

fn value<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Error::new("optional.none() dereference")),
        _ => no_overload(),
    }
}

fn has_value<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => no_overload(),
    }
}

fn or<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        [some @ Value::Optional(_), Value::Optional(_)] => Ok(some.clone()),
        _ => no_overload(),
    }
}

fn or_value<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => no_overload(),
    }
}

fn first<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::List(list)] => Ok(Value::Optional(list.get(0).map(Arc::new))),
        _ => no_overload(),
    }
}

fn last<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::List(list)] => {
            Ok(Value::Optional(list.len().checked_sub(1).and_then(|last| list.get(last)).map(Arc::new)))
        }
        _ => no_overload(),
    }
}

fn unwrap<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::List(list)] = args else { return no_overload() };
    call.meter.work(list.len() as u64)?;
    let mut values = Vec::new();
    for element in list.iter() {
        match element {
            Value::Optional(value) => values.extend(value.map(|value| (*value).clone())),
            _ => return no_overload(),
        }
    }
    Ok(Value::list(values))
}
