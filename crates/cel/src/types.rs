//! Types of expressions, and their text.

use std::{fmt, sync::Arc};

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Known when it is evaluated.
    Dyn,
    /// Like [`Type::Dyn`], and called `any`: what comes from JSON without a schema.
    Any,
    /// Of an expression in which a mistake was found; goes with everything, so that one mistake is told once.
    Error,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// 64 bits, signed.
    Int,
    /// 64 bits, unsigned.
    Uint,
    /// IEEE 754, 64 bits.
    Double,
    /// Unicode.
    String,
    /// Octets.
    Bytes,
    /// A moment.
    Timestamp,
    /// A time span.
    Duration,
    /// Of elements of one type.
    List(Arc<Type>),
    /// Of keys and values.
    Map(Arc<Type>, Arc<Type>),
    /// Of a type, as a value; `None` is `type` itself.
    Type(Option<Arc<Type>>),
    /// With fields, which an [`Env`](crate::Env) knows by this name.
    Object(Arc<str>),
    /// Of a library, with its parameters: `optional_type(int)`.
    Opaque(Arc<str>, Vec<Type>),
    /// Stands for any type in the declaration of a function.
    Param(Arc<str>),
    /// Stands for a type that is not yet known, while an expression is checked.
    Var(u32),
}

/// The name of the type of what may be absent.
pub(crate) const OPTIONAL: &str = "optional_type";

impl Type {
    /// A list of these.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// A map from one to the other.
    #[must_use]
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// An object type by its name.
    #[must_use]
    pub fn object(name: &str) -> Self {
        Self::Object(name.into())
    }

    /// What may be absent.
    #[must_use]
    pub fn optional(of: Self) -> Self {
        Self::Opaque(OPTIONAL.into(), vec![of])
    }

    /// What is inside, if this is an optional type.
    pub(crate) fn inside_optional(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, of) if &**name == OPTIONAL => of.first(),
            _ => None,
        }
    }

    /// Whether everything goes with it.
    #[must_use]
    pub fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any | Self::Error)
    }

    /// The type that a declaration writes: `map(string, list(A))`. One capital letter is a parameter; names with a dot
    /// that are not well known are types of libraries.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (name, parameters) = match text.split_once('(') {
            Some((name, rest)) => (name, arguments(rest.strip_suffix(')').unwrap_or(rest))),
            None => (text, Vec::new()),
        };
        let mut of = parameters.iter().map(|text| Self::parse(text));
        let mut next = || of.next().unwrap_or(Self::Dyn);
        match name {
            "dyn" => Self::Dyn,
            "any" => Self::Any,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "list" => Self::list(next()),
            "map" => Self::map(next(), next()),
            "type" if parameters.is_empty() => Self::Type(None),
            "type" => Self::Type(Some(Arc::new(next()))),
            "optional" => Self::optional(next()),
            name if name.len() == 1 => Self::Param(name.into()),
            name => Self::Opaque(name.into(), of.collect()),
        }
    }

    /// The name under which programs see the type: `google.protobuf.Timestamp`, `list`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Dyn | Self::Error => "dyn",
            Self::Any => "google.protobuf.Any",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Type(_) => "type",
            Self::Object(name) | Self::Opaque(name, _) | Self::Param(name) => name,
            Self::Var(_) => "var",
        }
    }

    /// As upstream writes a type outside of a compiler's errors: `google.protobuf.Timestamp`, `list(int)`.
    #[must_use]
    pub fn declared(&self) -> String {
        let of: Vec<String> = self.parameters().map(Self::declared).collect();
        if of.is_empty() { self.name().to_owned() } else { format!("{}({})", self.name(), of.join(", ")) }
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Self> {
        let (one, two, more): (Option<&Self>, Option<&Self>, &[Self]) = match self {
            Self::List(of) | Self::Type(Some(of)) => (Some(of), None, &[]),
            Self::Map(key, value) => (Some(key), Some(value), &[]),
            Self::Opaque(_, of) => (None, None, of),
            _ => (None, None, &[]),
        };
        one.into_iter().chain(two).chain(more)
    }

    /// The same with other parameters, which are as many.
    pub(crate) fn with(&self, mut change: impl FnMut(&Self) -> Self) -> Self {
        match self {
            Self::List(of) => Self::list(change(of)),
            Self::Map(key, value) => Self::map(change(key), change(value)),
            Self::Type(Some(of)) => Self::Type(Some(Arc::new(change(of)))),
            Self::Opaque(name, of) => Self::Opaque(name.clone(), of.iter().map(change).collect()),
            other => other.clone(),
        }
    }
}

/// As a compiler's errors write types.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => return f.write_str("any"),
            Self::Null => return f.write_str("null"),
            Self::Timestamp => return f.write_str("timestamp"),
            Self::Duration => return f.write_str("duration"),
            Self::Error => return f.write_str("!error!"),
            Self::Var(number) => return write!(f, "_var{number}"),
            _ => f.write_str(self.name())?,
        }
        for (index, parameter) in self.parameters().enumerate() {
            write!(f, "{}{parameter}", if index == 0 { "(" } else { ", " })?;
        }
        if self.parameters().next().is_some() { f.write_str(")") } else { Ok(()) }
    }
}

/// What is between commas that are in no parentheses.
pub(crate) fn arguments(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let separator = |character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    };
    text.split(separator).map(str::trim).filter(|argument| !argument.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_written() {
        for text in ["map(string, list(int))", "A", "type(int)", "optional_type(dyn)", "net.IP", "timestamp", "null"] {
            assert_eq!(Type::parse(text).to_string(), text);
        }
        assert_eq!(Type::parse("optional(timestamp)").declared(), "optional_type(google.protobuf.Timestamp)");
    }
}
