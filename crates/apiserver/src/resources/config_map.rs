//! Config maps.

use api_types::core::ConfigMap;

use crate::registry::TypedStrategy;

pub(super) struct ConfigMaps;

impl TypedStrategy for ConfigMaps {
    type Kind = ConfigMap;
}
