//! What is wrong with an expression, in cel-go's layout.

use std::fmt;

/// More are not told.
const MOST: usize = 100;
/// A line that is longer is not shown.
const LONGEST_LINE: usize = 16_384;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Counted from 1; 0 or less where it is no place in the text.
    pub line: i64,
    /// In characters, counted from 1.
    pub column: i64,
    /// What.
    pub message: String,
    /// The line in which it is, and a mark below it.
    snippet: Option<String>,
}

/// All that is wrong with an expression, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues(pub Vec<Issue>);

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.0.iter().take(MOST).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}ERROR: <input>:{}:{}: {}", issue.line, issue.column, issue.message)?;
            if let Some(snippet) = &issue.snippet {
                f.write_str(snippet)?;
            }
        }
        match self.0.len().checked_sub(MOST) {
            None | Some(0) => Ok(()),
            Some(1) => f.write_str("\n 1 more error was truncated"),
            Some(more) => write!(f, "\n {more} more errors were truncated"),
        }
    }
}

/// Gathers what is wrong with one text.
pub(crate) struct Reporter<'a> {
    text: &'a str,
    found: Vec<(u32, Issue)>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Something is wrong at this byte.
    pub(crate) fn report(&mut self, at: u32, message: impl Into<String>) {
        // Far more than are shown; what is beyond is only counted.
        let shown = self.found.len() < MOST;
        self.found.push((at, if shown { locate(self.text, at, message.into()) } else { nowhere(String::new()) }));
    }

    /// Everything that was reported, or nothing.
    pub(crate) fn finish(mut self) -> Result<(), Issues> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|(at, _)| *at);
        Err(Issues(self.found.into_iter().map(|(_, issue)| issue).collect()))
    }
}

/// Something about the text as a whole.
pub(crate) fn nowhere(message: String) -> Issue {
    Issue { line: -1, column: 0, message, snippet: None }
}

pub(crate) fn locate(text: &str, at: u32, message: String) -> Issue {
    let before = text.get(..at as usize).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].split('\n').next().unwrap_or_default();
    let column = before[start..].chars().count();
    let number = before.matches('\n').count() + 1;
    let snippet = (line.len() <= LONGEST_LINE).then(|| {
        let mut marks: String =
            line.chars().take(column).map(|c| if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' }).collect();
        marks.push(line.chars().nth(column).map_or('^', |c| if c.len_utf8() > 1 { '\u{ff3e}' } else { '^' }));
        format!("\n | {}\n | {marks}", line.replace('\t', " "))
    });
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Issue { line: count(number), column: count(column + 1), message, snippet }
}
