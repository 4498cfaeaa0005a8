//! JSON as Go's `%v` prints it: upstream's messages about patches quote parts of them so.

use std::fmt;

use serde_json::Value;

/// A value as Go prints it: `map[a:1 b:[x y]]`.
pub struct Printed<'a>(pub &'a Value);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::String(text) => f.write_str(text),
            Value::Bool(_) | Value::Number(_) => write!(f, "{}", self.0),
            Value::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { " " }, Printed(item))?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                f.write_str("map[")?;
                for (index, (name, value)) in members.into_iter().enumerate() {
                    write!(f, "{}{name}:{}", if index == 0 { "" } else { " " }, Printed(value))?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Go's name of the type of a value.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
