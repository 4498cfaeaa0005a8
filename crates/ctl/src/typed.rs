//! Objects as Go writes its types: what is always there is written, what is empty is not, and JSON has the fields in the
//! order in which the types have them. Objects that come from the server are in the server's form; these are those that
//! are made here.

use api_types::schema::{Field, Label, Type};
use serde_json::{Map, Value};

use crate::strategic::schema_of;

/// Adds what Go always writes, and takes away what it never does.
pub fn complete(object: &mut Value) {
    if let (Some(of), Value::Object(members)) = (schema_of(object), object) {
        complete_object(members, of);
    }
}

fn complete_object(members: &mut Map<String, Value>, of: &Type) {
    if of.scalar.is_some() {
        return;
    }
    members.retain(|name, value| {
        of.field(name).is_none_or(|field| !value.is_null() && !field.leaves_out(value.to_string().as_bytes()))
    });
    for always in of.always() {
        let zero = || serde_json::from_str(&always.zero).unwrap_or_default();
        members.entry(always.name.clone().into_owned()).or_insert_with(zero);
    }
    for (name, value) in members {
        if let Some(field) = of.field(name) {
            complete_field(value, field);
        }
    }
}

fn complete_field(value: &mut Value, field: &Field) {
    let Some(of) = field.message() else { return };
    match (field.label, value) {
        (Label::One, Value::Object(members)) => complete_object(members, of),
        (Label::List, Value::Array(items)) => {
            items.iter_mut().filter_map(Value::as_object_mut).for_each(|item| complete_object(item, of));
        }
        (Label::Map, Value::Object(values)) => {
            values.values_mut().filter_map(Value::as_object_mut).for_each(|item| complete_object(item, of));
        }
        _ => {}
    }
}

/// JSON as Go's encoder writes the object's type, on one line.
#[must_use]
pub fn line(object: &Value) -> String {
    let mut text = String::new();
    write(object, schema_of(object).map(Shape::Object), None, &mut text);
    text
}

/// JSON as Go's encoder writes the object's type, indented by four spaces, with a final newline.
#[must_use]
pub fn pretty(object: &Value) -> String {
    let mut text = String::new();
    write(object, schema_of(object).map(Shape::Object), Some(0), &mut text);
    text.push('\n');
    text
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Object(&'a Type),
    Values(&'a Type),
}

impl<'a> Shape<'a> {
    fn of_field(field: &'a Field) -> Option<Self> {
        let of = field.message()?;
        Some(if field.label == Label::One { Self::Object(of) } else { Self::Values(of) })
    }

    fn member(self, name: &str) -> Option<Self> {
        match self {
            Self::Object(of) => of.field(name).and_then(Self::of_field),
            Self::Values(of) => Some(Self::Object(of)),
        }
    }

    fn element(self) -> Option<Self> {
        match self {
            Self::Object(_) => None,
            Self::Values(of) => Some(Self::Object(of)),
        }
    }

    /// Where a member stands.
    fn place(self, name: &str) -> usize {
        match (self, name) {
            (Self::Object(_), "kind") => 0,
            (Self::Object(_), "apiVersion") => 1,
            (Self::Object(of), _) => {
                let at = of.members().iter().position(|(field, _)| field.name == name);
                at.map_or(usize::MAX, |at| at + 2)
            }
            (Self::Values(_), _) => 0,
        }
    }
}

fn write(value: &Value, shape: Option<Shape<'_>>, depth: Option<usize>, out: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| shape.map_or(0, |shape| shape.place(name)));
            let each = |out: &mut String, (name, value): &(&String, &Value), depth: Option<usize>| {
                out.push_str(&escaped(&Value::String((*name).clone())));
                out.push_str(if depth.is_none() { ":" } else { ": " });
                write(value, shape.and_then(|shape| shape.member(name)), depth, out);
            };
            enclosed("{}", &members, depth, out, each);
        }
        Value::Array(items) if !items.is_empty() => {
            let shape = shape.and_then(Shape::element);
            enclosed("[]", items, depth, out, |out, item, depth| write(item, shape, depth, out));
        }
        other => out.push_str(&escaped(other)),
    }
}

fn enclosed<T>(
    brackets: &str,
    items: &[T],
    depth: Option<usize>,
    out: &mut String,
    each: impl Fn(&mut String, &T, Option<usize>),
) {
    let inner = depth.map(|depth| depth + 1);
    out.push_str(&brackets[..1]);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        break_line(inner, out);
        each(out, item, inner);
    }
    break_line(depth, out);
    out.push_str(&brackets[1..]);
}

fn break_line(depth: Option<usize>, out: &mut String) {
    if let Some(depth) = depth {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    }
}

/// A scalar; Go writes what HTML would misread as escapes.
fn escaped(value: &Value) -> String {
    let text = value.to_string();
    if text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        return text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_go_always_writes_is_there_in_its_order() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {}},
            "spec": {"containers": [{"image": "a<b", "name": "x", "tty": false}]}});
        complete(&mut pod);
        assert_eq!(
            line(&pod),
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"containers":[{"name":"x","image":"a\u003cb","resources":{}}]},"status":{}}"#
        );
        assert!(
            pretty(&json!({"apiVersion": "x/v1", "kind": "X", "b": [], "a": {"c": 1}}))
                .contains("    \"a\": {\n        \"c\": 1\n    },\n")
        );
    }
}
