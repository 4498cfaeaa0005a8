//! Functions on strings. Positions are those of characters.

use super::{Call, Library, Row, format, lists, no_overload};
use crate::value::{Error, Value};

/// cel-go's extension, version 2, which is what Kubernetes has.
pub const STRINGS: Library = Library(&[
    Row { name: "charAt", function: char_at, declarations: &["string.(int) -> string"] },
    Row {
        name: "indexOf",
        function: lists::index_of,
        declarations: &["string.(string) -> int", "string.(string, int) -> int"],
    },
    Row {
        name: "lastIndexOf",
        function: lists::index_of,
        declarations: &["string.(string) -> int", "string.(string, int) -> int"],
    },
    Row {
        name: "join",
        function: join,
        declarations: &["list(string).() -> string", "list(string).(string) -> string"],
    },
    Row { name: "lowerAscii", function: lower, declarations: &["string.() -> string"] },
    Row { name: "upperAscii", function: upper, declarations: &["string.() -> string"] },
    Row {
        name: "replace",
        function: replace,
        declarations: &["string.(string, string) -> string", "string.(string, string, int) -> string"],
    },
    Row {
        name: "split",
        function: split,
        declarations: &["string.(string) -> list(string)", "string.(string, int) -> list(string)"],
    },
    Row {
        name: "substring",
        function: substring,
        declarations: &["string.(int) -> string", "string.(int, int) -> string"],
    },
    Row { name: "trim", function: trim, declarations: &["string.() -> string"] },
    Row { name: "format", function: format::format, declarations: &["string.(list(dyn)) -> string"] },
    Row { name: "strings.quote", function: quote, declarations: &["(string) -> string"] },
]);

/// What version 3 adds.
pub const REVERSE: Library =
    Library(&[Row { name: "reverse", function: reverse, declarations: &["string.() -> string"] }]);

fn out_of_range(index: i64) -> Error {
    Error::new(format!("index out of range: {index}"))
}

/// Where a character begins, in bytes; also the end of the text.
fn offset(text: &str, index: i64) -> Result<usize, Error> {
    let wanted = usize::try_from(index).map_err(|_| out_of_range(index))?;
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().nth(wanted).ok_or_else(|| out_of_range(index))
}

fn characters(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn char_at<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(text), Value::Int(index)] = args else { return no_overload() };
    let at = offset(text, *index)?;
    Ok(Value::string(text[at..].chars().next().map(String::from).unwrap_or_default()))
}

pub(super) fn index_of<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, Some(*from)),
        _ => return no_overload(),
    };
    let found = if call.name == "indexOf" {
        let from = offset(text, from.unwrap_or(0))?;
        text[from..].find(&**part).map(|at| from + at)
    } else {
        // What begins there at the latest ends so much later.
        let until = from.map_or(Ok(text.len()), |from| Ok(offset(text, from)?.saturating_add(part.len())))?;
        text[..text.floor_char_boundary(until)].rfind(&**part)
    };
    Ok(Value::Int(found.map_or(-1, |at| characters(&text[..at]))))
}

fn join<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return no_overload(),
    };
    let mut joined = String::new();
    for (index, element) in list.iter().enumerate() {
        let Value::String(text) = element else { return no_overload() };
        call.meter.work((separator.len() + text.len()) as u64)?;
        joined.push_str(if index == 0 { "" } else { separator });
        joined.push_str(&text);
    }
    Ok(Value::string(joined))
}

fn lower<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::string(text.to_ascii_lowercase())),
        _ => no_overload(),
    }
}

fn upper<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::string(text.to_ascii_uppercase())),
        _ => no_overload(),
    }
}

fn replace<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, old, new, limit) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(limit)] => (text, old, new, *limit),
        _ => return no_overload(),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let count = text.matches(&**old).take(limit).count();
    call.meter.work((text.len() as u64).saturating_add((count as u64).saturating_mul(new.len() as u64)))?;
    Ok(Value::string(text.replacen(&**old, new, limit)))
}

fn split<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, separator, limit) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(limit)] => (text, separator, *limit),
        _ => return no_overload(),
    };
    call.meter.work(4 * text.len() as u64)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Value::list(pieces(text, separator, limit).into_iter().map(Value::string).collect()))
}

/// As Go's `strings.SplitN`: at most so many, the last with all that remains; without a separator, the characters.
fn pieces<'t>(text: &'t str, separator: &str, limit: usize) -> Vec<&'t str> {
    match (limit, separator) {
        (0, _) => Vec::new(),
        (_, "") => {
            let mut pieces = Vec::new();
            let mut rest = text;
            while let Some(first) = rest.chars().next() {
                if pieces.len() + 1 == limit {
                    pieces.push(rest);
                    break;
                }
                let (piece, after) = rest.split_at(first.len_utf8());
                pieces.push(piece);
                rest = after;
            }
            pieces
        }
        _ => text.splitn(limit, separator).collect(),
    }
}

fn substring<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return no_overload(),
    };
    if let Some(end) = end
        && start > end
    {
        return Err(Error::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let from = offset(text, start)?;
    let to = end.map_or(Ok(text.len()), |end| offset(text, end))?;
    Ok(Value::string(&text[from..to]))
}

fn trim<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::string(text.trim())),
        _ => no_overload(),
    }
}

fn reverse<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::string(text.chars().rev().collect::<String>())),
        _ => no_overload(),
    }
}

fn quote<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(text)] = args else { return no_overload() };
    call.meter.work(2 * text.len() as u64)?;
    let mut quoted = String::from("\"");
    for character in text.chars() {
        let escaped = match character {
            '\x07' => 'a',
            '\x08' => 'b',
            '\x0c' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\x0b' => 'v',
            '\\' | '"' => character,
            other => {
                quoted.push(other);
                continue;
            }
        };
        quoted.extend(['\\', escaped]);
    }
    quoted.push('"');
    Ok(Value::string(quoted))
}
