//! Sets of field paths, as `fieldsV1` writes them.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Value};

use super::children::Children;

/// A set of paths as a tree. Elements are in their written form: `f:spec`, `k:{"name":"a"}`,
/// `v:"finalizer"`, `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the path that leads here is itself in the set.
    pub owned: bool,
    /// What is below.
    pub children: Children,
}

impl FieldSet {
    /// The set of the path that leads here only.
    #[must_use]
    pub fn leaf() -> Self {
        Self { owned: true, children: Children::default() }
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

    /// The path element of a field.
    #[must_use]
    pub fn field(name: &str) -> String {
        ["f:", name].concat()
    }

    /// Adds the other's paths.
    pub fn union(&mut self, other: &Self) {
        self.owned |= other.owned;
        for (element, below) in other.children.iter() {
            match self.children.get_mut(element) {
                Some(mine) => mine.union(below),
                None => self.children.insert(element.to_owned(), below.clone()),
            }
        }
    }

    /// Takes the other's paths out; what is below them stays.
    pub fn subtract(&mut self, other: &Self) {
        self.owned &= !other.owned;
        if other.children.is_empty() {
            return;
        }
        self.children.retain(|element, mine| {
            if let Some(below) = other.children.get(element) {
                mine.subtract(below);
            }
            !mine.is_empty()
        });
    }

    /// The paths in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { owned: self.owned && other.owned, children: Children::default() };
        for (element, below) in self.children.iter() {
            if let Some(theirs) = other.children.get(element) {
                both.insert(element.to_owned(), below.intersection(theirs));
            }
        }
        both
    }

    /// The same set, in which every field above a path is a member too. List elements are not: they are
    /// members only when somebody named them.
    #[must_use]
    pub fn with_parents(&self) -> Self {
        let below = |(element, below): (&str, &Self)| {
            let mut below = below.with_parents();
            below.owned |= element.starts_with("f:") && !below.children.is_empty();
            (element.to_owned(), below)
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
        for (element, below) in self.children.iter() {
            below.collect_paths(&format!("{prefix}{}", readable(element)), paths);
        }
    }
}

/// Writes `fieldsV1`: what is a member and has members below it has an element `.` for itself.
impl Serialize for FieldSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let itself = self.owned && !self.children.is_empty();
        let mut map = serializer.serialize_map(Some(self.children.len() + usize::from(itself)))?;
        if itself {
            map.serialize_entry(".", &Self::default())?;
        }
        for (element, below) in self.children.iter() {
            map.serialize_entry(element, below)?;
        }
        map.end()
    }
}

/// Reads `fieldsV1`. What is no object counts as an empty one, as upstream's reader is lenient too.
impl<'de> Deserialize<'de> for FieldSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = FieldSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldSet, A::Error> {
        let mut set = FieldSet::default();
        while let Some(element) = map.next_key::<String>()? {
            if element == "." {
                map.next_value::<IgnoredAny>()?;
                set.owned = true;
            } else {
                set.children.insert(element, map.next_value()?);
            }
        }
        set.owned |= set.children.is_empty();
        Ok(set)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FieldSet, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(FieldSet::leaf())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<FieldSet, E> {
        Ok(FieldSet::leaf())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<FieldSet, E> {
        Ok(FieldSet::leaf())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<FieldSet, E> {
        Ok(FieldSet::leaf())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<FieldSet, E> {
        Ok(FieldSet::leaf())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<FieldSet, E> {
        Ok(FieldSet::leaf())
    }

    fn visit_unit<E: Error>(self) -> Result<FieldSet, E> {
        Ok(FieldSet::leaf())
    }
}

/// A path element as error messages write it.
pub(super) fn readable(element: &str) -> String {
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
    use serde_json::{Value, json};

    use super::FieldSet;

    fn read(json: Value) -> FieldSet {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn json_both_ways_and_paths() {
        let json = json!({
            "f:metadata": {"f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}, "f:replicas": {}},
        });
        let set = read(json.clone());
        assert_eq!(
            set.paths(),
            [
                ".metadata.finalizers[=\"x\"]",
                ".spec.containers[name=\"a\"]",
                ".spec.containers[name=\"a\"].image",
                ".spec.replicas"
            ]
        );
        assert_eq!(serde_json::to_value(&set).unwrap(), json);
        assert_eq!(read(json!({"f:a": 1, "f:b": []})), read(json!({"f:a": {}, "f:b": {}})));
    }

    #[test]
    fn subtraction_keeps_what_is_below() {
        let mut set = read(json!({"f:a": {".": {}, "f:b": {}}}));
        set.subtract(&read(json!({"f:a": {}})));
        assert_eq!(serde_json::to_value(&set).unwrap(), json!({"f:a": {"f:b": {}}}));
    }
}
