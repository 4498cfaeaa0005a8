//! What can be computed with numbers, times, texts and lists. Nothing overflows unnoticed.

use super::{Call, no_overload};
use crate::value::{Duration, Error, Value};

fn overflow<T>(value: Option<T>, what: &'static str) -> Result<T, Error> {
    value.ok_or(Error::new(what))
}

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";
const DURATION: &str = "duration overflow";

fn span<'a>(nanos: Option<i64>) -> Result<Value<'a>, Error> {
    overflow(nanos, DURATION).map(|nanos| Value::Duration(Duration(nanos)))
}

pub(super) fn add<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [left, right] = args else { return no_overload() };
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => overflow(left.checked_add(*right), INT).map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => overflow(left.checked_add(*right), UINT).map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Value::String(left), Value::String(right)) => {
            call.meter.work((left.len() + right.len()) as u64)?;
            Ok(Value::string([&**left, &**right].concat()))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            call.meter.work((left.len() + right.len()) as u64)?;
            Ok(Value::Bytes([&**left, &**right].concat().into()))
        }
        (Value::List(left), Value::List(right)) => {
            call.meter.work(4 * (left.len() + right.len()) as u64)?;
            Ok(Value::list(left.iter().chain(right.iter()).collect()))
        }
        (Value::Duration(left), Value::Duration(right)) => span(left.0.checked_add(right.0)),
        (Value::Timestamp(time), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(time)) => {
            time.plus(*span).map(Value::Timestamp)
        }
        _ => no_overload(),
    }
}

pub(super) fn subtract<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [left, right] = args else { return no_overload() };
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => overflow(left.checked_sub(*right), INT).map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => overflow(left.checked_sub(*right), UINT).map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left - right)),
        (Value::Duration(left), Value::Duration(right)) => span(left.0.checked_sub(right.0)),
        (Value::Timestamp(left), Value::Timestamp(right)) => left.since(*right).map(Value::Duration),
        (Value::Timestamp(time), Value::Duration(span)) => {
            let back = overflow(span.0.checked_neg(), DURATION)?;
            time.plus(Duration(back)).map(Value::Timestamp)
        }
        _ => no_overload(),
    }
}

pub(super) fn multiply<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Int(left), Value::Int(right)] => overflow(left.checked_mul(*right), INT).map(Value::Int),
        [Value::Uint(left), Value::Uint(right)] => overflow(left.checked_mul(*right), UINT).map(Value::Uint),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left * right)),
        _ => no_overload(),
    }
}

pub(super) fn divide<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    const ZERO: &str = "division by zero";
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::new(ZERO)),
        [Value::Int(left), Value::Int(right)] => overflow(left.checked_div(*right), INT).map(Value::Int),
        [Value::Uint(left), Value::Uint(right)] => overflow(left.checked_div(*right), UINT).map(Value::Uint),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left / right)),
        _ => no_overload(),
    }
}

pub(super) fn modulo<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    const ZERO: &str = "modulus by zero";
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::new(ZERO)),
        [Value::Int(left), Value::Int(right)] => overflow(left.checked_rem(*right), INT).map(Value::Int),
        [Value::Uint(left), Value::Uint(right)] => overflow(left.checked_rem(*right), UINT).map(Value::Uint),
        _ => no_overload(),
    }
}

pub(super) fn negate<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Int(value)] => overflow(value.checked_neg(), INT).map(Value::Int),
        [Value::Double(value)] => Ok(Value::Double(-value)),
        [Value::Duration(value)] => span(value.0.checked_neg()),
        _ => no_overload(),
    }
}
