//! A whole state of the rules, and what a script does to it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::names::{ChainName, Table};
use crate::rule::Rule;
use crate::script::{Line, ParseError, Script};

/// What happens to a packet at the end of one of the kernel's own chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// It passes.
    Accept,
    /// It is discarded.
    Drop,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Accept => "ACCEPT",
            Policy::Drop => "DROP",
        })
    }
}

/// One chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Only the kernel's own chains have one.
    pub policy: Option<Policy>,
    /// In the order of evaluation.
    pub rules: Vec<Rule>,
}

/// Every chain of every table of one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    tables: BTreeMap<Table, BTreeMap<ChainName, Chain>>,
}

/// `iptables-restore` would not take this line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {line}")]
pub struct Rejection {
    /// Why.
    pub reason: &'static str,
    /// The line.
    pub line: String,
}

impl Ruleset {
    /// Every chain with its table, ordered.
    pub fn chains(&self) -> impl Iterator<Item = (Table, &ChainName, &Chain)> {
        self.tables.iter().flat_map(|(table, chains)| chains.iter().map(move |(name, chain)| (*table, name, chain)))
    }

    /// A chain, if it exists.
    #[must_use]
    pub fn chain(&self, table: Table, name: &ChainName) -> Option<&Chain> {
        self.tables.get(&table)?.get(name)
    }

    /// The whole state as a script, in the form of `iptables-save`.
    #[must_use]
    pub fn to_script(&self) -> Script {
        let mut lines = Vec::new();
        for (table, chains) in &self.tables {
            lines.push(Line::Table(*table));
            lines.extend(chains.iter().map(|(name, chain)| Line::Declare(name.clone(), chain.policy)));
            for (name, chain) in chains {
                lines.extend(chain.rules.iter().map(|rule| Line::Append(name.clone(), rule.clone())));
            }
            lines.push(Line::Commit);
        }
        Script { lines }
    }

    /// Does what `iptables-restore --noflush` does with the script: each table changes as a whole or not at all.
    ///
    /// # Errors
    /// The first line that is not acceptable; tables committed before it stay changed, as in the kernel.
    pub fn apply(&mut self, script: &Script) -> Result<(), Rejection> {
        let mut open: Option<(Table, BTreeMap<ChainName, Chain>)> = None;
        for line in &script.lines {
            match (line, &mut open) {
                (Line::Table(table), None) => open = Some((*table, self.working_copy(*table))),
                (Line::Commit, Some(_)) => {
                    if let Some((table, chains)) = open.take() {
                        check_references(&chains)?;
                        self.tables.insert(table, chains);
                    }
                }
                (line, Some((_, chains))) => change(chains, line).map_err(|r| rejected(r, line))?,
                (line, None) => return Err(rejected("outside of a table", line)),
            }
        }
        match open {
            Some((table, _)) => Err(Rejection { reason: "COMMIT expected", line: format!("*{table}") }),
            None => Ok(()),
        }
    }

    fn working_copy(&self, table: Table) -> BTreeMap<ChainName, Chain> {
        self.tables.get(&table).cloned().unwrap_or_else(|| {
            let builtin = |name: &&'static str| {
                (ChainName::from_static(name), Chain { policy: Some(Policy::Accept), rules: Vec::new() })
            };
            table.builtin_chains().iter().map(builtin).collect()
        })
    }
}

fn rejected(reason: &'static str, line: &Line) -> Rejection {
    Rejection { reason, line: line.to_string() }
}

fn change(chains: &mut BTreeMap<ChainName, Chain>, line: &Line) -> Result<(), &'static str> {
    const NO_CHAIN: &str = "no such chain";
    match line {
        Line::Table(_) => return Err("COMMIT expected"),
        Line::Commit => {}
        Line::Declare(name, policy) => {
            let chain = chains.entry(name.clone()).or_default();
            chain.policy = *policy;
            if policy.is_none() {
                chain.rules.clear();
            }
        }
        Line::Append(name, rule) => chains.get_mut(name).ok_or(NO_CHAIN)?.rules.push(rule.clone()),
        Line::Insert(name, rule) => chains.get_mut(name).ok_or(NO_CHAIN)?.rules.insert(0, rule.clone()),
        Line::Delete(name, rule) => {
            let rules = &mut chains.get_mut(name).ok_or(NO_CHAIN)?.rules;
            let found = rules.iter().position(|r| r == rule).ok_or("no such rule")?;
            rules.remove(found);
        }
        Line::DeleteChain(name) => {
            let chain = chains.get(name).ok_or(NO_CHAIN)?;
            if chain.policy.is_some() || !chain.rules.is_empty() {
                return Err("chain is built in or not empty");
            }
            chains.remove(name);
        }
    }
    Ok(())
}

/// Every chain that is jumped to must exist when the table is committed.
fn check_references(chains: &BTreeMap<ChainName, Chain>) -> Result<(), Rejection> {
    let rules = chains.iter().flat_map(|(name, chain)| chain.rules.iter().map(move |rule| (name, rule)));
    for (name, rule) in rules {
        if rule.calls().is_some_and(|called| !chains.contains_key(called) && !is_extension(called)) {
            return Err(rejected("jumps to a chain that does not exist", &Line::Append(name.clone(), rule.clone())));
        }
    }
    Ok(())
}

/// Targets without options that read like a jump to a chain.
fn is_extension(name: &ChainName) -> bool {
    matches!(name.as_str(), "LOG" | "NOTRACK" | "QUEUE" | "TRACE" | "CHECKSUM")
}

impl FromStr for Ruleset {
    type Err = ParseError;

    /// Reads what `iptables-save` printed.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let script: Script = text.parse()?;
        let mut ruleset = Ruleset::default();
        let malformed = |r: Rejection| ParseError { line: 0, reason: r.reason, text: r.line };
        ruleset.apply(&script).map_err(malformed)?;
        Ok(ruleset)
    }
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_script().fmt(f)
    }
}
