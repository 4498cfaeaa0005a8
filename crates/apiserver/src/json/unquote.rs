//! The text of a JSON string, as lenient as Go's decoder is about what is no text.

use std::{borrow::Cow, iter};

/// The text of what stands between the quotes. What is no UTF-8, and halves of surrogate pairs, become U+FFFD.
pub(super) fn unquote(raw: &[u8], escaped: bool) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) if !escaped => Cow::Borrowed(text),
        _ => Cow::Owned(decode(raw)),
    }
}

fn decode(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        push_lossy(&mut text, &rest[..plain]);
        rest = escape(&rest[plain..], &mut text);
    }
    text
}

/// Every byte at fault becomes a replacement, as in Go; `from_utf8_lossy` replaces several by one.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
    }
}

/// Reads an escape, if one begins here, and returns what follows.
fn escape<'a>(text: &'a [u8], out: &mut String) -> &'a [u8] {
    let (letter, rest) = match text {
        [b'\\', letter, rest @ ..] => (*letter, rest),
        _ => return &[],
    };
    if letter == b'u' {
        return code_point(rest, out);
    }
    out.push(match letter {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(other),
    });
    rest
}

/// Behind `\u`.
fn code_point<'a>(text: &'a [u8], out: &mut String) -> &'a [u8] {
    let Some((unit, rest)) = code_unit(text) else { return &[] };
    if let Some(low) = rest.strip_prefix(b"\\u").and_then(code_unit)
        && let Some(Ok(pair)) = char::decode_utf16([unit, low.0]).next()
        && pair.len_utf16() == 2
    {
        out.push(pair);
        return low.1;
    }
    out.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

fn code_unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::unquote;

    #[test]
    fn what_is_no_text_is_replaced() {
        let cases: [(&[u8], &str); 8] = [
            (br"a\n\u00e9\/\\", "a\n\u{e9}/\\"),
            (br"\ud83d\ude00", "\u{1f600}"),
            (br"\ud800", "\u{fffd}"),
            (br"\ud800\u0041", "\u{fffd}A"),
            (br"\ud800\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (br"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (b"\xffa", "\u{fffd}a"),
            (b"\xe2\x82", "\u{fffd}\u{fffd}"),
        ];
        for (raw, text) in cases {
            assert_eq!(unquote(raw, raw.contains(&b'\\')), text);
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(text in ".*") {
            let quoted = serde_json::to_string(&text).unwrap();
            let raw = &quoted.as_bytes()[1..quoted.len() - 1];
            prop_assert_eq!(unquote(raw, raw.contains(&b'\\')), text);
        }

        #[test]
        fn nothing_panics(raw in prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'u'), Just(b'd'), any::<u8>()], 0..24)) {
            prop_assert!(unquote(&raw, true).len() <= 3 * raw.len());
        }
    }
}
