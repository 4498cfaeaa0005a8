//! What numbers, strings and bytes stand for.

use std::sync::Arc;

use super::token::{Kind, Token};
use crate::ast::Literal;

/// The value of a token.
///
/// # Errors
/// Why it has none.
pub(crate) fn literal(token: &Token<'_>, negative: bool) -> Result<Literal, String> {
    match token.kind {
        Kind::Int => int(token.text, negative).map(Literal::Int).ok_or_else(|| "invalid int literal".to_owned()),
        Kind::Uint => {
            let digits = &token.text[..token.text.len() - 1];
            let (digits, radix) = radix(digits);
            u64::from_str_radix(digits, radix).map(Literal::Uint).map_err(|_| "invalid uint literal".to_owned())
        }
        Kind::Double => match token.text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Literal::Double(if negative { -number } else { number })),
            _ => Err("invalid double literal".to_owned()),
        },
        Kind::Bytes => unquote(&token.text[1..], Mode::Bytes).map(|bytes| Literal::Bytes(bytes.into())),
        _ => string(token.text).map(Literal::String),
    }
}

/// The text of a string with its quotes.
fn string(text: &str) -> Result<Arc<str>, String> {
    let bytes = unquote(text, Mode::Text)?;
    String::from_utf8(bytes).map(Into::into).map_err(|_| "invalid UTF-8".to_owned())
}

fn radix(digits: &str) -> (&str, u32) {
    digits.strip_prefix("0x").map_or((digits, 10), |hex| (hex, 16))
}

fn int(text: &str, negative: bool) -> Option<i64> {
    let (digits, radix) = radix(text);
    let amount = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -amount } else { amount }).ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Text,
    Bytes,
}

fn unquote(text: &str, mode: Mode) -> Result<Vec<u8>, String> {
    let raw = text.starts_with(['r', 'R']);
    let text = &text[usize::from(raw)..];
    let quote = if text.len() >= 6 && (text.starts_with("\"\"\"") || text.starts_with("'''")) { 3 } else { 1 };
    let inside = text[quote..text.len() - quote].replace("\r\n", "\n").replace('\r', "\n");
    if raw {
        return Ok(inside.into_bytes());
    }
    let mut result = Vec::with_capacity(inside.len());
    let mut rest = inside.as_str();
    while let Some(backslash) = rest.find('\\') {
        result.extend_from_slice(&rest.as_bytes()[..backslash]);
        rest = escape(&rest[backslash + 1..], mode, &mut result)?;
    }
    result.extend_from_slice(rest.as_bytes());
    Ok(result)
}

/// Writes what is meant, and returns what comes after it.
fn escape<'a>(text: &'a str, mode: Mode, result: &mut Vec<u8>) -> Result<&'a str, String> {
    let first = text.chars().next().ok_or("unable to unescape string, found '\\' as last character")?;
    let simple = match first {
        'a' => Some(b'\x07'),
        'b' => Some(b'\x08'),
        'f' => Some(b'\x0c'),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(b'\x0b'),
        '\\' | '\'' | '"' | '`' | '?' => u8::try_from(first).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        result.push(byte);
        return Ok(&text[1..]);
    }
    let (skip, length, radix) = match (first, mode) {
        ('x' | 'X', _) => (1, 2, 16),
        ('u', Mode::Text) => (1, 4, 16),
        ('U', Mode::Text) => (1, 8, 16),
        ('0'..='3', _) => (0, 3, 8),
        _ => return Err("unable to unescape string".to_owned()),
    };
    let code = text
        .get(skip..skip + length)
        .filter(|digits| digits.chars().all(|digit| digit.is_digit(radix)))
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
        .ok_or("unable to unescape string")?;
    match mode {
        Mode::Bytes => result.push(u8::try_from(code).map_err(|_| "unable to unescape string")?),
        Mode::Text => {
            let character = char::from_u32(code).ok_or("invalid unicode code point")?;
            result.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(&text[skip + length..])
}
