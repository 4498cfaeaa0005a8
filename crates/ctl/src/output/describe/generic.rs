//! Kinds without a description of their own: their fields, in words.

use serde_json::Value;

use super::{Writer, metadata, text};

/// Writes metadata and every other field.
pub fn describe(writer: &mut Writer, object: &Value) {
    metadata(writer, object);
    writer.field("API Version", text(&object["apiVersion"]));
    writer.field("Kind", text(&object["kind"]));
    for (name, value) in object.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        // Contents of secrets are for nobody's eyes.
        let secret = object["kind"] == "Secret" && name == "data";
        if secret { sizes(writer, value) } else { field(writer, &words(name), value) }
    }
}

fn sizes(writer: &mut Writer, data: &Value) {
    writer.section("Data", |writer| {
        for (key, value) in data.as_object().into_iter().flatten() {
            let padding = value.as_str().unwrap_or_default().bytes().rev().take_while(|byte| *byte == b'=').count();
            let bytes = value.as_str().unwrap_or_default().len() / 4 * 3;
            writer.field(key, format!("{} bytes", bytes.saturating_sub(padding)));
        }
    });
}

fn field(writer: &mut Writer, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => writer.section(name, |writer| {
            for (name, value) in fields {
                field(writer, &words(name), value);
            }
        }),
        Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
            writer.list(name, &items.iter().map(text).collect::<Vec<_>>());
        }
        Value::Array(items) => writer.section(name, |writer| {
            for item in items {
                for (name, value) in item.as_object().into_iter().flatten() {
                    field(writer, &words(name), value);
                }
            }
        }),
        value => writer.field(name, text(value)),
    }
}

/// `addressType` becomes `Address Type`.
fn words(name: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for (at, letter) in name.char_indices() {
        if at == 0 {
            words.extend(letter.to_uppercase());
        } else {
            if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
                words.push(' ');
            }
            words.push(letter);
        }
        before = letter;
    }
    words
}
