//! Values of JSON and JSON of values.

use serde_json::Value as Json;

use super::{Error, List, Map, Text, Value, parse_duration, timestamp_text};
use crate::Meter;

/// What JSON's numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// Integers where they are written as such, as in Kubernetes' objects.
    #[default]
    Natural,
    /// Always doubles, as Go decodes JSON of which it knows nothing.
    Doubles,
}

impl<'a> Value<'a> {
    /// Sees JSON as a value. Nothing is copied.
    #[must_use]
    pub fn from_json(json: &'a Json, numbers: Numbers) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) if numbers == Numbers::Natural => Self::Int(whole),
                _ => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(values) => Self::List(List::Json(values, numbers)),
            Json::Object(values) => Self::Map(Map::Json(values, numbers)),
        }
    }

    /// The same for an object of JSON.
    #[must_use]
    pub fn from_json_map(json: &'a serde_json::Map<String, Json>, numbers: Numbers) -> Self {
        Self::Map(Map::Json(json, numbers))
    }

    /// Octets that are written in Base64; `None` where they are not.
    #[must_use]
    pub fn bytes_of_base64(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let octets = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        Some(Self::Bytes(octets.into()))
    }

    /// The JSON that the value becomes, as cel-go converts it: durations in seconds, octets in Base64.
    ///
    /// # Errors
    /// For what has none, and when it is more than the meter allows.
    pub fn to_json(&self, meter: &Meter) -> Result<Json, Error> {
        meter.work(1)?;
        Ok(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Uint(value) => Json::from(*value),
            Self::Double(value) => serde_json::Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => {
                use base64::Engine as _;
                Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Self::List(list) => Json::Array(list.iter().map(|value| value.to_json(meter)).collect::<Result<_, _>>()?),
            Self::Map(map) => {
                let pair = |key: super::Key<'a>| {
                    let value = map.get(&key).unwrap_or(Self::Null);
                    Ok((key.to_string(), value.to_json(meter)?))
                };
                Json::Object(map.keys().into_iter().map(pair).collect::<Result<_, Error>>()?)
            }
            Self::Object(object) => {
                let pair = |(name, value): (&std::sync::Arc<str>, &Self)| Ok((name.to_string(), value.to_json(meter)?));
                Json::Object(object.fields.iter().map(pair).collect::<Result<_, Error>>()?)
            }
            Self::Timestamp(time) => Json::String(timestamp_text(*time)),
            Self::Duration(duration) => Json::String(duration.text()),
            Self::Optional(Some(value)) => value.to_json(meter)?,
            Self::Type(_) | Self::Opaque(_) => {
                return Err(Error::new(format!("type conversion error from '{}' to JSON", self.value_type().name())));
            }
        })
    }
}

impl super::Duration {
    /// In seconds: `1.5s`.
    #[must_use]
    pub fn text(self) -> String {
        let (sign, nanos) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let fraction = format!("{:09}", nanos % 1_000_000_000);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{fraction}s", nanos / 1_000_000_000)
    }

    /// As Go writes durations in text that is read back.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse_duration(text)
    }
}
