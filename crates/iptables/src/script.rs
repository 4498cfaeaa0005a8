//! The line format that `iptables-save` writes and `iptables-restore` reads.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::names::{ChainName, Table};
use crate::rule::Rule;
use crate::ruleset::Policy;
use crate::words::split;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `*TABLE`: the following lines are about this table.
    Table(Table),
    /// `:CHAIN POLICY [0:0]`: creates the chain, or empties it when it exists; a policy only for the kernel's own.
    Declare(ChainName, Option<Policy>),
    /// `-A CHAIN RULE`
    Append(ChainName, Rule),
    /// `-I CHAIN RULE`: at the top.
    Insert(ChainName, Rule),
    /// `-D CHAIN RULE`: the first rule that is equal.
    Delete(ChainName, Rule),
    /// `-X CHAIN`: removes the chain, which must be empty and not referred to.
    DeleteChain(ChainName),
    /// `COMMIT`: the table changes now, all at once.
    Commit,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Table(table) => write!(f, "*{table}"),
            Line::Declare(chain, None) => write!(f, ":{chain} - [0:0]"),
            Line::Declare(chain, Some(policy)) => write!(f, ":{chain} {policy} [0:0]"),
            Line::Append(chain, rule) => write_rule(f, "-A", chain, rule),
            Line::Insert(chain, rule) => write_rule(f, "-I", chain, rule),
            Line::Delete(chain, rule) => write_rule(f, "-D", chain, rule),
            Line::DeleteChain(chain) => write!(f, "-X {chain}"),
            Line::Commit => f.write_str("COMMIT"),
        }
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, command: &str, chain: &ChainName, rule: &Rule) -> fmt::Result {
    if rule == &Rule::default() { write!(f, "{command} {chain}") } else { write!(f, "{command} {chain} {rule}") }
}

/// Lines for one `iptables-restore`, or those that one `iptables-save` printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// In order.
    pub lines: Vec<Line>,
}

impl Script {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many rules are added (not: how many lines there are).
    #[must_use]
    pub fn rules(&self) -> usize {
        self.lines.iter().filter(|l| matches!(l, Line::Append(..) | Line::Insert(..))).count()
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| {
            line.fmt(f)?;
            f.write_char('\n')
        })
    }
}

/// Text is not in the save format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: {text:?}")]
pub struct ParseError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
    /// The line.
    pub text: String,
}

impl FromStr for Script {
    type Err = ParseError;

    /// Reads the text; comments and packet counters are dropped.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut lines = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = parse_line(line);
            lines.push(parsed.map_err(|reason| ParseError { line: i + 1, reason, text: line.to_owned() })?);
        }
        Ok(Self { lines })
    }
}

fn parse_line(line: &str) -> Result<Line, &'static str> {
    if line == "COMMIT" {
        return Ok(Line::Commit);
    }
    if let Some(table) = line.strip_prefix('*') {
        return table.parse().map(Line::Table).map_err(|_| "unknown table");
    }
    if let Some(declaration) = line.strip_prefix(':') {
        return parse_declaration(declaration);
    }
    let words = split(without_counters(line));
    let [command, chain, rest @ ..] = words.as_slice() else { return Err("no chain") };
    let chain = ChainName::new(chain.as_str()).map_err(|_| "bad chain name")?;
    match command.as_str() {
        "-A" => Ok(Line::Append(chain, Rule::from_words(rest))),
        "-I" => Ok(Line::Insert(chain, Rule::from_words(rest))),
        "-D" => Ok(Line::Delete(chain, Rule::from_words(rest))),
        "-X" if rest.is_empty() => Ok(Line::DeleteChain(chain)),
        _ => Err("unknown command"),
    }
}

fn without_counters(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|l| l.split_once("] ")) {
        Some((_, rule)) => rule,
        None => line,
    }
}

fn parse_declaration(text: &str) -> Result<Line, &'static str> {
    let mut words = text.split_whitespace();
    let chain = words.next().and_then(|name| ChainName::new(name).ok()).ok_or("bad chain name")?;
    match words.next() {
        Some("-") => Ok(Line::Declare(chain, None)),
        Some("ACCEPT") => Ok(Line::Declare(chain, Some(Policy::Accept))),
        Some("DROP") => Ok(Line::Declare(chain, Some(Policy::Drop))),
        _ => Err("bad policy"),
    }
}
