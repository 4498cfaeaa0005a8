//! What expressions work on and result in.

mod collection;
mod compare;
mod double;
mod error;
mod json;
mod text;
mod time;

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

pub use collection::{Key, List, Map};
pub use compare::compare;
pub(crate) use compare::{equal, number_order};
pub(crate) use double::shortest;
pub use error::Error;
pub use json::Numbers;
pub use text::Text;
pub use time::{Duration, Timestamp};
pub(crate) use time::{parse_duration, parse_timestamp, timestamp_text};

use crate::{Meter, types::Type};

/// A value. It may borrow from the JSON that it came from.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// 64 bits, signed.
    Int(i64),
    /// 64 bits, unsigned.
    Uint(u64),
    /// IEEE 754, 64 bits.
    Double(f64),
    /// Unicode.
    String(Text<'a>),
    /// Octets.
    Bytes(Arc<[u8]>),
    /// Elements.
    List(List<'a>),
    /// Keys, each with a value.
    Map(Map<'a>),
    /// A moment, from year 1 to 9999.
    Timestamp(Timestamp),
    /// A time span.
    Duration(Duration),
    /// A type, as a value.
    Type(Type),
    /// Something that may be absent.
    Optional(Option<Arc<Value<'a>>>),
    /// With a type and fields.
    Object(Arc<Object<'a>>),
    /// What a library brings.
    Opaque(Arc<dyn Opaque>),
}

/// A value with a type and fields.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// The name of its type.
    pub name: Arc<str>,
    /// Those that were set.
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
}

/// A value of a library.
pub trait Opaque: fmt::Debug + Send + Sync {
    /// Its type.
    fn value_type(&self) -> Type;

    /// Whether it is the same as another one of its type.
    fn equals(&self, other: &dyn Opaque) -> bool;

    /// For libraries, who look for their own.
    fn as_any(&self) -> &dyn Any;

    /// How large it is in units of cost.
    fn size(&self) -> u64 {
        1
    }
}

impl<'a> Value<'a> {
    /// A string of one's own.
    #[must_use]
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A list of one's own.
    #[must_use]
    pub fn list(values: Vec<Self>) -> Self {
        Self::List(List::Values(Arc::new(values)))
    }

    /// What a library brings.
    #[must_use]
    pub fn opaque(value: impl Opaque + 'static) -> Self {
        Self::Opaque(Arc::new(value))
    }

    /// What is there, as something that might not have been.
    #[must_use]
    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// What is inside a library's value, if it is of this sort.
    #[must_use]
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        match self {
            Self::Opaque(value) => value.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its type, as far as the value itself tells: elements of lists are of any.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::Type(_) => Type::Type(None),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Object(object) => Type::Object(object.name.clone()),
            Self::Opaque(value) => value.value_type(),
        }
    }

    /// The size that costs are computed from: characters, octets, elements, or 1.
    #[must_use]
    pub fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Optional(Some(value)) => return value.size(),
            Self::Opaque(value) => return value.size(),
            _ => 1,
        };
        size as u64
    }

    /// The value of a field or a key, if it is there.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Self>, Error> {
        match self {
            Self::Map(map) => Ok(map.get_str(name)),
            Self::Object(object) => Ok(object.fields.get(name).cloned()),
            Self::Optional(None) => Ok(Some(Self::Optional(None))),
            Self::Optional(Some(value)) => Ok(Some(Self::Optional(value.field(name)?.map(Arc::new)))),
            _ => Err(Error::no_overload()),
        }
    }

    /// Whether it is what its type is without a value: 0, empty, `false`, `null`.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Int(0) | Self::Uint(0) | Self::Optional(None) => true,
            Self::Double(number) => *number == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Object(object) => object.fields.is_empty(),
            Self::Duration(duration) => duration.0 == 0,
            Self::Timestamp(time) => Timestamp::from_seconds(0).as_ref() == Ok(time),
            _ => false,
        }
    }

    /// Whether two values are the same, numbers also across their types.
    ///
    /// # Errors
    /// When it takes more work than is left.
    pub fn equals(&self, other: &Self, meter: &Meter) -> Result<bool, Error> {
        equal(self, other, meter)
    }
}
