//! Finds fields that a JSON text has twice, which decoders silently take the last of.

use std::{borrow::Cow, collections::HashSet};

use crate::json::{Cursor, MAX_DEPTH, Malformed};

/// The paths of fields that are there twice, as `spec.containers[0].image`. Of malformed JSON, which the decoder
/// reports, or JSON that is nested deeper than any decoder follows, those that were found until there.
#[must_use]
pub fn find(json: &[u8]) -> Vec<String> {
    let mut search = Search { cursor: Cursor::new(json), names: Vec::new(), found: Vec::new() };
    // What was found before the end of what can be read is what there is to tell.
    let _ = search.value(&Place::Root, MAX_DEPTH);
    search.found
}

/// Where the search is. Paths are written only for what is found.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Self::Root => {}
            Self::Field(above, name) => {
                above.write(out);
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            Self::Item(above, index) => {
                above.write(out);
                out.push_str(&format!("[{index}]"));
            }
        }
    }
}

/// So many names are looked through one by one, which is quicker than to remember them.
const FEW: usize = 32;

struct Search<'a> {
    cursor: Cursor<'a>,
    /// The distinct names so far in the objects in which the search is, those of the innermost last.
    names: Vec<Cow<'a, str>>,
    found: Vec<String>,
}

impl Search<'_> {
    fn value(&mut self, place: &Place<'_>, depth: usize) -> Result<(), Malformed> {
        if depth > 0 && self.cursor.at_object() {
            self.object(place, depth - 1)
        } else if depth > 0 && self.cursor.at_array() {
            self.array(place, depth - 1)
        } else {
            self.cursor.skip_value()
        }
    }

    fn object(&mut self, place: &Place<'_>, depth: usize) -> Result<(), Malformed> {
        self.cursor.open_object()?;
        let outer = self.names.len();
        // All of `names` once there are too many to look through them for each: a client decides how many there are.
        let mut many = HashSet::new();
        let mut first = true;
        while let Some(name) = self.cursor.member(&mut first)? {
            let name = name.to_str();
            let here = Place::Field(place, &name);
            let names = &self.names[outer..];
            let known = if names.len() < FEW {
                names.contains(&name)
            } else {
                many.extend(names[many.len()..].iter().cloned());
                many.contains(&name)
            };
            if known {
                let mut path = String::new();
                here.write(&mut path);
                self.found.push(path);
            }
            self.value(&here, depth)?;
            if !known {
                self.names.push(name);
            }
        }
        self.names.truncate(outer);
        Ok(())
    }

    fn array(&mut self, place: &Place<'_>, depth: usize) -> Result<(), Malformed> {
        self.cursor.open_array()?;
        let mut first = true;
        let mut index = 0;
        while self.cursor.item(&mut first)? {
            self.value(&Place::Item(place, index), depth)?;
            index += 1;
        }
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

    #[test]
    fn an_object_may_have_many_fields() {
        let mut fields: Vec<String> = (0..200_000).map(|n| format!(r#""f{n}":{n}"#)).collect();
        fields.extend([r#""f7":1"#.to_owned(), r#""g":{"a":1,"a":2}"#.to_owned(), r#""f199999":1"#.to_owned()]);
        assert_eq!(find(format!("{{{}}}", fields.join(",")).as_bytes()), ["f7", "g.a", "f199999"]);
    }
}
