//! What containers and pods ask for.

use api_types::quantity::{Quantity, Wire};
use serde::{Deserialize, Deserializer};

/// Requests of the resources that a metrics API tells of, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Processors.
    pub cpu: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
}

impl Requests {
    /// The request of a resource, if there is one and it is known.
    #[must_use]
    pub fn of(&self, resource: &str) -> Option<i64> {
        match resource {
            "cpu" => self.cpu,
            "memory" => self.memory,
            _ => None,
        }
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    cpu: Option<Wire>,
    memory: Option<Wire>,
}

/// Reads the requests of `resources`.
pub(super) fn only_requests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Requests, D::Error> {
    let named = Option::<Resources>::deserialize(deserializer)?.unwrap_or_default().requests.unwrap_or_default();
    let milli = |wire: Option<Wire>| Quantity::try_from(&wire?).ok().map(|quantity| quantity.milli_value());
    Ok(Requests { cpu: milli(named.cpu), memory: milli(named.memory) })
}
