//! Regular expressions: Go's syntax, matched in linear time.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::{Call, Library, Row, no_overload};
use crate::{
    cost,
    value::{Error, Value},
};

/// A regular expression that was understood.
pub(crate) type Pattern = Arc<Regex>;

/// How large a compiled expression may be, in bytes, and what compiling one during an evaluation takes of its work: its
/// cost in cel-go's units is next to nothing. The first is enough for nearly all.
const SIZES: [(usize, u64); 2] = [(1 << 15, 10_000), (1 << 20, 1_000_000)];
/// So many computed expressions are kept during one evaluation.
const KEPT: usize = 32;

/// Kubernetes' functions on regular expressions.
pub const REGEX: Library = Library(&[
    Row { name: "find", function: find, declarations: &["string.(string) -> string"] },
    Row {
        name: "findAll",
        function: find_all,
        declarations: &["string.(string) -> list(string)", "string.(string, int) -> list(string)"],
    },
]);

/// A regular expression in Go's syntax, for those who match with no expression around.
#[derive(Clone, Debug)]
pub struct Regexp(Pattern);

impl Regexp {
    /// Understands a text.
    ///
    /// # Errors
    /// When it is no regular expression, or would be too large when it is compiled.
    pub fn new(text: &str) -> Result<Self, Error> {
        pattern(text).map(Self)
    }

    /// Whether it is found in a text. Takes time in proportion to the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Understands a regular expression of Go's.
pub(crate) fn pattern(text: &str) -> Result<Pattern, Error> {
    compile(text, |_| Ok(()))
}

/// Whether it is no regular expression.
pub(crate) fn invalid_pattern(text: &str) -> bool {
    pattern(text).is_err()
}

/// Compiles it after `before` was told what it takes.
fn compile(text: &str, before: impl Fn(u64) -> Result<(), Error>) -> Result<Pattern, Error> {
    let translated = translate(text);
    for (size, work) in SIZES {
        before(work)?;
        match RegexBuilder::new(&translated).size_limit(size).dfa_size_limit(size).build() {
            Ok(regex) => return Ok(Arc::new(regex)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => break,
        }
    }
    Err(Error::new(format!("error parsing regexp: {text:?}")))
}

/// The regular expression, if looking for it in the text can be paid for.
fn affordable(call: &Call<'_>, text: &str, pattern: &str) -> Result<Pattern, Error> {
    let size = |text: &str| text.chars().count() as u64;
    call.meter.afford(cost::regex(size(text), size(pattern)))?;
    compiled(call, pattern)
}

fn compiled(call: &Call<'_>, text: &str) -> Result<Pattern, Error> {
    if let Some(pattern) = call.pattern {
        return Ok(pattern.clone());
    }
    if let Some(pattern) = call.patterns.borrow().get(text) {
        return Ok(pattern.clone());
    }
    let compiled = compile(text, |work| call.meter.work(work))?;
    let mut kept = call.patterns.borrow_mut();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(text.to_owned(), compiled.clone());
    Ok(compiled)
}

pub(super) fn matches<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text), Value::String(pattern)] => {
            Ok(Value::Bool(affordable(call, text, pattern)?.is_match(text)))
        }
        _ => no_overload(),
    }
}

fn find<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text), Value::String(pattern)] => {
            let pattern = affordable(call, text, pattern)?;
            Ok(Value::string(pattern.find(text).map_or("", |found| found.as_str())))
        }
        _ => no_overload(),
    }
}

fn find_all<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, pattern, limit) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(limit)] => (text, pattern, *limit),
        _ => return no_overload(),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    call.meter.work(4 * text.len() as u64)?;
    let pattern = affordable(call, text, pattern)?;
    Ok(Value::list(pattern.find_iter(text).take(limit).map(|found| Value::string(found.as_str())).collect()))
}

/// Go's syntax in that of the `regex` crate: `\d`, `\w`, `\s` and `\b` mean ASCII, `\Q…\E` is literal, `{` that begins no
/// number of repetitions and `[`, `&`, `~` within brackets are themselves.
fn translate(pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut within = false;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '\\' => length = escape(rest, within, &mut result),
            '[' if within && !rest.starts_with("[:") => result.push_str("\\["),
            '[' if within => {
                length = rest.find(":]").map_or(1, |end| end + 2);
                result.push_str(&rest[..length]);
            }
            '[' => {
                within = true;
                length = 1 + usize::from(rest[1..].starts_with('^'));
                result.push_str(&rest[..length]);
                if rest[length..].starts_with(']') {
                    result.push_str("\\]");
                    length += 1;
                }
            }
            ']' if within => {
                within = false;
                result.push(']');
            }
            '&' | '~' if within => result.extend(['\\', first]),
            '{' if !within && !repetition(rest) => result.push_str("\\{"),
            other => result.push(other),
        }
        rest = &rest[length..];
    }
    result
}

/// Writes what is after a backslash, and returns how much was read.
fn escape(text: &str, within: bool, result: &mut String) -> usize {
    let Some(escaped) = text[1..].chars().next() else {
        result.push('\\');
        return 1;
    };
    let plain = match escaped {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'b' if !within => "(?-u:\\b)",
        'B' if !within => "(?-u:\\B)",
        'Q' => {
            let literal = text[2..].split("\\E").next().unwrap_or_default();
            result.push_str(&regex::escape(literal));
            return (2 + literal.len() + 2).min(text.len());
        }
        _ => "",
    };
    let length = 1 + escaped.len_utf8();
    result.push_str(if plain.is_empty() { &text[..length] } else { plain });
    length
}

/// `{3}`, `{3,}`, `{3,5}`
fn repetition(text: &str) -> bool {
    let Some((inside, _)) = text[1..].split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (text, matching, other) in [
            (r"^\d+$", "12", "١٢"),
            (r"^[\w-]+$", "a-b", "é"),
            (r"\bb", "a b", "ab"),
            (r"^\Qa.b\E$", "a.b", "acb"),
            (r"^{a}$", "{a}", "a"),
            (r"^[a[&&b]+$", "[&", "c"),
            (r"^[]a]$", "]", "b"),
            (r"^[[:alpha:]]{2,}$", "ab", "a"),
            (r"(?i)^É$", "é", "e"),
        ] {
            let compiled = pattern(text).unwrap();
            assert!(compiled.is_match(matching), "{text} {matching}");
            assert!(!compiled.is_match(other), "{text} {other}");
        }
        assert!(invalid_pattern("(") && invalid_pattern("(a{1000}){1000}"));
    }
}
