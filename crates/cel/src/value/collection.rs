//! Lists and maps: made by expressions, or seen in JSON without a copy.

use std::{cmp::Ordering, collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value as Json;

use super::{Numbers, Text, Value, number_order};

/// Elements.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// Made by an expression.
    Values(Arc<Vec<Value<'a>>>),
    /// Of JSON.
    Json(&'a [Json], Numbers),
}

impl<'a> List<'a> {
    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Json(values, _) => values.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Values(values) => values.get(index).cloned(),
            Self::Json(values, numbers) => values.get(index).map(|value| Value::from_json(value, *numbers)),
        }
    }

    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// Keys with values. Iteration is in the order of keys.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// Made by an expression.
    Values(Arc<BTreeMap<Key<'a>, Value<'a>>>),
    /// Of JSON.
    Json(&'a serde_json::Map<String, Json>, Numbers),
    /// Whose absent keys have a value, too: upstream's maps of devices' attributes.
    Defaulting(Arc<(Map<'a>, Value<'a>)>),
}

impl<'a> Map<'a> {
    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Json(values, _) => values.len(),
            Self::Defaulting(inner) => inner.0.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Key<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Values(values), key) => values.get(key).cloned(),
            (_, Key::String(name)) => self.get_str(name),
            (Self::Defaulting(inner), _) => Some(inner.1.clone()),
            _ => None,
        }
    }

    /// The value of a key that is a string.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<Value<'a>> {
        match self {
            Self::Values(values) => values.get(&Key::String(Text::Borrowed(key))).cloned(),
            Self::Json(values, numbers) => values.get(key).map(|value| Value::from_json(value, *numbers)),
            Self::Defaulting(inner) => Some(inner.0.get_str(key).unwrap_or_else(|| inner.1.clone())),
        }
    }

    /// Whether it has a key of its own.
    #[must_use]
    pub fn contains(&self, key: &Key<'_>) -> bool {
        match self {
            Self::Defaulting(inner) => inner.0.contains(key),
            other => other.get(key).is_some(),
        }
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> Vec<Key<'a>> {
        match self {
            Self::Values(values) => values.keys().cloned().collect(),
            Self::Json(values, _) => values.keys().map(|key| Key::String(Text::Borrowed(key))).collect(),
            Self::Defaulting(inner) => inner.0.keys(),
        }
    }
}

/// A key of a map. Numbers are the same across their types.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// `true`, `false`
    Bool(bool),
    /// 64 bits, signed.
    Int(i64),
    /// 64 bits, unsigned.
    Uint(u64),
    /// Unicode.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// The key that a value is.
    #[must_use]
    pub fn of(value: &Value<'a>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::Uint(value) => Some(Self::Uint(*value)),
            Value::String(text) => Some(Self::String(text.clone())),
            _ => None,
        }
    }

    /// The key that is looked for with a value: a whole number also as a double.
    #[must_use]
    pub fn to_find(value: &Value<'a>) -> Option<Self> {
        match value {
            Value::Double(number) => [Value::Int(*number as i64), Value::Uint(*number as u64)]
                .iter()
                .find(|whole| number_order(whole, value) == Some(Ordering::Equal))
                .and_then(Self::of),
            other => Self::of(other),
        }
    }

    /// As a value.
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }

    fn number(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            _ => None,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |key: &Self| match key {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Uint(_) => 1,
            Self::String(_) => 2,
        };
        match (self, other) {
            (Self::Bool(one), Self::Bool(two)) => one.cmp(two),
            (Self::String(one), Self::String(two)) => one.cmp(two),
            _ => rank(self).cmp(&rank(other)).then_with(|| self.number().cmp(&other.number())),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::String(text) => f.write_str(text),
        }
    }
}
