//! Text to tokens.

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub kind: Kind,
    /// As it is written.
    pub text: &'a str,
    /// Where it begins, in bytes.
    pub at: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident,
    /// A field's name between backticks.
    Quoted,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    /// Operators, brackets, and the words `true`, `false`, `null` and `in`.
    Symbol,
    End,
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%",
    "<", ">",
];
const WORDS: [&str; 4] = ["true", "false", "null", "in"];

/// The next token and what is after it.
///
/// # Errors
/// The piece at which no token begins.
pub(crate) fn next(text: &str, from: usize) -> Result<(Token<'_>, usize), Token<'_>> {
    let start = from + blank(&text[from..]);
    let rest = &text[start..];
    let at = u32::try_from(start).unwrap_or(u32::MAX);
    let token = |kind, length: usize| Ok((Token { kind, text: &rest[..length], at }, start + length));
    let Some(first) = rest.chars().next() else { return token(Kind::End, 0) };
    if let Some((kind, length)) = literal(rest) {
        return token(kind, length);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        return token(if WORDS.contains(&&rest[..length]) { Kind::Symbol } else { Kind::Ident }, length);
    }
    if first == '`' {
        let inside = |c: char| !c.is_ascii_alphanumeric() && !"_.-/ ".contains(c);
        if let Some(length) = rest[1..].find(inside).filter(|&length| length > 0 && rest[1 + length..].starts_with('`'))
        {
            return token(Kind::Quoted, length + 2);
        }
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => token(Kind::Symbol, symbol.len()),
        None => Err(Token { kind: Kind::End, text: &rest[..first.len_utf8()], at }),
    }
}

/// How long white space and comments are.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
        if !rest.starts_with("//") {
            return text.len() - rest.len();
        }
        rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
    }
}

fn literal(text: &str) -> Option<(Kind, usize)> {
    number(text).or_else(|| quoted(text))
}

fn number(text: &str) -> Option<(Kind, usize)> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let hex = text.strip_prefix("0x").map_or(0, |text| text.bytes().take_while(u8::is_ascii_hexdigit).count());
    if hex > 0 {
        return Some(integer(text, 2 + hex));
    }
    let whole = digits(0);
    let mut end = whole;
    let fraction = if text[end..].starts_with('.') { digits(end + 1) } else { 0 };
    if fraction > 0 {
        end += 1 + fraction;
    }
    if end == 0 {
        return None;
    }
    let exponent = text[end..].starts_with(['e', 'E']).then(|| {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        (digits(end + 1 + sign), 1 + sign)
    });
    match exponent {
        Some((length @ 1.., before)) => Some((Kind::Double, end + before + length)),
        _ if fraction > 0 => Some((Kind::Double, end)),
        _ => Some(integer(text, end)),
    }
}

fn integer(text: &str, end: usize) -> (Kind, usize) {
    if text[end..].starts_with(['u', 'U']) { (Kind::Uint, end + 1) } else { (Kind::Int, end) }
}

/// A string or bytes with their prefixes and quotes.
fn quoted(text: &str) -> Option<(Kind, usize)> {
    let bytes = text.starts_with(['b', 'B']);
    let after = usize::from(bytes);
    let raw = text[after..].starts_with(['r', 'R']);
    let start = after + usize::from(raw);
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text[start..].starts_with(quote))?;
    let mut at = start + quote.len();
    loop {
        let rest = &text[at..];
        if rest.starts_with(quote) {
            return Some((if bytes { Kind::Bytes } else { Kind::String }, at + quote.len()));
        }
        let next = rest.chars().next()?;
        if quote.len() == 1 && matches!(next, '\n' | '\r') {
            return None;
        }
        at += next.len_utf8();
        if next == '\\' && !raw {
            at += text[at..].chars().next()?.len_utf8();
        }
    }
}
