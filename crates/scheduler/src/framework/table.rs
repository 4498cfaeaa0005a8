//! The one ordered table of plugins.

use std::sync::Arc;

use api_types::field::FieldError;

use super::Plugin;
use crate::{config::arguments::Arguments, plugins};

/// How a plugin is made of its arguments.
type Build = fn(&Arguments<'_>) -> Result<Arc<dyn Plugin>, Vec<FieldError>>;

/// A line of the table.
#[derive(Debug)]
pub struct Entry {
    /// Upstream's name.
    pub name: &'static str,
    /// How much its score counts by default: upstream's weights; 0 when it does not rate nodes.
    pub weight: i64,
    /// Makes it.
    pub build: Build,
}

/// A plugin without arguments.
macro_rules! plain {
    ($plugin:ident, $weight:expr) => {
        Entry {
            name: stringify!($plugin),
            weight: $weight,
            // What is given to a plugin that wants nothing is not looked at, as upstream.
            build: |_| Ok(Arc::new(plugins::$plugin)),
        }
    };
}

/// A plugin with arguments.
macro_rules! configured {
    ($plugin:ident, $weight:expr) => {
        Entry {
            name: stringify!($plugin),
            weight: $weight,
            build: |arguments| Ok(Arc::new(plugins::$plugin::new(arguments.decode()?, arguments.path())?)),
        }
    };
}

/// Every plugin, in upstream's order. Filters run in this order and stop at the first rejection, so cheap ones come
/// first.
pub const PLUGINS: &[Entry] = &[
    plain!(NodeUnschedulable, 0),
    plain!(NodeName, 0),
    plain!(NodeDeclaredFeatures, 0),
    plain!(TaintToleration, 3),
    configured!(NodeAffinity, 2),
    plain!(NodePorts, 0),
    configured!(NodeResourcesFit, 1),
    plain!(VolumeRestrictions, 0),
    plain!(NodeVolumeLimits, 0),
    configured!(VolumeBinding, 0),
    plain!(VolumeZone, 0),
    configured!(PodTopologySpread, 2),
    configured!(InterPodAffinity, 2),
    Entry { name: "DynamicResources", weight: 0, build: |_| Ok(Arc::new(plugins::DynamicResources::default())) },
    configured!(DefaultPreemption, 0),
    configured!(NodeResourcesBalancedAllocation, 1),
    plain!(ImageLocality, 1),
];

#[cfg(test)]
mod tests {
    use api_types::field::Path;

    use super::*;

    #[test]
    fn every_plugin_is_listed_once_under_its_own_name() {
        let mut names = std::collections::BTreeSet::new();
        for entry in PLUGINS {
            let plugin = (entry.build)(&Arguments::new(entry.name, None, Path::new("args"))).unwrap();
            assert_eq!(plugin.name(), entry.name);
            assert!(names.insert(entry.name), "{} is listed twice", entry.name);
        }
    }
}
