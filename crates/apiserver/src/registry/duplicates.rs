//! Finds fields that a JSON text has twice, which decoders silently take the last of.

use std::borrow::Cow;

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

struct Search<'a> {
    cursor: Cursor<'a>,
    /// The names so far in the objects in which the search is, those of the innermost last.
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
        let mut first = true;
        while let Some(name) = self.cursor.member(&mut first)? {
            let name = name.to_str();
            let here = Place::Field(place, &name);
            if self.names[outer..].contains(&name) {
                let mut path = String::new();
                here.write(&mut path);
                self.found.push(path);
            }
            self.value(&here, depth)?;
            self.names.push(name);
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
}
