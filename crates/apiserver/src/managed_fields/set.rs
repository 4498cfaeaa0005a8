//! Sets of field paths, as `fieldsV1` writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths as a tree. Elements are in their written form: `f:spec`, `k:{"name":"a"}`,
/// `v:"finalizer"`, `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the path that leads here is itself in the set.
    pub owned: bool,
    /// What is below.
    pub children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// The set of the path that leads here only.
    #[must_use]
    pub fn leaf() -> Self {
        Self { owned: true, children: BTreeMap::new() }
    }

    /// Whether no path is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.owned && self.children.is_empty()
    }

    /// Puts a subtree below, unless it is empty.
    pub fn insert(&mut self, element: String, below: Self) {
        if !below.is_empty() {
            self.children.insert(element, below);
        }
    }

    /// Reads `fieldsV1`. What is no object counts as an empty one, as upstream's reader is lenient too.
    #[must_use]
    pub fn from_json(json: Value) -> Self {
        let mut root = Self::below(json);
        root.owned = false;
        root
    }

    fn below(json: Value) -> Self {
        let Value::Object(mut fields) = json else { return Self::leaf() };
        let owned = fields.remove(".").is_some() || fields.is_empty();
        Self { owned, children: fields.into_iter().map(|(element, below)| (element, Self::below(below))).collect() }
    }

    /// Writes `fieldsV1`.
    #[must_use]
    pub fn into_json(self) -> Value {
        let mut fields = Map::new();
        if self.owned && !self.children.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        fields.extend(self.children.into_iter().map(|(element, below)| (element, below.into_json())));
        Value::Object(fields)
    }

    /// Adds the other's paths.
    pub fn union(&mut self, other: &Self) {
        self.owned |= other.owned;
        for (element, below) in &other.children {
            match self.children.get_mut(element) {
                Some(mine) => mine.union(below),
                None => {
                    self.children.insert(element.clone(), below.clone());
                }
            }
        }
    }

    /// Takes the other's paths out; what is below them stays.
    pub fn subtract(&mut self, other: &Self) {
        self.owned &= !other.owned;
        for (element, below) in &other.children {
            if let Some(mine) = self.children.get_mut(element) {
                mine.subtract(below);
                if mine.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// The paths in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { owned: self.owned && other.owned, children: BTreeMap::new() };
        for (element, below) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                both.insert(element.clone(), below.intersection(theirs));
            }
        }
        both
    }

    /// The same set, in which every field above a path is a member too. List elements are not: they are
    /// members only when somebody named them.
    #[must_use]
    pub fn with_parents(&self) -> Self {
        let below = |(element, below): (&String, &Self)| {
            let mut below = below.with_parents();
            below.owned |= element.starts_with("f:") && !below.children.is_empty();
            (element.clone(), below)
        };
        Self { owned: self.owned, children: self.children.iter().map(below).collect() }
    }

    /// Every path in the set, as error messages write it: `.spec.containers[name="a"].image`.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.owned {
            paths.push(prefix.to_owned());
        }
        for (element, below) in &self.children {
            below.collect_paths(&format!("{prefix}{}", readable(element)), paths);
        }
    }
}

/// A path element as error messages write it.
fn readable(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        Some((_, index)) => format!("[{index}]"),
        None => element.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::FieldSet;

    #[test]
    fn json_both_ways_and_paths() {
        let json = json!({
            "f:metadata": {"f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}, "f:replicas": {}},
        });
        let set = FieldSet::from_json(json.clone());
        assert_eq!(
            set.paths(),
            [
                ".metadata.finalizers[=\"x\"]",
                ".spec.containers[name=\"a\"]",
                ".spec.containers[name=\"a\"].image",
                ".spec.replicas"
            ]
        );
        assert_eq!(set.into_json(), json);
        assert!(FieldSet::from_json(json!({})).is_empty());
    }

    #[test]
    fn subtraction_keeps_what_is_below() {
        let mut set = FieldSet::from_json(json!({"f:a": {".": {}, "f:b": {}}}));
        set.subtract(&FieldSet::from_json(json!({"f:a": {}})));
        assert_eq!(set.into_json(), json!({"f:a": {"f:b": {}}}));
    }
}
