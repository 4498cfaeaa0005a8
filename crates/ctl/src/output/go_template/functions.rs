//! The functions of templates: Go's, and kubectl's `exists` and `base64decode`.

use std::cmp::Ordering;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::evaluate::is_true;
use crate::output::go;

/// So much a number in a template may ask for: elements, columns, digits.
pub(super) const MOST: usize = 1 << 20;

type Function = fn(&[Value]) -> Result<Value, String>;

const FUNCTIONS: &[(&str, Function)] = &[
    ("base64decode", base64decode),
    ("eq", |values| compare_any(values)),
    ("exists", exists),
    ("ge", |values| compare(values, Ordering::is_ge)),
    ("gt", |values| compare(values, Ordering::is_gt)),
    ("html", |values| Ok(escape(&print(values), html).into())),
    ("index", index),
    ("js", |values| Ok(escape(&print(values), js).into())),
    ("le", |values| compare(values, Ordering::is_le)),
    ("len", len),
    ("lt", |values| compare(values, Ordering::is_lt)),
    ("ne", |values| compare(values, Ordering::is_ne)),
    ("not", |values| Ok((!values.first().is_some_and(is_true)).into())),
    ("print", |values| Ok(print(values).into())),
    ("printf", printf),
    ("println", |values| Ok(format!("{}\n", joined(values)).into())),
    ("slice", slice),
    ("urlquery", |values| Ok(form_urlencoded::byte_serialize(print(values).as_bytes()).collect::<String>().into())),
];

/// Whether there is a function of this name.
pub(super) fn is_one(name: &str) -> bool {
    stops_at(name).is_some() || FUNCTIONS.iter().any(|(known, _)| *known == name)
}

/// At which truth `and` and `or` look no further.
pub(super) fn stops_at(name: &str) -> Option<bool> {
    match name {
        "and" => Some(false),
        "or" => Some(true),
        _ => None,
    }
}

/// Calls a function.
pub(super) fn call(name: &str, values: &[Value]) -> Result<Value, String> {
    match FUNCTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, function)) => function(values),
        None => Err("there is no such function".to_owned()),
    }
}

fn first(values: &[Value]) -> Result<&Value, String> {
    values.first().ok_or_else(|| "wrong number of args: want at least 1 got 0".to_owned())
}

fn base64decode(values: &[Value]) -> Result<Value, String> {
    let decoded =
        STANDARD.decode(go::printed(first(values)?)).map_err(|error| format!("base64 decode failed: {error}"))?;
    Ok(String::from_utf8_lossy(&decoded).into_owned().into())
}

fn exists(values: &[Value]) -> Result<Value, String> {
    let (mut found, keys) = values.split_first().ok_or("wrong number of args")?;
    for key in keys {
        match element(found, key) {
            Ok(Some(inner)) => found = inner,
            _ => return Ok(false.into()),
        }
    }
    Ok(true.into())
}

fn index(values: &[Value]) -> Result<Value, String> {
    let (mut found, keys) = values.split_first().ok_or("wrong number of args")?;
    for key in keys {
        match element(found, key)? {
            Some(inner) => found = inner,
            None => return Ok(Value::Null),
        }
    }
    Ok(found.clone())
}

fn element<'v>(of: &'v Value, key: &Value) -> Result<Option<&'v Value>, String> {
    match (of, key) {
        (Value::Object(members), Value::String(name)) => Ok(members.get(name)),
        (Value::Array(items), Value::Number(at)) => {
            let place = at.as_u64().and_then(|at| usize::try_from(at).ok()).and_then(|at| items.get(at));
            place.map(Some).ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Null, _) => Err("index of untyped nil".to_owned()),
        (of, _) => Err(format!("can't index item of type {}", go::kind(of))),
    }
}

fn len(values: &[Value]) -> Result<Value, String> {
    match first(values)? {
        Value::String(text) => Ok(text.len().into()),
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(members) => Ok(members.len().into()),
        Value::Null => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", go::kind(other))),
    }
}

fn slice(values: &[Value]) -> Result<Value, String> {
    let (of, bounds) = values.split_first().ok_or("wrong number of args")?;
    let length = len(std::slice::from_ref(of))?.as_u64().unwrap_or(0);
    let bound = |at: usize, usual: u64| match bounds.get(at) {
        None => Ok(usual),
        Some(bound) => {
            bound.as_u64().filter(|bound| *bound <= length).ok_or_else(|| format!("index out of range: {bound}"))
        }
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
    match of {
        Value::String(text) => text.get(range).map(Value::from).ok_or_else(|| "index out of range".to_owned()),
        Value::Array(items) => Ok(items.get(range).unwrap_or_default().to_vec().into()),
        other => Err(format!("can't slice item of type {}", go::kind(other))),
    }
}

fn order(one: &Value, other: &Value) -> Result<Ordering, String> {
    let order = match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64().and_then(|one| one.partial_cmp(&other.as_f64()?)),
        },
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => Some(Ordering::Less),
        _ => None,
    };
    order.ok_or_else(|| "incompatible types for comparison".to_owned())
}

fn compare(values: &[Value], wanted: fn(Ordering) -> bool) -> Result<Value, String> {
    let [one, other] = values else { return Err(format!("wrong number of args: want 2 got {}", values.len())) };
    Ok(wanted(order(one, other)?).into())
}

/// Whether the first is equal to any of the others.
fn compare_any(values: &[Value]) -> Result<Value, String> {
    let (one, others) =
        values.split_first().filter(|(_, others)| !others.is_empty()).ok_or("missing argument for comparison")?;
    for other in others {
        if order(one, other)?.is_eq() {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

/// Spaces stand between values of which neither is a text.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !value.is_string() && !values[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&go::printed(value));
    }
    out
}

fn joined(values: &[Value]) -> String {
    values.iter().map(go::printed).collect::<Vec<_>>().join(" ")
}

fn escape(text: &str, as_what: fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match as_what(letter) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(letter),
        }
    }
    out
}

fn html(letter: char) -> Option<&'static str> {
    Some(match letter {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '"' => "&#34;",
        '\'' => "&#39;",
        _ => return None,
    })
}

fn js(letter: char) -> Option<&'static str> {
    Some(match letter {
        '\\' => "\\\\",
        '\'' => "\\'",
        '"' => "\\\"",
        '<' => "\\u003C",
        '>' => "\\u003E",
        '&' => "\\u0026",
        '=' => "\\u003D",
        '\n' => "\\u000A",
        '\t' => "\\u0009",
        _ => return None,
    })
}

fn printf(values: &[Value]) -> Result<Value, String> {
    let (format, arguments) = values.split_first().ok_or("wrong number of args: want at least 1 got 0")?;
    let format = go::printed(format);
    let mut arguments = arguments.iter();
    let mut out = String::new();
    let mut rest = format.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let end = after.find(|letter: char| !(letter.is_ascii_digit() || "+-# 0.".contains(letter)));
        let Some((end, verb)) = end.and_then(|end| Some((end, after[end..].chars().next()?))) else {
            out.push_str("%!(NOVERB)");
            rest = "";
            continue;
        };
        rest = &after[end + verb.len_utf8()..];
        match (verb, verb != '%') {
            (_, false) => out.push('%'),
            (verb, _) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&padded(&verbatim(verb, value, precision(&after[..end])), &after[..end])),
            },
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = arguments.map(|value| format!("{}={}", go::kind(value), go::printed(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out.into())
}

fn precision(flags: &str) -> Option<usize> {
    let (_, precision) = flags.split_once('.')?;
    Some(precision.parse().unwrap_or(0).min(MOST))
}

/// A value as a verb prints it.
fn verbatim(verb: char, value: &Value, precision: Option<usize>) -> String {
    let cut = |text: String| match precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    match (verb, value) {
        ('v', value) => go::printed(value),
        ('s', Value::String(text)) => cut(text.clone()),
        ('s', Value::Array(_) | Value::Object(_)) => go::printed(value),
        ('q', Value::String(text)) => format!("{text:?}"),
        ('d', Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        ('x', Value::Number(number)) if number.is_i64() => format!("{:x}", number.as_i64().unwrap_or(0)),
        ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f' | 'F', Value::Number(number)) if number.is_f64() => {
            format!("{:.*}", precision.unwrap_or(6).min(64), number.as_f64().unwrap_or(0.0))
        }
        ('g', Value::Number(number)) if number.is_f64() => go::printed(value),
        (verb, Value::Null) => format!("%!{verb}(<nil>)"),
        (verb, value) => format!("%!{verb}({}={})", go::kind(value), go::printed(value)),
    }
}

fn padded(text: &str, flags: &str) -> String {
    let (width, _) = flags.split_once('.').unwrap_or((flags, ""));
    let left = width.contains('-');
    let digits = width.trim_start_matches(['-', '+', '#', ' ']);
    let zeros = digits.starts_with('0') && !left;
    let width = digits.parse::<usize>().unwrap_or(0).min(MOST);
    let missing = width.saturating_sub(text.chars().count());
    let filler = if zeros { "0" } else { " " }.repeat(missing);
    if left { format!("{text}{filler}") } else { format!("{filler}{text}") }
}
