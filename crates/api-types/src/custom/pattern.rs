//! Patterns of strings, compiled when they are first needed: most of those in large schemas never are.

use std::sync::OnceLock;

use cel::Regexp;

/// A regular expression in Go's syntax.
#[derive(Debug)]
pub(super) struct Pattern {
    text: Box<str>,
    /// `None` for a text that is no regular expression, or one that would become too large.
    compiled: OnceLock<Option<Regexp>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is found in a text. What is no regular expression is found nowhere.
    pub fn is_match(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regexp::new(&self.text).ok());
        compiled.as_ref().is_some_and(|compiled| compiled.is_match(text))
    }
}
