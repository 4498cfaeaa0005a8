//! Finds fields that a JSON text has twice, which decoders silently take the last of.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

/// The paths of fields that are there twice, as `spec.containers[0].image`. Empty for malformed JSON, too, which the
/// decoder reports.
#[must_use]
pub fn find(json: &[u8]) -> Vec<String> {
    let mut search = Search::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match (Node { search: &mut search }).deserialize(&mut deserializer) {
        Ok(()) => search.found,
        Err(_) => Vec::new(),
    }
}

#[derive(Default)]
struct Search {
    /// The path to where the search is.
    path: Vec<Step>,
    found: Vec<String>,
}

enum Step {
    Field(String),
    Index(usize),
}

impl Search {
    fn here(&self, field: &str) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if out.is_empty() => out.push_str(name),
                Step::Field(name) => out.extend([".", name]),
                Step::Index(index) => out.push_str(&format!("[{index}]")),
            }
        }
        if !out.is_empty() {
            out.push('.');
        }
        out + field
    }
}

struct Node<'a> {
    search: &'a mut Search,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Field names are borrowed from the text unless they have escapes in them.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<Cow<'de, str>> = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if seen.contains(&name) {
                let path = self.search.here(&name);
                self.search.found.push(path);
            }
            self.search.path.push(Step::Field(name.clone().into_owned()));
            map.next_value_seed(Node { search: self.search })?;
            self.search.path.pop();
            seen.push(name);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.search.path.push(Step::Index(0));
        let mut index = 0;
        while seq.next_element_seed(Node { search: self.search })?.is_some() {
            index += 1;
            if let Some(last) = self.search.path.last_mut() {
                *last = Step::Index(index);
            }
        }
        self.search.path.pop();
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn duplicates_are_found_where_they_are() {
        let cases: [(&str, &[&str]); 4] = [
            (r#"{"a":1,"b":{"a":2}}"#, &[]),
            (r#"{"a":1,"a":2}"#, &["a"]),
            (r#"{"spec":{"c":[{"x":1},{"x":1,"y":[],"x":null}]}}"#, &["spec.c[1].x"]),
            (r#"{"a":1,"a""#, &[]),
        ];
        for (json, expected) in cases {
            assert_eq!(find(json.as_bytes()), expected, "{json}");
        }
    }
}
