//! What rules see of values: their types, and how large they can be in a request of upstream's size.

use std::collections::BTreeMap;

use cel::{ObjectType, Type};

use super::super::node::{Node, Others, ValueKind};

/// The largest request, in bytes.
pub(super) const REQUEST: u64 = 3 << 20;
/// Sizes of values in JSON, in bytes: with quotation marks.
const BOOL: u64 = 4;
const STRING: u64 = 2;
const DATE: u64 = 12;
const LONGEST_TIME: u64 = 32;
const SHORTEST_TIME: u64 = 21;
const SHORTEST_DURATION: u64 = 3;

/// What is known of a value.
pub(super) struct Declared {
    pub of: Type,
    /// Characters or elements at most.
    pub most: u64,
    /// In JSON, in bytes.
    pub shortest: u64,
    inside: Inside,
}

enum Inside {
    Nothing,
    Elements(Box<Declared>),
    Values(Box<Declared>),
    /// By their names in expressions.
    Fields(BTreeMap<String, Declared>),
}

impl Declared {
    fn scalar(of: Type, shortest: u64, most: u64) -> Self {
        Self { of, most, shortest, inside: Inside::Nothing }
    }

    /// What is inside of it, as paths of estimates name it.
    pub fn step(&self, name: &str) -> Option<&Self> {
        match (&self.inside, name) {
            (Inside::Elements(of), "@items") | (Inside::Values(of), "@values") => Some(of),
            (Inside::Fields(fields), name) => fields.get(name),
            _ => None,
        }
    }

    /// How often it can be in a request.
    pub fn cardinality(&self) -> u64 {
        REQUEST / (self.shortest + 1)
    }
}

fn limit(given: Option<i64>, otherwise: u64) -> u64 {
    given.map_or(otherwise, |given| u64::try_from(given).unwrap_or(0))
}

/// Declares a value and what is inside of it; `None` where nothing is known of it. `whole` ones have what every object
/// has.
pub(super) fn declare(
    node: &Node,
    whole: bool,
    name: &str,
    objects: &mut Vec<(String, ObjectType)>,
) -> Option<Declared> {
    let checks = node.checks.as_deref();
    if node.flags.int_or_string {
        return Some(Declared::scalar(Type::Dyn, 1, REQUEST - 2));
    }
    match node.kind? {
        ValueKind::Boolean => Some(Declared::scalar(Type::Bool, BOOL, 0)),
        ValueKind::Integer => Some(Declared::scalar(Type::Int, 1, 0)),
        ValueKind::Number => Some(Declared::scalar(Type::Double, 1, 0)),
        ValueKind::String => Some(string(node)),
        ValueKind::Array => {
            let items = node.items.as_deref()?;
            let element = declare(items, items.flags.embedded, &format!("{name}.@idx"), objects)?;
            let most = limit(checks.and_then(|checks| checks.max_items), (REQUEST - 2) / (element.shortest + 1));
            let of = Type::list(element.of.clone());
            Some(Declared { of, most, shortest: 2, inside: Inside::Elements(Box::new(element)) })
        }
        ValueKind::Object => match &node.others {
            Others::Of(values) => {
                let value = declare(values, values.flags.embedded, &format!("{name}.@elem"), objects)?;
                let given = checks.and_then(|checks| checks.max_properties);
                let most = limit(given, (REQUEST - 2) / (value.shortest + 6));
                let of = Type::map(Type::String, value.of.clone());
                Some(Declared { of, most, shortest: 2, inside: Inside::Values(Box::new(value)) })
            }
            _ => Some(object(node, whole, name, objects)),
        },
    }
}

fn string(node: &Node) -> Declared {
    let checks = node.checks.as_deref();
    let given = checks.and_then(|checks| checks.max_length);
    let format = checks.and_then(|checks| checks.format).map(|format| format.name);
    match format {
        Some("byte") => Declared::scalar(Type::Bytes, STRING, limit(given, REQUEST - 2)),
        Some("duration") => Declared::scalar(Type::Duration, SHORTEST_DURATION, LONGEST_TIME),
        Some("date") => Declared::scalar(Type::Timestamp, DATE, DATE),
        Some("date-time") => Declared::scalar(Type::Timestamp, SHORTEST_TIME, LONGEST_TIME),
        _ => {
            let values = checks.and_then(|checks| checks.values.as_deref());
            let longest = |values: &[serde_json::Value]| {
                let lengths = values.iter().filter_map(|value| value.as_str()).map(|text| text.len() as u64);
                lengths.max().unwrap_or(0)
            };
            Declared::scalar(Type::String, STRING, limit(given, values.map_or(REQUEST - 2, longest)))
        }
    }
}

fn object(node: &Node, whole: bool, name: &str, objects: &mut Vec<(String, ObjectType)>) -> Declared {
    let checks = node.checks.as_deref();
    let required = |name: &str| checks.is_some_and(|checks| checks.required.iter().any(|own| **own == *name));
    let mut shortest = 2;
    let mut fields = BTreeMap::new();
    for (own, inner) in node.properties() {
        let path = format!("{name}.{own}");
        let Some(declared) = declare(inner, inner.flags.embedded, &path, objects) else { continue };
        if required(own) && inner.default.is_none() {
            shortest += own.len() as u64 + declared.shortest + 4;
        }
        if let Some(escaped) = escape(own) {
            fields.insert(escaped, declared);
        }
    }
    if whole {
        let text = || Declared::scalar(Type::String, STRING, REQUEST - 2);
        let names = format!("{name}.metadata");
        let metadata = ["name", "generateName"].map(|field| (field.to_owned(), text()));
        let own = metadata.iter().map(|(field, declared)| (&**field, declared.of.clone()));
        objects.push((names.clone(), ObjectType::new(own)));
        let metadata = Declared {
            of: Type::object(&names),
            most: 0,
            shortest: 2,
            inside: Inside::Fields(BTreeMap::from(metadata)),
        };
        fields.insert("metadata".to_owned(), metadata);
        fields.insert("apiVersion".to_owned(), text());
        fields.insert("kind".to_owned(), text());
    }
    let types = fields.iter().map(|(field, declared)| (&**field, declared.of.clone()));
    objects.push((name.to_owned(), ObjectType::new(types)));
    Declared { of: Type::object(name), most: 0, shortest, inside: Inside::Fields(fields) }
}

/// What else cannot be the name of a field in an expression.
const WORDS: [&str; 4] = ["true", "false", "null", "in"];

/// The name of a property in expressions; `None` where it has none.
pub(super) fn escape(name: &str) -> Option<String> {
    if WORDS.contains(&name) || cel::RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '-' | '/');
    if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return None;
    }
    let escaped = name.replace("__", "__underscores__");
    Some(escaped.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__"))
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_are_escaped() {
        for (name, escaped) in [
            ("size", Some("size")),
            ("namespace", Some("__namespace__")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("a__b", Some("a__underscores__b")),
            ("1a", None),
            ("a b", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped);
        }
    }
}
