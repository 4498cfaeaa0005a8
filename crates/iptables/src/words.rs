//! The lexical layer of the save format: words, quoting, splitting.

use std::fmt::{Display, Write as _};

use crate::rule::Test;

/// A line under construction: words separated by one space, quoted as `iptables-save` quotes them.
#[derive(Default)]
pub(crate) struct Words(String);

impl Words {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends a word that needs no quotes.
    pub(crate) fn push(&mut self, word: impl Display) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        write!(self.0, "{word}").expect("writing to a String cannot fail");
        self
    }

    /// Appends free text, in double quotes unless it consists of letters, digits, `_` and `-` only.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return self.push(text);
        }
        self.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\' | '\'') {
                self.0.push('\\');
            }
            self.0.push(c);
        }
        self.0.push('"');
        self
    }

    /// Appends a word of a rule that is carried along unread: quoted only when it would fall apart otherwise.
    pub(crate) fn verbatim(&mut self, word: &String) -> &mut Self {
        let falls_apart = word.is_empty() || word.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\'));
        if falls_apart { self.text(word) } else { self.push(word) }
    }

    /// Appends `[!] OPTION VALUE`, or nothing.
    pub(crate) fn test<T: Display>(&mut self, option: &str, test: Option<&Test<T>>) -> &mut Self {
        match test {
            None => self,
            Some(Test::Is(value)) => self.push(option).push(value),
            Some(Test::Not(value)) => self.push('!').push(option).push(value),
        }
    }
}

/// Splits a line into words, undoing quotes and backslashes inside them.
pub(crate) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        words.push(if c == '"' { quoted(&mut chars) } else { plain(&mut chars) });
    }
    words
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    chars.next();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            '"' => break,
            c => word.push(c),
        }
    }
    word
}

fn plain(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
        word.push(c);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_undone_by_splitting() {
        for text in ["plain-word_1", "two words", "say \"hi\"", "back\\slash", "it's", "", "a:b", "-m"] {
            let mut words = Words::default();
            words.push("--comment").text(text).push("-j");
            assert_eq!(split(words.as_str()), ["--comment", text, "-j"], "{}", words.as_str());
        }
    }
}
