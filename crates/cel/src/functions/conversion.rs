//! One type to another, sizes, and what can be asked of a text.

use super::{Call, Library, Row, no_overload, regex};
use crate::value::{Duration, Error, Timestamp, Value, parse_duration, parse_timestamp, shortest, timestamp_text};

/// What is always there.
pub const STANDARD: Library = Library(&[
    Row {
        name: "size",
        function: size,
        declarations: &[
            "(bytes) -> int",
            "bytes.() -> int",
            "(list(A)) -> int",
            "list(A).() -> int",
            "(map(A, B)) -> int",
            "map(A, B).() -> int",
            "(string) -> int",
            "string.() -> int",
        ],
    },
    Row { name: "type", function: type_of, declarations: &["(A) -> type(A)"] },
    Row { name: "dyn", function: same, declarations: &["(A) -> dyn"] },
    Row { name: "bool", function: to_bool, declarations: &["(bool) -> bool", "(string) -> bool"] },
    Row { name: "bytes", function: to_bytes, declarations: &["(bytes) -> bytes", "(string) -> bytes"] },
    Row {
        name: "double",
        function: to_double,
        declarations: &["(double) -> double", "(int) -> double", "(string) -> double", "(uint) -> double"],
    },
    Row { name: "duration", function: to_duration, declarations: &["(duration) -> duration", "(string) -> duration"] },
    Row {
        name: "int",
        function: to_int,
        declarations: &[
            "(int) -> int",
            "(double) -> int",
            "(duration) -> int",
            "(string) -> int",
            "(timestamp) -> int",
            "(uint) -> int",
        ],
    },
    Row {
        name: "string",
        function: to_string,
        declarations: &[
            "(string) -> string",
            "(bool) -> string",
            "(bytes) -> string",
            "(double) -> string",
            "(duration) -> string",
            "(int) -> string",
            "(timestamp) -> string",
            "(uint) -> string",
        ],
    },
    Row {
        name: "timestamp",
        function: to_timestamp,
        declarations: &["(timestamp) -> timestamp", "(int) -> timestamp", "(string) -> timestamp"],
    },
    Row {
        name: "uint",
        function: to_uint,
        declarations: &["(uint) -> uint", "(double) -> uint", "(int) -> uint", "(string) -> uint"],
    },
    Row { name: "contains", function: contains, declarations: &["string.(string) -> bool"] },
    Row { name: "endsWith", function: ends_with, declarations: &["string.(string) -> bool"] },
    Row { name: "startsWith", function: starts_with, declarations: &["string.(string) -> bool"] },
    Row {
        name: "matches",
        function: regex::matches,
        declarations: &["(string, string) -> bool", "string.(string) -> bool"],
    },
]);

fn size<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => no_overload(),
    }
}

fn type_of<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    args.first().map_or_else(no_overload, |value| Ok(Value::Type(value.value_type())))
}

fn same<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    args.first().cloned().map_or_else(no_overload, Ok)
}

fn to_bool<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(conversion("string", "bool")),
        },
        _ => no_overload(),
    }
}

fn conversion(from: &str, to: &str) -> Error {
    Error::new(format!("type conversion error from '{from}' to '{to}'"))
}

fn to_bytes<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Bytes(_)] => same(call, args),
        [Value::String(text)] => {
            call.meter.work(text.len() as u64)?;
            Ok(Value::Bytes(text.as_bytes().into()))
        }
        _ => no_overload(),
    }
}

fn to_double<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::Double(match args {
        [Value::Double(number)] => *number,
        [Value::Int(number)] => *number as f64,
        [Value::Uint(number)] => *number as f64,
        [Value::String(text)] => text.parse().map_err(|_| conversion("string", "double"))?,
        _ => return no_overload(),
    }))
}

fn to_duration<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Duration(span)] => Ok(Value::Duration(*span)),
        [Value::String(text)] => parse_duration(text).map(Value::Duration),
        _ => no_overload(),
    }
}

fn to_timestamp<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Timestamp(time)] => Ok(Value::Timestamp(*time)),
        [Value::Int(seconds)] => Timestamp::from_seconds(*seconds).map(Value::Timestamp),
        [Value::String(text)] => parse_timestamp(text).map(Value::Timestamp),
        _ => no_overload(),
    }
}

fn to_int<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let range = || Error::new("integer overflow");
    Ok(Value::Int(match args {
        [Value::Int(number)] => *number,
        [Value::Uint(number)] => i64::try_from(*number).map_err(|_| range())?,
        // Both limits are doubles beyond what fits, or just so.
        [Value::Double(number)] if *number > i64::MIN as f64 && *number < i64::MAX as f64 => *number as i64,
        [Value::Double(_)] => return Err(range()),
        [Value::Duration(Duration(nanos))] => *nanos,
        [Value::Timestamp(time)] => time.seconds(),
        [Value::String(text)] => decimal(text).ok_or_else(|| conversion("string", "int"))?,
        _ => return no_overload(),
    }))
}

/// With a sign in front, and nothing else that is no digit.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn to_uint<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let range = || Error::new("unsigned integer overflow");
    Ok(Value::Uint(match args {
        [Value::Uint(number)] => *number,
        [Value::Int(number)] => u64::try_from(*number).map_err(|_| range())?,
        [Value::Double(number)] if *number >= 0.0 && *number < u64::MAX as f64 => *number as u64,
        [Value::Double(_)] => return Err(range()),
        [Value::String(text)] if !text.starts_with('+') => decimal(text).ok_or_else(|| conversion("string", "uint"))?,
        [Value::String(_)] => return Err(conversion("string", "uint")),
        _ => return no_overload(),
    }))
}

fn to_string<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [value] = args else { return no_overload() };
    Ok(Value::string(match value {
        Value::String(_) => return Ok(value.clone()),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => shortest(*number),
        Value::Bytes(bytes) => {
            call.meter.work(bytes.len() as u64)?;
            std::str::from_utf8(bytes)
                .map_err(|_| Error::new("invalid UTF-8 in bytes, cannot convert to string"))?
                .to_owned()
        }
        Value::Timestamp(time) => timestamp_text(*time),
        Value::Duration(span) => span.text(),
        _ => return no_overload(),
    }))
}

fn contains<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(&**part))),
        _ => no_overload(),
    }
}

fn starts_with<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(&**part))),
        _ => no_overload(),
    }
}

fn ends_with<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(&**part))),
        _ => no_overload(),
    }
}
