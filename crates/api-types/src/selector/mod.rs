//! Selectors: which objects a list, a watch or a controller means.

pub mod field;
pub mod label;

use std::collections::BTreeMap;

/// A set of labels that a selector can be held against.
pub trait Labels {
    /// The value of the label `key`, if it is there.
    fn value(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for Option<BTreeMap<String, String>> {
    fn value(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.value(key))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}
