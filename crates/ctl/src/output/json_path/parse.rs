//! Reading templates.

use serde_json::Value;

use super::{Comparison, Filter, Node, Path, Slice, Step};

/// So deep expressions are nested in each other at most: in brackets, filters and ranges.
const DEEPEST: usize = 32;

/// Longer signs come first where one begins like another.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Reads a template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    let mut ranges: Vec<(Path, Vec<Node>)> = Vec::new();
    let mut nodes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        push_text(&mut nodes, before);
        let end = closing(after, b'{', b'}').ok_or("unclosed action")?;
        let (inside, left) = (&after[..end], &after[end + 1..]);
        rest = left;
        match action(inside)? {
            Action::Nodes(inner) => nodes.extend(inner),
            Action::Range(path) if ranges.len() < DEEPEST => ranges.push((path, std::mem::take(&mut nodes))),
            Action::Range(_) => return Err("ranges are nested too deep".to_owned()),
            Action::End => {
                let Some(range) = ranges.pop() else {
                    nodes.push(Node::End);
                    continue;
                };
                close(range, &mut nodes);
            }
        }
    }
    push_text(&mut nodes, rest);
    // What is not ended ends with the template.
    while let Some(range) = ranges.pop() {
        close(range, &mut nodes);
    }
    Ok(nodes)
}

/// The nodes since a range began become the range's.
fn close((path, outer): (Path, Vec<Node>), nodes: &mut Vec<Node>) {
    let inner = std::mem::replace(nodes, outer);
    nodes.push(Node::Range(path, inner));
}

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.to_owned()));
    }
}

/// What stands in braces.
enum Action {
    Nodes(Vec<Node>),
    Range(Path),
    End,
}

fn action(text: &str) -> Result<Action, String> {
    let text = text.trim();
    if text == "end" {
        return Ok(Action::End);
    }
    if let Some(path) =
        text.strip_prefix("range").filter(|rest| rest.starts_with([' ', '\t', '\n', '.', '[', '$', '@']))
    {
        return Ok(Action::Range(path_of(path, 0)?));
    }
    let mut nodes = Vec::new();
    for step in steps(text, 0)? {
        match (step, nodes.last_mut()) {
            (Step::Literal(Value::String(text)), _) => nodes.push(Node::Text(text)),
            (step, Some(Node::Path(path))) => path.0.push(step),
            (step, _) => nodes.push(Node::Path(Path(vec![step]))),
        }
    }
    if nodes.is_empty() {
        // The value itself: `{@}`.
        nodes.push(Node::Path(Path::default()));
    }
    Ok(Action::Nodes(nodes))
}

fn path_of(text: &str, depth: usize) -> Result<Path, String> {
    Ok(Path(steps(text, depth)?))
}

fn steps(text: &str, depth: usize) -> Result<Vec<Step>, String> {
    if depth > DEEPEST {
        return Err("the expression is nested too deep".to_owned());
    }
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            ' ' | '\t' | '\n' | '\r' | '@' | '$' => after,
            '"' | '\'' => literal_text(first, after, &mut steps)?,
            '[' => subscript(after, depth, &mut steps)?,
            '.' if after.starts_with('.') => {
                steps.push(Step::Everything);
                // The dot that is left leads to a field, unless a bracket follows.
                if after[1..].starts_with('[') { &after[1..] } else { after }
            }
            '.' => field(after, &mut steps)?,
            '0'..='9' | '-' | '+' => number(rest, &mut steps)?,
            first if first.is_alphabetic() || first == '_' => word(rest, &mut steps)?,
            first => return Err(format!("unrecognized character in action: U+{:04X} '{first}'", u32::from(first))),
        };
    }
    Ok(steps)
}

fn literal_text<'t>(quote: char, text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, String> {
    let end = unescaped(text, quote).ok_or("unterminated quoted string")?;
    steps.push(Step::Literal(unquote(&text[..end]).into()));
    Ok(&text[end + 1..])
}

/// Where the first of these letters is that no backslash stands before.
fn unescaped(text: &str, wanted: char) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            letter if letter == wanted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Text without its escapes, which are Go's; others stay as they are.
fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('x') => out.extend(by_number(&mut letters, 2)),
            Some('u') => out.extend(by_number(&mut letters, 4)),
            Some('U') => out.extend(by_number(&mut letters, 8)),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// The letter of a hexadecimal number with so many digits.
fn by_number(letters: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let number: String = letters.by_ref().take(digits).collect();
    char::from_u32(u32::from_str_radix(&number, 16).ok()?)
}

/// Where the bracket ends that is open; brackets within quotes are text.
fn closing(text: &str, open: u8, close: u8) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (_, b'\\') => drop(bytes.next()),
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, byte) if byte == open => depth += 1,
            (None, byte) if byte == close && depth == 0 => return Some(at),
            (None, byte) if byte == close => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn field<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, String> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let mut end = text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            letter if ends_name(letter) => {
                end = at;
                break;
            }
            letter => name.push(letter),
        }
    }
    match name.as_str() {
        "" => {}
        "*" => steps.push(Step::All),
        _ => steps.push(Step::Field(name)),
    }
    Ok(&text[end..])
}

fn ends_name(letter: char) -> bool {
    letter.is_whitespace() || ".,[]$@{}()=!<>\"'".contains(letter)
}

fn number<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, String> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || "+-.eE".contains(letter))).unwrap_or(text.len());
    let digits = text[..end].trim_start_matches('+');
    let value: Value = serde_json::from_str(digits).map_err(|_| format!("cannot parse number {}", &text[..end]))?;
    steps.push(Step::Literal(value));
    Ok(&text[end..])
}

fn word<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, String> {
    let end = text.find(ends_name).unwrap_or(text.len());
    match &text[..end] {
        "true" => steps.push(Step::Literal(true.into())),
        "false" => steps.push(Step::Literal(false.into())),
        "nil" | "null" => steps.push(Step::Literal(Value::Null)),
        other => steps.push(Step::Unknown(other.to_owned())),
    }
    Ok(&text[end..])
}

fn subscript<'t>(text: &'t str, depth: usize, steps: &mut Vec<Step>) -> Result<&'t str, String> {
    let end = closing(text, b'[', b']').ok_or("unterminated array")?;
    let (inside, rest) = (text[..end].trim(), &text[end + 1..]);
    if let Some(condition) = inside.strip_prefix("?(") {
        let condition = condition.strip_suffix(')').ok_or("unterminated filter")?;
        steps.push(Step::Filter(filter(condition, depth + 1)?));
        return Ok(rest);
    }
    let mut alternatives = Vec::new();
    for part in parts(inside) {
        alternatives.push(element(part.trim(), depth)?);
    }
    match <[Step; 1]>::try_from(alternatives) {
        Ok([only]) => steps.push(only),
        Err(several) => steps.push(Step::Union(several.into_iter().map(|step| Path(vec![step])).collect())),
    }
    Ok(rest)
}

/// Separated by commas outside of quotes.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, ',') => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn element(text: &str, depth: usize) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::Slice(Slice { from: None, to: Some(None), step: None }));
    }
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
        return Ok(Step::Field(unquote(name)));
    }
    if let Some(slice) = slice(text) {
        return Ok(Step::Slice(slice));
    }
    // A path within brackets finds values of its own.
    match path_of(text, depth + 1) {
        Ok(path) if text.starts_with(['.', '@', '$']) => Ok(Step::Union(vec![path])),
        _ => Err(format!("invalid array index {text}")),
    }
}

fn slice(text: &str) -> Option<Slice> {
    let mut bounds = text.split(':').map(|bound| match bound {
        "" => Some(None),
        bound => bound.parse::<i64>().ok().map(Some),
    });
    let from = bounds.next()??;
    let to = match bounds.next() {
        Some(to) => Some(to?),
        None if from.is_none() => return None,
        None => None,
    };
    let step = bounds.next().unwrap_or(Some(None))?;
    bounds.next().is_none().then_some(Slice { from, to, step })
}

fn filter(condition: &str, depth: usize) -> Result<Filter, String> {
    let sign = (0..condition.len()).filter(|at| condition.is_char_boundary(*at)).find_map(|at| {
        let found = COMPARISONS.iter().find(|(sign, _)| condition[at..].starts_with(sign))?;
        is_outside(&condition[..at]).then_some((at, found))
    });
    match sign {
        None => Ok(Filter { left: path_of(condition, depth)?, right: None }),
        Some((at, (sign, comparison))) => {
            let right = path_of(&condition[at + sign.len()..], depth)?;
            Ok(Filter { left: path_of(&condition[..at], depth)?, right: Some((*comparison, right)) })
        }
    }
}

/// Whether all quotes and brackets of a text are closed.
fn is_outside(text: &str) -> bool {
    let mut quote = None;
    let mut depth = 0_i64;
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth -= 1,
            (None, _) => {}
        }
    }
    quote.is_none() && depth == 0
}
