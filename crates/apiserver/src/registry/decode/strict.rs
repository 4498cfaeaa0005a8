//! One walk over a JSON text beside the kind's schema, before it is decoded. It finds what a strict reader objects to and a
//! decoder passes over: fields that the kind does not have, and fields that are there twice. And it finds what our decoders
//! take otherwise than Go's: fields that Go leaves out because they are empty, structures that are always there to Go, and
//! times and quantities that are none.

use std::{borrow::Cow, collections::HashSet};

use api_types::{
    quantity::Quantity,
    schema::{Field, Kind, Label, Type},
};

use super::{
    empty::{Edits, Members},
    times::{self, Precision},
};
use crate::json::{Cursor, MAX_DEPTH, Malformed, Scalar};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What a strict reader objects to, such as `unknown field "spec.containers[0].image"`, in the order of the text.
    pub words: Vec<String>,
    /// Whether a field is there twice.
    pub again: bool,
    /// Whether a time or a quantity is not written as Go writes it.
    pub odd: bool,
    /// What makes the text one that Go would write.
    pub edits: Edits,
}

impl Found {
    fn object(&mut self, what: &str, place: &Place<'_>) {
        if self.words.len() < MANY {
            let words = format!("{what} field {:?}", place.path());
            if !self.words.contains(&words) {
                self.words.push(words);
            }
        }
    }
}

/// Looks through an object. Of malformed JSON, which the decoder reports, or JSON that is nested deeper than any decoder
/// follows, what was found until there is told. What is inside of an unknown field is not looked at; of a kind that came
/// at run time only the metadata are known.
#[must_use]
pub fn find(json: &[u8], schema: &Type) -> Found {
    let mut search = Search { json, cursor: Cursor::new(json), names: Vec::new(), found: Found::default() };
    let upstreams = !schema.package.is_empty();
    let root = if upstreams { Shape::Object(schema) } else { Shape::OfRunTime(schema) };
    // What was found before the end of what can be read is what there is to tell.
    let _ = search.value(&Place::Root, root, MAX_DEPTH);
    search.found
}

/// Looks for members that are given twice, wherever they are.
#[must_use]
pub fn repeated(json: &[u8]) -> Vec<String> {
    let mut search = Search { json, cursor: Cursor::new(json), names: Vec::new(), found: Found::default() };
    let _ = search.value(&Place::Root, Shape::Any, MAX_DEPTH);
    search.found.words
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
    /// One element of a field that is a list, or value of one that is a map.
    One(&'s Field),
    /// An object of a kind that came at run time.
    OfRunTime(&'s Type),
}

/// What is known of an object's member.
enum Member<'s> {
    Known(Shape<'s>),
    Unknown,
}

impl<'s> Shape<'s> {
    /// The type of an object that this is.
    fn object(self) -> Option<&'s Type> {
        let of = match self {
            Self::Object(of) => Some(of),
            Self::Field(field) if field.label == Label::One => field.of(),
            Self::One(field) => field.message(),
            _ => None,
        };
        of.filter(|of| of.scalar.is_none())
    }

    /// A member of an object. Only fields are left out when they are empty, the members of a map are not.
    fn member(self, name: &str) -> Member<'s> {
        match self {
            Self::Field(field) if field.label != Label::One => Member::Known(Self::One(field)),
            Self::OfRunTime(of) => {
                let field = of.member(name).filter(|_| name == "metadata");
                Member::Known(field.map_or(Self::Any, Self::Field))
            }
            _ => match self.object() {
                Some(of) => of.member(name).map_or(Member::Unknown, |field| Member::Known(Self::Field(field))),
                None => Member::Known(Self::Any),
            },
        }
    }

    fn element(self) -> Self {
        match self {
            Self::Field(field) if field.label == Label::List => Self::One(field),
            Self::Field(field) => field.of().and_then(Type::element).map_or(Self::Any, Self::Field),
            Self::Object(of) => of.element().map_or(Self::Any, Self::Field),
            _ => Self::Any,
        }
    }

    /// The kind of a value that is no list, map or object.
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Field(field) if field.label == Label::One => Some(field.kind),
            Self::One(field) => Some(field.kind),
            _ => None,
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
    json: &'a [u8],
    cursor: Cursor<'a>,
    /// The distinct names so far in the objects in which the search is, those of the innermost last.
    names: Vec<Cow<'a, str>>,
    found: Found,
}

impl Search<'_> {
    /// The text from the next value on.
    fn rest(&mut self) -> &[u8] {
        self.cursor.peek();
        self.json.get(self.cursor.position()..).unwrap_or_default()
    }

    fn value(&mut self, place: &Place<'_>, shape: Shape<'_>, depth: usize) -> Result<(), Malformed> {
        if depth > 0 && self.cursor.at_object() {
            self.object(place, shape, depth - 1)
        } else if depth > 0 && self.cursor.at_array() {
            self.array(place, shape.element(), depth - 1)
        } else if let Some(kind @ (Kind::Time | Kind::MicroTime | Kind::Quantity)) = shape.kind() {
            let odd = self.cursor.scalar()?.is_some_and(|scalar| is_odd(kind, scalar));
            self.found.odd |= odd;
            Ok(())
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
        let mut members = Members::default();
        let always = shape.object().map(Type::always).unwrap_or_default();
        while let Some(name) = self.cursor.member(&mut first)? {
            let begins = name.start - 1;
            let name = name.to_str();
            let here = Place::Field(place, &name);
            let names = &self.names[outer..];
            let again = if names.len() < FEW {
                names.contains(&name)
            } else {
                many.extend(names[many.len()..].iter().cloned());
                many.contains(&name)
            };
            let member = shape.member(&name);
            // A field that is unknown is told as that, however often it is there.
            if again && matches!(member, Member::Known(_)) {
                self.found.again = true;
                self.found.object("duplicate", &here);
            }
            match member {
                Member::Known(Shape::Field(field)) if is_dropped(field, self.rest()) => {
                    self.cursor.skip_value()?;
                    members.leave_out(begins..self.cursor.position(), &mut self.found.edits);
                }
                Member::Known(shape) => {
                    members.note(&name, always);
                    members.keep(begins, &mut self.found.edits);
                    self.value(&here, shape, depth)?;
                }
                Member::Unknown => {
                    self.found.object("unknown", &here);
                    members.keep(begins, &mut self.found.edits);
                    self.cursor.skip_value()?;
                }
            }
            members.ended(self.cursor.position());
            if !again {
                self.names.push(name);
            }
        }
        members.close(self.cursor.position() - 1, always, &mut self.found.edits);
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

/// Whether a field with the value with which `rest` begins is as good as absent. (`null` is the zero value.)
fn is_dropped(field: &Field, rest: &[u8]) -> bool {
    field.leaves_out(rest) || (field.present() && rest.first() == Some(&b'n'))
}

/// Whether Go reads this otherwise than our decoders, which know more ways to write a time and do not look into quantities.
fn is_odd(kind: Kind, scalar: Scalar<'_>) -> bool {
    let text = scalar.to_str();
    match kind {
        Kind::Time => times::fault(&text, Precision::Seconds).is_some(),
        Kind::MicroTime => times::fault(&text, Precision::Microseconds).is_some(),
        _ => text.parse::<Quantity>().is_err(),
    }
}

#[cfg(test)]
mod tests {
    use api_types::{Resource, rows, schema::Schema};

    use super::*;

    fn faults(row: &Resource, json: &str) -> (Vec<String>, Vec<String>) {
        let words = find(json.as_bytes(), row.schema()).words;
        let paths = |what: &str| {
            let path = |word: &String| Some(word.strip_prefix(what)?.trim_matches('"').to_owned());
            words.iter().filter_map(path).collect()
        };
        (paths("unknown field "), paths("duplicate field "))
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
    fn empty_fields_are_cut_out() {
        let cases = [
            (r#"{"containers":[],"hostNetwork":false}"#, r#"{"containers":[]}"#),
            (
                r#"{"containers":[],"hostNetwork":false, "nodeName" : "" ,"priority":0}"#,
                r#"{"containers":[] ,"priority":0}"#,
            ),
            (
                r#"{"hostPID":false, "priority":0,"hostNetwork":false,"containers":[]}"#,
                r#"{"priority":0,"containers":[]}"#,
            ),
            (
                r#"{"containers":[{"name":"","resources":{ },"tty":false},{"stdin":false,"name":"a","resources":{}}]}"#,
                r#"{"containers":[{"name":"","resources":{ }},{"name":"a","resources":{}}]}"#,
            ),
            (
                r#"{"nodeSelector":{ },"tolerations":[ ],"overhead":{"cpu":"0"},"containers":[]}"#,
                r#"{"overhead":{"cpu":"0"},"containers":[]}"#,
            ),
        ];
        let spec = rows::PODS.schema().field("spec").and_then(Field::of).unwrap();
        for (json, left) in cases {
            let found = find(json.as_bytes(), spec);
            assert_eq!(String::from_utf8(found.edits.made_in(json.as_bytes())).unwrap(), left);
        }
        assert!(find(br#"{"priority":0,"containers":[]}"#, spec).edits.is_none());
    }

    #[test]
    fn structures_are_put_in() {
        let cases = [
            ("{}", r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#),
            (r#"{"spec":{"hostNetwork":false} , "x":1 }"#, r#"{"spec":{} , "x":1 ,"metadata":{},"status":{}}"#),
            (
                r#"{"status":null,"metadata":{},"spec":null}"#,
                r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#,
            ),
            (
                r#"{"metadata":{},"spec":{"containers":[{"tty":false},{"name":"a","resources":null}]},"status":{}}"#,
                r#"{"metadata":{},"spec":{"containers":[{"name":"","resources":{}},{"name":"a","resources":{}}]},"status":{}}"#,
            ),
        ];
        for (json, whole) in cases {
            let found = find(json.as_bytes(), rows::PODS.schema());
            assert_eq!(String::from_utf8(found.edits.made_in(json.as_bytes())).unwrap(), whole);
        }
    }

    #[test]
    fn odd_times_and_quantities_are_noticed() {
        let cases = [
            (r#"{"metadata":{"creationTimestamp":"2024-01-02T03:04:05Z"}}"#, false),
            (r#"{"metadata":{"creationTimestamp":null}}"#, false),
            (r#"{"metadata":{"creationTimestamp":"2024-01-02 03:04:05Z"}}"#, true),
            (r#"{"spec":{"overhead":{"cpu":"1"},"containers":[{"resources":{"limits":{"cpu":"100m"}}}]}}"#, false),
            (r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1 "}}}]}}"#, true),
        ];
        for (json, odd) in cases {
            assert_eq!(find(json.as_bytes(), rows::PODS.schema()).odd, odd, "{json}");
        }
    }

    #[test]
    fn unknown_fields_are_told_by_their_path() {
        let cases: [(&Resource, &str, &[&str]); 7] = [
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
            // Of the values of a map the fields are known.
            (
                &rows::CUSTOM_RESOURCE_DEFINITIONS,
                r#"{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"properties":{"a":{"type":"object","x":1}}}}}]}}"#,
                &["spec.versions[0].schema.openAPIV3Schema.properties.a.x"],
            ),
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
        let schema = Schema::custom(br#"{"type":"object","properties":{"spec":{"type":"object"}}}"#);
        let json = br#"{"apiVersion":"a/v1","metadata":{"name":"a","foo":{"bar":1}},"spec":{"size":1,"size":2},"more":[null]}"#;
        let words = find(json, &schema).words;
        assert_eq!(words, ["unknown field \"metadata.foo\"", "duplicate field \"spec.size\""]);
    }
}
