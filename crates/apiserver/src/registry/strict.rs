//! What a strict reader of a JSON text objects to and a decoder passes over: fields that the kind does not have, and fields
//! that are there twice, of which decoders silently take the last. The text is read once, beside the kind's schema.

use std::{borrow::Cow, collections::HashSet};

use api_types::schema::{Field, Label, Type};

use crate::json::{Cursor, MAX_DEPTH, Malformed};

/// The paths of fields at fault, as `spec.containers[0].image`, in the order of the text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Fields that the schema does not have.
    pub unknown: Vec<String>,
    /// Fields that are there again.
    pub duplicate: Vec<String>,
}

impl Faults {
    fn room(&self) -> bool {
        self.unknown.len() + self.duplicate.len() < MANY
    }
}

/// Looks through an object. Of malformed JSON, which the decoder reports, or JSON that is nested deeper than any decoder
/// follows, what was found until there is told. What is inside of an unknown field is not looked at; of a kind that came
/// at run time only the metadata are known.
#[must_use]
pub fn find(json: &[u8], schema: &Type) -> Faults {
    let mut search = Search { cursor: Cursor::new(json), names: Vec::new(), found: Faults::default() };
    let upstreams = !schema.package.is_empty();
    let root = if upstreams { Shape::Object(schema) } else { Shape::OfRunTime(schema) };
    // What was found before the end of what can be read is what there is to tell.
    let _ = search.value(&Place::Root, root, MAX_DEPTH);
    search.found
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Shape<'s> {
    /// Nothing: it may be anything.
    Any,
    /// An object, or a nameless map or list inside of another.
    Object(&'s Type),
    /// As a field says.
    Field(&'s Field),
    /// An object of a kind that came at run time.
    OfRunTime(&'s Type),
}

/// What is known of an object's member.
enum Member<'s> {
    Known(Shape<'s>),
    Unknown,
}

impl<'s> Shape<'s> {
    /// One value of a field: the field's own, an element, or the value of a map.
    fn one(field: &'s Field) -> Self {
        match field.of() {
            Some(of) if of.scalar.is_none() => Self::Object(of),
            _ => Self::Any,
        }
    }

    fn member(self, name: &str) -> Member<'s> {
        match self {
            Self::Any => Member::Known(Self::Any),
            Self::Field(field) if field.label == Label::One => Self::one(field).member(name),
            Self::Field(field) => Member::Known(Self::one(field)),
            Self::OfRunTime(of) => {
                let field = of.member(name).filter(|_| name == "metadata");
                Member::Known(field.map_or(Self::Any, Self::Field))
            }
            Self::Object(of) => of.member(name).map_or(Member::Unknown, |field| Member::Known(Self::Field(field))),
        }
    }

    fn element(self) -> Self {
        match self {
            Self::Any | Self::OfRunTime(_) => Self::Any,
            Self::Field(field) if field.label == Label::List => Self::one(field),
            Self::Field(field) => field.of().and_then(Type::element).map_or(Self::Any, Self::Field),
            Self::Object(of) => of.element().map_or(Self::Any, Self::Field),
        }
    }
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

    fn path(&self) -> String {
        let mut path = String::new();
        self.write(&mut path);
        path
    }
}

/// So many names are looked through one by one, which is quicker than to remember them.
const FEW: usize = 32;

/// So many faults are told; upstream's number.
const MANY: usize = 100;

struct Search<'a> {
    cursor: Cursor<'a>,
    /// The distinct names so far in the objects in which the search is, those of the innermost last.
    names: Vec<Cow<'a, str>>,
    found: Faults,
}

impl Search<'_> {
    fn value(&mut self, place: &Place<'_>, shape: Shape<'_>, depth: usize) -> Result<(), Malformed> {
        if depth > 0 && self.cursor.at_object() {
            self.object(place, shape, depth - 1)
        } else if depth > 0 && self.cursor.at_array() {
            self.array(place, shape.element(), depth - 1)
        } else {
            self.cursor.skip_value()
        }
    }

    fn object(&mut self, place: &Place<'_>, shape: Shape<'_>, depth: usize) -> Result<(), Malformed> {
        self.cursor.open_object()?;
        let outer = self.names.len();
        // All of `names` once there are too many to look through them for each: a client decides how many there are.
        let mut many = HashSet::new();
        let mut first = true;
        while let Some(name) = self.cursor.member(&mut first)? {
            let name = name.to_str();
            let here = Place::Field(place, &name);
            let names = &self.names[outer..];
            let again = if names.len() < FEW {
                names.contains(&name)
            } else {
                many.extend(names[many.len()..].iter().cloned());
                many.contains(&name)
            };
            if again && self.found.room() {
                self.found.duplicate.push(here.path());
            }
            match shape.member(&name) {
                Member::Known(shape) => self.value(&here, shape, depth)?,
                Member::Unknown => {
                    if self.found.room() {
                        self.found.unknown.push(here.path());
                    }
                    self.cursor.skip_value()?;
                }
            }
            if !again {
                self.names.push(name);
            }
        }
        self.names.truncate(outer);
        Ok(())
    }

    fn array(&mut self, place: &Place<'_>, shape: Shape<'_>, depth: usize) -> Result<(), Malformed> {
        self.cursor.open_array()?;
        let mut first = true;
        let mut index = 0;
        while self.cursor.item(&mut first)? {
            self.value(&Place::Item(place, index), shape, depth)?;
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api_types::{Resource, rows, schema::Schema};
    use serde_json::json;

    use super::*;

    fn faults(row: &Resource, json: &str) -> (Vec<String>, Vec<String>) {
        let found = find(json.as_bytes(), row.schema());
        (found.unknown, found.duplicate)
    }

    #[test]
    fn duplicates_are_found_where_they_are() {
        let cases: [(&str, &[&str]); 5] = [
            (r#"{"kind":"Pod","metadata":{"name":"a","labels":{"name":"b"}}}"#, &[]),
            (r#"{"kind":"Pod","kind":"Pod"}"#, &["kind"]),
            (r#"{"spec":{"containers":[{"name":1},{"name":1,"env":[],"name":null}]}}"#, &["spec.containers[1].name"]),
            (r#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#, &["metadata.labels.a"]),
            (r#"{"kind":1,"kind""#, &[]),
        ];
        for (json, expected) in cases {
            assert_eq!(
                faults(&rows::PODS, json),
                (Vec::new(), expected.iter().map(ToString::to_string).collect()),
                "{json}"
            );
        }
    }

    #[test]
    fn unknown_fields_are_told_by_their_path() {
        let cases: [(&Resource, &str, &[&str]); 6] = [
            (
                &rows::PODS,
                r#"{"kind":"Pod","spec":{"containers":[{"name":"a","nmae":1}],"x":{"y":1,"y":2}},"z":2}"#,
                &["spec.containers[0].nmae", "spec.x", "z"],
            ),
            // Anything may be in maps, quantities and what has no type.
            (
                &rows::PODS,
                r#"{"metadata":{"annotations":{"b":"c"}},"spec":{"nodeSelector":{"d":"e"},"containers":[{"resources":{"limits":{"example.com/x":"1"}}}]}}"#,
                &[],
            ),
            (
                &rows::PODS,
                r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:spec":{}},"x":1}]}}"#,
                &["metadata.managedFields[0].x"],
            ),
            // Wrong types are the decoder's.
            (&rows::PODS, r#"{"spec":[{"x":1}],"metadata":{"labels":[{"x":1}],"ownerReferences":{"x":1}}}"#, &[]),
            // Inlined fields are the object's own.
            (
                &rows::PODS,
                r#"{"spec":{"containers":[{"envFrom":[{"configMapRef":{"name":"a","optional":true,"key":"b"}}],"livenessProbe":{"exec":{},"x":1}}]}}"#,
                &["spec.containers[0].envFrom[0].configMapRef.key", "spec.containers[0].livenessProbe.x"],
            ),
            (&rows::CONFIG_MAPS, r#"{"apiVersion":"v1","data":{"x":"y"},"binaryData":{},"spec":1}"#, &["spec"]),
        ];
        for (row, json, expected) in cases {
            assert_eq!(faults(row, json).0, expected, "{json}");
        }
    }

    #[test]
    fn an_object_may_have_many_fields() {
        let fields = |letter: char| (0..100_000).map(move |n| format!(r#""{letter}{n}":"{n}""#));
        let mut data: Vec<String> = fields('f').collect();
        data.extend([r#""f7":"1""#.to_owned(), r#""f99999":"1""#.to_owned()]);
        let (unknown, duplicate) = faults(&rows::CONFIG_MAPS, &format!(r#"{{"data":{{{}}}}}"#, data.join(",")));
        assert_eq!((unknown.len(), duplicate), (0, vec!["data.f7".to_owned(), "data.f99999".to_owned()]));
        let (unknown, _) = faults(&rows::CONFIG_MAPS, &format!("{{{}}}", fields('u').collect::<Vec<_>>().join(",")));
        assert_eq!(unknown.len(), MANY);
    }

    #[test]
    fn of_a_kind_that_came_at_run_time_the_metadata_are_known() {
        let schema = Schema::custom(json!({"type": "object", "properties": {"spec": {"type": "object"}}}));
        let json = br#"{"apiVersion":"a/v1","metadata":{"name":"a","foo":{"bar":1}},"spec":{"size":1,"size":2},"more":[null]}"#;
        let found = find(json, &schema);
        assert_eq!((found.unknown, found.duplicate), (vec!["metadata.foo".into()], vec!["spec.size".into()]));
    }
}
