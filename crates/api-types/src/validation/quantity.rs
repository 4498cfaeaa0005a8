//! Rules for amounts.

use super::resource_names;
use crate::{
    field::{FieldError, Path},
    quantity::{Quantity, Wire},
};

/// The amount; an error when it is none.
pub(crate) fn parse(path: &Path, wire: &Wire) -> Result<Quantity, FieldError> {
    Quantity::try_from(wire).map_err(|error| FieldError::invalid(path, wire.0.as_str(), error.to_string()))
}

/// More than nothing.
pub(crate) fn positive(path: &Path, wire: &Wire) -> Option<FieldError> {
    match parse(path, wire) {
        Ok(amount) if amount > Quantity::ZERO => None,
        Ok(amount) => Some(FieldError::invalid(path, amount.to_string(), "must be greater than zero")),
        Err(error) => Some(error),
    }
}

/// Nothing or more.
pub(crate) fn not_negative(path: &Path, wire: &Wire) -> Option<FieldError> {
    match parse(path, wire) {
        Ok(amount) if amount.is_negative() => {
            Some(FieldError::invalid(path, amount.to_string(), "must be greater than or equal to 0"))
        }
        Ok(_) => None,
        Err(error) => Some(error),
    }
}

/// Nothing or more, told as a number.
pub(crate) fn basic(path: &Path, wire: &Wire) -> Option<FieldError> {
    match parse(path, wire) {
        Ok(amount) if amount.is_negative() => {
            Some(FieldError::invalid(path, amount.value(), "must be a valid resource quantity"))
        }
        Ok(_) => None,
        Err(error) => Some(error),
    }
}

/// Nothing or more of a resource, and whole where that is counted.
pub(crate) fn of_resource(path: &Path, name: &str, wire: &Wire) -> Vec<FieldError> {
    let amount = match parse(path, wire) {
        Ok(amount) => amount,
        Err(error) => return vec![error],
    };
    let mut errors: Vec<FieldError> = not_negative(path, wire).into_iter().collect();
    if resource_names::is_counted(name) && !amount.is_whole() {
        errors.push(FieldError::invalid(path, amount.to_string(), "must be an integer"));
    }
    errors
}
