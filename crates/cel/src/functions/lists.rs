//! Kubernetes' functions on lists.

use std::cmp::Ordering;

use super::{Call, Library, Row, no_overload, strings};
use crate::value::{Duration, Error, List, Value, compare};

const SORTED: &[&str] = &[
    "list(int).() -> bool",
    "list(uint).() -> bool",
    "list(double).() -> bool",
    "list(bool).() -> bool",
    "list(duration).() -> bool",
    "list(timestamp).() -> bool",
    "list(string).() -> bool",
    "list(bytes).() -> bool",
];
const EXTREME: &[&str] = &[
    "list(int).() -> int",
    "list(uint).() -> uint",
    "list(double).() -> double",
    "list(bool).() -> bool",
    "list(duration).() -> duration",
    "list(timestamp).() -> timestamp",
    "list(string).() -> string",
    "list(bytes).() -> bytes",
];

/// Kubernetes' functions on lists.
pub const LISTS: Library = Library(&[
    Row { name: "isSorted", function: is_sorted, declarations: SORTED },
    Row {
        name: "sum",
        function: sum,
        declarations: &[
            "list(int).() -> int",
            "list(uint).() -> uint",
            "list(double).() -> double",
            "list(duration).() -> duration",
        ],
    },
    Row { name: "max", function: extreme, declarations: EXTREME },
    Row { name: "min", function: extreme, declarations: EXTREME },
    Row { name: "indexOf", function: index_of, declarations: &["list(T).(T) -> int"] },
    Row { name: "lastIndexOf", function: index_of, declarations: &["list(T).(T) -> int"] },
]);

fn is_sorted<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::List(list)] = args else { return no_overload() };
    for (one, two) in list.iter().zip(list.iter().skip(1)) {
        if compare(&one, &two)? == Some(Ordering::Greater) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::List(list)] = args else { return no_overload() };
    let mut values = list.iter();
    let Some(first) = values.next() else { return Ok(Value::Int(0)) };
    if !matches!(first, Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(Duration(_))) {
        return no_overload();
    }
    values.try_fold(first, |sum, value| super::arithmetic::add(call, &[sum, value]))
}

fn extreme<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::List(list)] = args else { return no_overload() };
    let wanted = if call.name == "max" { Ordering::Greater } else { Ordering::Less };
    let mut values = list.iter();
    let first = values.next().ok_or_else(|| Error::new(format!("{} called on empty list", call.name)))?;
    values.try_fold(first, |best, value| Ok(if compare(&value, &best)? == Some(wanted) { value } else { best }))
}

/// Of lists, and of strings.
pub(super) fn index_of<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::List(list), value] => place(call, list, value).map(Value::Int),
        _ => strings::index_of(call, args),
    }
}

fn place<'a>(call: &Call<'_>, list: &List<'a>, value: &Value<'a>) -> Result<i64, Error> {
    let mut last = -1;
    for (index, element) in list.iter().enumerate() {
        if element.equals(value, call.meter)? {
            last = i64::try_from(index).unwrap_or(i64::MAX);
            if call.name == "indexOf" {
                break;
            }
        }
    }
    Ok(last)
}
