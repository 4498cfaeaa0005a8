//! The table of messages, read once from `messages.txt`.

use std::{collections::HashMap, sync::OnceLock};

const TEXT: &str = include_str!("messages.txt");

/// How often a field may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Once. A scalar's zero value counts as absence.
    Plain,
    /// Once. Zero is a value.
    Pointer,
    /// Any number of times.
    List,
    /// Entries of a map.
    Map,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Boolean,
    Integer,
    Double,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    RawJson,
    Message(&'static str),
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// JSON name; empty when the message's fields are inlined.
    pub name: &'static str,
    pub label: Label,
    pub r#type: Type,
}

/// Fields by number.
pub(super) type Message = HashMap<u32, Field>;

fn messages() -> &'static HashMap<&'static str, Message> {
    static MESSAGES: OnceLock<HashMap<&'static str, Message>> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once(": ")).map(|(name, fields)| (name, parse(fields))).collect()
    })
}

fn parse(fields: &'static str) -> Message {
    fields.split(' ').filter_map(field).collect()
}

fn field(text: &'static str) -> Option<(u32, Field)> {
    let (name, rest) = text.split_once('=')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = rest.split_at(digits);
    let (label, kind) = match rest.chars().next()? {
        '*' => (Label::List, &rest[1..]),
        '%' => (Label::Map, &rest[1..]),
        '?' => (Label::Pointer, &rest[1..]),
        _ => (Label::Plain, rest),
    };
    let r#type = match kind {
        "s" => Type::Text,
        "b" => Type::Boolean,
        "i" => Type::Integer,
        "d" => Type::Double,
        "y" => Type::Bytes,
        "T" => Type::Time,
        "M" => Type::MicroTime,
        "q" => Type::Quantity,
        "n" => Type::IntOrString,
        "r" => Type::RawJson,
        message => Type::Message(message),
    };
    let name = if name == "+" { "" } else { name };
    Some((number.parse().ok()?, Field { name, label, r#type }))
}

/// A message by its name in the table.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    messages().get(name)
}

/// The message of a kind.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    let group = api_version.split_once('/').map_or("core", |(group, _)| group);
    let package = group.split('.').next().unwrap_or_default();
    message(kind).or_else(|| message(&format!("{package}.{kind}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(messages().len(), lines);
        for (name, fields) in messages() {
            for field in fields.values() {
                if let Type::Message(inner) = field.r#type {
                    assert!(message(inner).is_some(), "{name}.{} is a {inner}, which is missing", field.name);
                }
            }
        }
    }

    #[test]
    fn every_kind_that_is_served_has_a_message() {
        for row in crate::resources::rows() {
            assert!(of_kind(&row.api_version(), &row.kind).is_some(), "{}", row.kind);
        }
        for kind in ["Scale", "Eviction", "DeleteOptions"] {
            assert!(of_kind("v1", kind).is_some(), "{kind}");
        }
    }
}
