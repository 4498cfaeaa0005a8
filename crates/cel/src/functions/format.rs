//! `'%s is %d'.format([a, b])`

use super::{Call, no_overload};
use crate::value::{Error, Key, Value, shortest, timestamp_text};

/// More digits behind the point than a double has make no sense.
const MOST_DIGITS: usize = 1000;

pub(super) fn format<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(template), Value::List(list)] = args else { return no_overload() };
    let mut result = String::new();
    let mut rest: &str = template;
    let mut used = 0;
    while let Some(percent) = rest.find('%') {
        call.meter.work(percent as u64 + 1)?;
        result.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            result.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(rest)?;
        let verb = after.chars().next().ok_or_else(|| Error::new("unexpected end of string"))?;
        let value = list.get(used).ok_or_else(|| Error::new(format!("index {used} out of range")))?;
        used += 1;
        Writer { call, out: &mut result }.write(verb, precision, &value)?;
        rest = &after[verb.len_utf8()..];
    }
    call.meter.work(rest.len() as u64)?;
    result.push_str(rest);
    Ok(Value::string(result))
}

/// `.3` in front of a verb.
fn precision(text: &str) -> Result<(Option<usize>, &str), Error> {
    let Some(digits) = text.strip_prefix('.') else { return Ok((None, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse().ok().filter(|number| *number <= MOST_DIGITS);
    let number = number.ok_or_else(|| Error::new("could not convert precision to integer"))?;
    Ok((Some(number), &digits[end..]))
}

struct Writer<'w, 'c> {
    call: &'w Call<'c>,
    out: &'w mut String,
}

impl Writer<'_, '_> {
    fn write(&mut self, verb: char, precision: Option<usize>, value: &Value<'_>) -> Result<(), Error> {
        match verb {
            's' => return self.plain(value),
            'd' => match value {
                Value::Int(_) | Value::Uint(_) => return self.plain(value),
                Value::Double(number) if !number.is_finite() => return self.plain(value),
                _ => return Err(unsuitable("%d", "integers", value)),
            },
            _ => {}
        }
        let written = match verb {
            'f' => number(value, "%f")
                .map(|number| not_finite(number).unwrap_or_else(|| format!("{number:.*}", precision.unwrap_or(6)))),
            'e' => number(value, "%e")
                .map(|number| not_finite(number).unwrap_or_else(|| scientific(number, precision.unwrap_or(6)))),
            'b' => match value {
                Value::Bool(value) => Ok(u8::from(*value).to_string()),
                Value::Int(number) => Ok(signed(*number, |amount| format!("{amount:b}"))),
                Value::Uint(number) => Ok(format!("{number:b}")),
                _ => Err(unsuitable("%b", "integers and bools", value)),
            },
            'o' => match value {
                Value::Int(number) => Ok(signed(*number, |amount| format!("{amount:o}"))),
                Value::Uint(number) => Ok(format!("{number:o}")),
                _ => Err(unsuitable("%o", "integers", value)),
            },
            'x' | 'X' => self.hexadecimal(value).map(|text| if verb == 'X' { text.to_uppercase() } else { text }),
            other => Err(Error::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            ))),
        }?;
        self.push(&written)
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.call.meter.work(text.len() as u64 + 1)?;
        self.out.push_str(text);
        Ok(())
    }

    fn hexadecimal(&self, value: &Value<'_>) -> Result<String, Error> {
        let octets = |bytes: &[u8]| {
            self.call.meter.work(2 * bytes.len() as u64)?;
            Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        };
        match value {
            Value::Int(number) => Ok(signed(*number, |amount| format!("{amount:x}"))),
            Value::Uint(number) => Ok(format!("{number:x}")),
            Value::String(text) => octets(text.as_bytes()),
            Value::Bytes(bytes) => octets(bytes),
            _ => Err(unsuitable("%x", "integers, byte buffers, and strings", value)),
        }
    }

    fn plain(&mut self, value: &Value<'_>) -> Result<(), Error> {
        match value {
            Value::Null => self.push("null"),
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Int(number) => self.push(&number.to_string()),
            Value::Uint(number) => self.push(&number.to_string()),
            Value::Double(number) => self.push(&not_finite(*number).unwrap_or_else(|| shortest(*number))),
            Value::String(text) => self.push(text),
            Value::Bytes(bytes) => {
                self.call.meter.work(3 * bytes.len() as u64)?;
                self.push(&String::from_utf8_lossy(bytes))
            }
            Value::Timestamp(time) => self.push(&timestamp_text(*time)),
            Value::Duration(span) => self.push(&span.text()),
            Value::Type(of) => self.push(of.name()),
            Value::List(list) => {
                self.push("[")?;
                for (index, element) in list.iter().enumerate() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.plain(&element)?;
                }
                self.push("]")
            }
            Value::Map(map) => {
                self.push("{")?;
                // By their texts.
                let mut keys: Vec<(String, Key<'_>)> =
                    map.keys().into_iter().map(|key| (key.to_string(), key)).collect();
                keys.sort_by(|(one, _), (two, _)| one.cmp(two));
                for (index, (text, key)) in keys.iter().enumerate() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.push(text)?;
                    self.push(": ")?;
                    self.plain(&map.get(key).unwrap_or(Value::Null))?;
                }
                self.push("}")
            }
            other => Err(unsuitable(
                "%s",
                "strings, bools, integers, unsigned integers, doubles, durations, lists, maps, timestamps, and types",
                other,
            )),
        }
    }
}

fn unsuitable(verb: &str, wanted: &str, value: &Value<'_>) -> Error {
    let name = value.value_type();
    Error::new(format!(
        "error during formatting: {verb} clause can only be used on {wanted}, was given {}",
        name.name()
    ))
}

fn number(value: &Value<'_>, verb: &str) -> Result<f64, Error> {
    match value {
        Value::Double(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Uint(number) => Ok(*number as f64),
        _ => Err(unsuitable(verb, "doubles", value)),
    }
}

fn not_finite(number: f64) -> Option<String> {
    let text = match number {
        number if number.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return None,
    };
    Some(text.to_owned())
}

/// With an exponent of at least two digits.
fn scientific(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let negative = exponent.starts_with('-');
    format!("{mantissa}e{}{:0>2}", if negative { '-' } else { '+' }, exponent.trim_start_matches('-'))
}

fn signed(number: i64, write: impl Fn(u64) -> String) -> String {
    format!("{}{}", if number < 0 { "-" } else { "" }, write(number.unsigned_abs()))
}
