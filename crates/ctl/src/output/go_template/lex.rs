//! Texts and actions of a template, and the words of an action.

/// A part of a template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Text(String),
    /// The line on which an action begins, and its words.
    Action(usize, Vec<Word>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// White space, which tells `.a .b` from `.a.b`.
    Space,
    /// `.name`, or `.` alone.
    Field(String),
    /// `$name`.
    Variable(String),
    Name(String),
    Text(String),
    Number(String),
    /// `(`, `)`, `|`, `,`, `=` and `:=`.
    Sign(&'static str),
}

const SIGNS: [&str; 6] = [":=", "=", "(", ")", "|", ","];

/// Takes a template apart.
pub(super) fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let (mut rest, mut line, mut trim) = (text, 1, false);
    while let Some((before, after)) = rest.split_once("{{") {
        line += before.matches('\n').count();
        let trims_left = after.starts_with('-') && after[1..].starts_with(char::is_whitespace);
        let before = if trim { before.trim_start() } else { before };
        push(&mut items, if trims_left { before.trim_end() } else { before });
        let begun = if trims_left { &after[1..] } else { after };
        let (inside, left) = action(begun).map_err(|why| format!("{line}: {why}"))?;
        let trims_right = inside.ends_with('-') && inside[..inside.len() - 1].ends_with(char::is_whitespace);
        trim = trims_right;
        let inside = if trims_right { &inside[..inside.len() - 1] } else { inside };
        let trimmed = inside.trim();
        if !(trimmed.starts_with("/*") && trimmed.ends_with("*/")) {
            items.push(Item::Action(line, words(inside).map_err(|why| format!("{line}: {why}"))?));
        }
        line += inside.matches('\n').count();
        rest = left;
    }
    push(&mut items, if trim { rest.trim_start() } else { rest });
    Ok(items)
}

fn push(items: &mut Vec<Item>, text: &str) {
    if !text.is_empty() {
        items.push(Item::Text(text.to_owned()));
    }
}

/// An action up to its end, and what follows; braces within quotes and comments are text.
fn action(text: &str) -> Result<(&str, &str), String> {
    let comment = text.trim_start().strip_prefix("/*");
    if let Some(comment) = comment {
        let end = comment.find("*/").ok_or("unclosed comment")?;
        let end = text.len() - comment.len() + end + 2;
        let close = text[end..].find("}}").ok_or("comment ends before closing delimiter")?;
        return Ok((&text[..end + close], &text[end + close + 2..]));
    }
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some('"' | '\''), '\\') => drop(letters.next()),
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(letter),
            (None, '}') if text[at..].starts_with("}}") => return Ok((&text[..at], &text[at + 2..])),
            (None, _) => {}
        }
    }
    Err(if quote.is_some() { "unterminated quoted string" } else { "unclosed action" }.to_owned())
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, left) = match first {
            first if first.is_whitespace() => (Word::Space, rest.trim_start()),
            '"' | '\'' | '`' => quoted(first, &rest[1..])?,
            '.' if !rest[1..].starts_with(|letter: char| letter.is_ascii_digit()) => {
                let (name, left) = name(&rest[1..]);
                (Word::Field(name), left)
            }
            '$' => {
                let (name, left) = name(&rest[1..]);
                (Word::Variable(name), left)
            }
            first if first.is_alphabetic() || first == '_' => {
                let (name, left) = name(rest);
                (Word::Name(name), left)
            }
            '0'..='9' | '+' | '-' | '.' => {
                let number = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
                let end = rest.find(|letter| !number(letter)).unwrap_or(rest.len());
                (Word::Number(rest[..end].to_owned()), &rest[end..])
            }
            first => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let unknown = || format!("unexpected {first:?} in command", first = first.to_string());
                let sign = sign.ok_or_else(unknown)?;
                (Word::Sign(sign), &rest[sign.len()..])
            }
        };
        words.push(word);
        rest = left;
    }
    Ok(words)
}

fn name(text: &str) -> (String, &str) {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

fn quoted(quote: char, text: &str) -> Result<(Word, &str), String> {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            letter if letter == quote => {
                let left = &text[at + letter.len_utf8()..];
                // What stands between single quotes is a number.
                let word = match (quote, out.chars().next()) {
                    ('\'', Some(only)) => Word::Number(u32::from(only).to_string()),
                    _ => Word::Text(out),
                };
                return Ok((word, left));
            }
            '\\' if quote != '`' => match letters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, kind @ ('x' | 'u' | 'U'))) => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let number: String = letters.by_ref().take(digits).map(|(_, digit)| digit).collect();
                    let number = u32::from_str_radix(&number, 16).ok().and_then(char::from_u32);
                    out.push(number.ok_or("unknown escape sequence")?);
                }
                Some((_, other)) => out.push(other),
                None => {}
            },
            letter => out.push(letter),
        }
    }
    Err("unterminated quoted string".to_owned())
}
