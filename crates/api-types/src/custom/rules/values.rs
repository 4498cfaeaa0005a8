//! Values as rules see them: by their types in the schema. What looks the same in JSON is not copied.

use std::{collections::BTreeMap, sync::Arc};

use cel::{Duration, Key, Map, Numbers, Text, Timestamp, Value};
use serde_json::Value as Json;

use super::{
    super::node::{Node, Others, ValueKind},
    types::escape,
};
use crate::jiff;

/// Whether rules see a value as it is in JSON.
pub(in super::super) fn is_plain(node: &Node) -> bool {
    if node.flags.int_or_string {
        return true;
    }
    match node.kind {
        Some(ValueKind::Number) => false,
        Some(ValueKind::String) => {
            let format = node.checks.as_ref().and_then(|checks| checks.format);
            format.is_none_or(|format| !matches!(format.name, "byte" | "duration" | "date" | "date-time"))
        }
        _ => {
            let named = |name: &str| escape(name).as_deref() == Some(name);
            node.items.as_deref().is_none_or(|items| items.plain)
                && node.properties().all(|(name, inner)| inner.plain && named(name))
                && !matches!(&node.others, Others::Of(values) if !values.plain)
        }
    }
}

/// A value as rules see it.
pub(super) fn value<'a>(node: &Node, json: &'a Json) -> Value<'a> {
    if node.plain {
        return Value::from_json(json, Numbers::Natural);
    }
    match json {
        Json::Object(members) => members_of(node, members),
        Json::Array(items) => match &node.items {
            Some(element) => Value::list(items.iter().map(|item| value(element, item)).collect()),
            None => Value::from_json(json, Numbers::Natural),
        },
        Json::Number(number) if node.kind == Some(ValueKind::Number) => {
            number.as_f64().map_or(Value::Null, Value::Double)
        }
        Json::String(text) => {
            let format = node.checks.as_ref().and_then(|checks| checks.format).map(|format| format.name);
            formatted(format.unwrap_or_default(), text)
        }
        other => Value::from_json(other, Numbers::Natural),
    }
}

/// The fields of an object or the values of a map.
pub(super) fn members_of<'a>(node: &Node, members: &'a serde_json::Map<String, Json>) -> Value<'a> {
    Value::Map(Map::Values(Arc::new(entries(node, members))))
}

/// The same, before something is added.
pub(super) fn entries<'a>(node: &Node, members: &'a serde_json::Map<String, Json>) -> BTreeMap<Key<'a>, Value<'a>> {
    let entry = |(name, json): (&'a String, &'a Json)| {
        let known = node.property(name);
        let key = match known {
            Some(_) => match escape(name)? {
                escaped if escaped == *name => Text::Borrowed(name),
                escaped => Text::Shared(escaped.into()),
            },
            None => Text::Borrowed(name),
        };
        let of = known.or_else(|| node.member(name));
        let value = of.map_or_else(|| Value::from_json(json, Numbers::Natural), |of| value(of, json));
        Some((Key::String(key), value))
    };
    members.iter().filter_map(entry).collect()
}

/// A text of a format. One that is not of it is refused elsewhere.
fn formatted<'a>(format: &str, text: &'a str) -> Value<'a> {
    let time = |time: Option<jiff::Timestamp>| time.and_then(Timestamp::new).map_or(Value::Null, Value::Timestamp);
    match format {
        "byte" => Value::bytes_of_base64(text).unwrap_or(Value::Null),
        "duration" => Duration::parse(text).map_or(Value::Null, Value::Duration),
        "date" => time(format!("{text}T00:00:00Z").parse().ok()),
        "date-time" => time(text.parse().ok()),
        _ => Value::String(Text::Borrowed(text)),
    }
}
