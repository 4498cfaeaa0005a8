//! What somebody applies, and whether it can be applied at all.

use api_types::{
    Resource,
    schema::{Field, Key, Kind, Label, Topology, Type},
};
use serde_json::{Map, Value, json};

use super::{
    apply::ApplyError,
    set::readable,
    shape::{keyed_element, set_element},
};
use crate::json::go_value::Printed;

/// What somebody wants the fields that are theirs to be.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The object, with these fields only.
    pub tree: Value,
    /// What a strict reader of the text objects to.
    pub objections: Vec<String>,
}

impl From<Value> for Configuration {
    fn from(tree: Value) -> Self {
        Self { tree, objections: Vec::new() }
    }
}

impl Configuration {
    /// Sees that it is of the kind of an endpoint, and fits the kind's schema.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn check(&self, group: &str, version: &str, kind: &str, schema: &Type) -> Result<(), ApplyError> {
        if !self.tree.is_object() {
            return Err(ApplyError::NotAnObject);
        }
        let text = |pointer: &str| self.tree.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let own = text("/apiVersion");
        let (own_group, own_version) = own.split_once('/').unwrap_or(("", own));
        let own_kind = text("/kind");
        let gvk = format!("{own_group}/{own_version}, Kind={own_kind}");
        if (own_group, own_version, own_kind) != (group, version, kind) {
            return Err(ApplyError::ObjectType(gvk));
        }
        if self.tree.pointer("/metadata/managedFields").is_some_and(Value::is_array) {
            return Err(ApplyError::ManagedFieldsGiven);
        }
        let faults = faults(&self.tree, schema);
        if faults.is_empty() { Ok(()) } else { Err(self.untyped(faults)) }
    }

    /// That it has fields, at these paths, which its kind does not have.
    #[must_use]
    pub fn undeclared(&self, paths: &[String]) -> ApplyError {
        self.untyped(paths.iter().map(|path| format!(".{path}: field not declared in schema")).collect())
    }

    fn untyped(&self, faults: Vec<String>) -> ApplyError {
        let text = |pointer: &str| self.tree.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let own = text("/apiVersion");
        let (group, version) = own.split_once('/').unwrap_or(("", own));
        let gvk = format!("{group}/{version}, Kind={}", text("/kind"));
        let place = format!("{}/{}; {gvk}", text("/metadata/namespace"), text("/metadata/name"));
        ApplyError::Untyped { place, faults }
    }

    /// The same about an object of which this is a part, with only the value at this path, which is at another there.
    #[must_use]
    pub fn as_part(&self, row: &Resource, pointer: &str, path: &[&str]) -> Self {
        let mut tree = json!({"apiVersion": row.api_version(), "kind": row.kind});
        if let Some(value) = self.tree.pointer(pointer) {
            let nested = path
                .iter()
                .rev()
                .fold(value.clone(), |inner, step| Value::Object(Map::from_iter([((*step).to_owned(), inner)])));
            if let (Value::Object(tree), Value::Object(nested)) = (&mut tree, nested) {
                tree.extend(nested);
            }
        }
        tree.into()
    }
}

/// So many faults are told.
const MANY: usize = 100;

/// What of a configuration does not fit the schema, each with its path.
fn faults(config: &Value, schema: &Type) -> Vec<String> {
    let mut checker = Checker { path: String::new(), faults: Vec::new() };
    checker.structure(config, schema);
    checker.faults
}

struct Checker {
    path: String,
    faults: Vec<String>,
}

impl Checker {
    fn structure(&mut self, value: &Value, schema: &Type) {
        let Some(members) = self.members(value) else { return };
        // Of kinds that came at run time only the metadata are known.
        let custom = schema.package.is_empty();
        for (name, value) in members {
            match schema.member(name) {
                Some(field) if !custom || name == "metadata" => {
                    self.inside(&format!(".{name}"), |checker| checker.field(value, field));
                }
                None if !custom => {
                    self.inside(&format!(".{name}"), |checker| checker.fault("field not declared in schema"));
                    return;
                }
                _ => {}
            }
        }
    }

    fn field(&mut self, value: &Value, field: &Field) {
        match field.label {
            Label::One => self.one(value, field.kind),
            Label::List => self.list(value, field),
            Label::Map => {
                for (name, value) in self.members(value).into_iter().flatten() {
                    self.inside(&format!(".{name}"), |checker| checker.one(value, field.kind));
                }
            }
        }
    }

    fn one(&mut self, value: &Value, kind: Kind) {
        let scalar = matches!(value, Value::String(_) | Value::Bool(_) | Value::Number(_));
        match kind {
            _ if value.is_null() => {}
            Kind::Message(_) => kind.message().into_iter().for_each(|schema| self.structure(value, schema)),
            Kind::String | Kind::Bytes if !value.is_string() => {
                self.fault(&format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)));
            }
            Kind::Bool if !value.is_boolean() => self.fault(&format!("expected boolean, got &{{{}}}", Printed(value))),
            Kind::Int32 | Kind::Int64 | Kind::Double if !value.is_number() => {
                self.fault(&format!("expected numeric (int or float), got {}", go_type(value)));
            }
            Kind::Time | Kind::MicroTime | Kind::Quantity | Kind::IntOrString if !scalar => {
                self.fault(&format!("expected any scalar, got &{{{}}}", Printed(value)));
            }
            _ => {}
        }
    }

    fn list(&mut self, value: &Value, field: &Field) {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => return,
            other => return self.fault(&format!("expected list, got &{{{}}}", Printed(other))),
        };
        let mut seen = std::collections::HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = match element(item, &field.topology) {
                Element::Of(element) => element,
                Element::None => format!("i:{index}"),
                // Nothing further can be told of a list whose elements are not known.
                Element::Fault(why) => return self.fault(&format!("element {index}: {why}")),
            };
            let readable = readable(&element);
            if !seen.insert(element) {
                self.fault(&format!("duplicate entries for key {readable}"));
            }
            self.inside(&readable, |checker| checker.one(item, field.kind));
        }
    }

    fn members<'v>(&mut self, value: &'v Value) -> Option<&'v Map<String, Value>> {
        match value {
            Value::Object(members) => Some(members),
            Value::Null => None,
            other => {
                self.fault(&format!("expected map, got &{{{}}}", Printed(other)));
                None
            }
        }
    }

    fn inside(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        let outside = self.path.len();
        self.path.push_str(step);
        check(self);
        self.path.truncate(outside);
    }

    fn fault(&mut self, what: &str) {
        if self.faults.len() < MANY {
            let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
            self.faults.push(format!("{path}{what}"));
        }
    }
}

/// What a list's element is known by.
enum Element {
    Of(String),
    /// Nothing: it is owned with the list.
    None,
    Fault(String),
}

fn element(item: &Value, topology: &Topology) -> Element {
    match topology {
        Topology::Map(keys) => keyed(item, keys),
        Topology::Set => Element::Fault(match item {
            Value::Object(_) => "associative list without keys has an element that's a map type".to_owned(),
            Value::Array(_) => "not supported: associative list with lists as elements".to_owned(),
            Value::Null => "associative list without keys has an element that's an explicit null".to_owned(),
            scalar => return Element::Of(set_element(scalar)),
        }),
        _ => Element::None,
    }
}

fn keyed(item: &Value, keys: &[Key]) -> Element {
    Element::Fault(match item {
        Value::Null => "associative list with keys may not have a null element".to_owned(),
        Value::Object(_) => match keyed_element(item, keys) {
            Some(element) => return Element::Of(element),
            None => {
                let names: Vec<_> = keys.iter().map(|key| format!("{:?}", key.name)).collect();
                format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                     values for any key fields)",
                    names.join(" ")
                )
            }
        },
        _ => "associative list with keys may not have non-map elements".to_owned(),
    })
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!("[]interface {{}}{{{}}}", joined(items.iter().map(go_syntax).collect())),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name:?}:{}", go_syntax(value))).collect();
            format!("map[string]interface {{}}{{{}}}", joined(members))
        }
        Value::Null => "interface {}(nil)".to_owned(),
        other => other.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    }
}
