//! Equality and order.

use std::cmp::Ordering;

use super::{Error, Map, Value};
use crate::Meter;

/// Whether two values are the same. Values of different types are not; numbers are compared as numbers.
pub(crate) fn equal(left: &Value<'_>, right: &Value<'_>, meter: &Meter) -> Result<bool, Error> {
    meter.work(1)?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left.name() == right.name(),
        (Value::Opaque(left), Value::Opaque(right)) => {
            left.value_type() == right.value_type() && left.equals(right.as_ref())
        }
        (Value::Optional(Some(left)), Value::Optional(Some(right))) => return equal(left, right, meter),
        (Value::Optional(left), Value::Optional(right)) => left.is_none() && right.is_none(),
        (Value::List(left), Value::List(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if !equal(&left, &right, meter)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(left), Value::Map(right)) => return equal_maps(left, right, meter),
        (Value::Object(left), Value::Object(right)) => {
            if left.name != right.name || left.fields.len() != right.fields.len() {
                return Ok(false);
            }
            for ((name, value), (other, right)) in left.fields.iter().zip(&right.fields) {
                if name != other || !equal(value, right, meter)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => number_order(left, right) == Some(Ordering::Equal),
    })
}

fn equal_maps(left: &Map<'_>, right: &Map<'_>, meter: &Meter) -> Result<bool, Error> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for key in left.keys() {
        match (left.get(&key), right.get(&key)) {
            (Some(left), Some(right)) if equal(&left, &right, meter)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The order of two numbers, whatever their types; `None` where there is none.
pub(crate) fn number_order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), right) => whole(right).and_then(|right| with_double(right, *left)).map(Ordering::reverse),
        (left, Value::Double(right)) => whole(left).and_then(|left| with_double(left, *right)),
        (left, right) => Some(whole(left)?.cmp(&whole(right)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    }
}

fn with_double(left: i128, right: f64) -> Option<Ordering> {
    // As cel-go has it: the largest integers are the same as the double next to them.
    (left as f64).partial_cmp(&right)
}

/// The order of two values that have one.
///
/// # Errors
/// When they have none. Whatever is compared with what is not a number is in no order: `None`.
pub fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, Error> {
    let number = |value: &Value<'_>| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(Some(left.cmp(right))),
        (Value::String(left), Value::String(right)) => Ok(Some(left.cmp(right))),
        (Value::Bytes(left), Value::Bytes(right)) => Ok(Some(left.cmp(right))),
        (Value::Timestamp(left), Value::Timestamp(right)) => Ok(Some(left.cmp(right))),
        (Value::Duration(left), Value::Duration(right)) => Ok(Some(left.cmp(right))),
        (left, right) if number(left) && number(right) => Ok(number_order(left, right)),
        _ => Err(Error::no_overload()),
    }
}
