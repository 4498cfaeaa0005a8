//! Rules for numbers.

use super::names;
use crate::{
    IntOrString,
    field::{FieldError, Path},
};

/// Zero or more.
pub(crate) fn non_negative(path: &Path, value: impl Into<i64>) -> Option<FieldError> {
    let value = value.into();
    (value < 0).then(|| FieldError::invalid(path, value, "must be greater than or equal to 0"))
}

/// More than zero.
pub(crate) fn positive(path: &Path, value: impl Into<i64>) -> Option<FieldError> {
    let value = value.into();
    (value <= 0).then(|| FieldError::invalid(path, value, "must be greater than 0"))
}

/// 1 to 65535.
pub(crate) fn port(path: &Path, port: i32) -> Vec<FieldError> {
    names::port_number(port.into()).into_iter().map(|error| FieldError::invalid(path, port, error)).collect()
}

/// 1 to 65535, or a container port's name.
pub(crate) fn port_or_name(path: &Path, value: &IntOrString) -> Vec<FieldError> {
    match value {
        IntOrString::Int(number) => port(path, *number),
        IntOrString::String(name) => names::check(names::port_name, path, name),
    }
}
