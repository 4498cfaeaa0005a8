//! What is wanted, what is there, and the smallest script between the two.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::names::{ChainName, Table};
use crate::rule::Rule;
use crate::ruleset::Ruleset;
use crate::script::{Line, Script};

/// Where a hook stands among the rules of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Before them.
    First,
    /// After them.
    Last,
}

/// A rule of ours in one of the kernel's own chains, which otherwise belong to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The table.
    pub table: Table,
    /// The kernel's chain.
    pub chain: ChainName,
    /// Where the rule goes when it is missing. A rule that is there already is not moved.
    pub place: Place,
    /// The rule; normally a jump to a chain of ours.
    pub rule: Rule,
}

/// The state a daemon wants: whole chains of its own, and hooks that lead to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    chains: BTreeMap<(Table, ChainName), Vec<Rule>>,
    hooks: Vec<Hook>,
}

impl Desired {
    /// Makes sure that the chain exists, and answers its rules.
    pub fn chain(&mut self, table: Table, name: &ChainName) -> &mut Vec<Rule> {
        self.chains.entry((table, name.clone())).or_default()
    }

    /// Adds a hook. Hooks of one chain that are placed [`Place::First`] end up in the order in which they are added.
    pub fn hook(&mut self, hook: Hook) {
        self.hooks.push(hook);
    }

    /// Every wanted chain with its rules, ordered.
    pub fn chains(&self) -> impl Iterator<Item = (Table, &ChainName, &[Rule])> {
        self.chains.iter().map(|((table, name), rules)| (*table, name, rules.as_slice()))
    }

    /// How many rules the table's chains have, hooks not counted.
    #[must_use]
    pub fn rules_in(&self, table: Table) -> usize {
        self.chains.iter().filter(|((t, _), _)| *t == table).map(|(_, rules)| rules.len()).sum()
    }
}

/// The content of a chain, as good as the content for telling whether it changed: 64 bits, so that a change goes
/// unnoticed once in 10^19.
type Fingerprint = u64;

fn fingerprint(rules: &[Rule]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    rules.hash(&mut hasher);
    hasher.finish()
}

/// What is known about the rules that are in force, small enough to keep: fingerprints of user-defined chains, and
/// the rules of the kernel's own chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    chains: HashMap<(Table, ChainName), Fingerprint>,
    builtin: HashMap<(Table, ChainName), Vec<Rule>>,
}

impl Observed {
    /// Observes a state that was read.
    #[must_use]
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut observed = Self::default();
        for (table, name, chain) in ruleset.chains() {
            let key = (table, name.clone());
            if table.is_builtin(name) {
                observed.builtin.insert(key, chain.rules.clone());
            } else {
                observed.chains.insert(key, fingerprint(&chain.rules));
            }
        }
        observed
    }

    /// Whether the chain exists.
    #[must_use]
    pub fn has_chain(&self, table: Table, name: &ChainName) -> bool {
        self.chains.contains_key(&(table, name.clone()))
    }

    /// Takes note that the delta was applied.
    pub fn advance(&mut self, delta: &Delta) {
        for (table, change) in &delta.tables {
            for (name, rules) in &change.refill {
                self.chains.insert((*table, name.clone()), fingerprint(rules));
            }
            for name in &change.remove {
                self.chains.remove(&(*table, name.clone()));
            }
            for (chain, rule) in &change.delete {
                let rules = self.builtin.entry((*table, chain.clone())).or_default();
                rules.iter().position(|r| r == rule).map(|at| rules.remove(at));
            }
            for (chain, rule) in &change.insert {
                self.builtin.entry((*table, chain.clone())).or_default().insert(0, rule.clone());
            }
            for (chain, rule) in &change.append {
                self.builtin.entry((*table, chain.clone())).or_default().push(rule.clone());
            }
        }
    }
}

/// The changes to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TableDelta {
    /// Chains to create or to empty, and their new rules.
    refill: BTreeMap<ChainName, Vec<Rule>>,
    /// Chains to delete.
    remove: BTreeSet<ChainName>,
    /// Rules to delete from the kernel's own chains.
    delete: Vec<(ChainName, Rule)>,
    /// Rules to put on top of the kernel's own chains, one after the other, so the last ends up first.
    insert: Vec<(ChainName, Rule)>,
    /// Rules to add at the end of the kernel's own chains.
    append: Vec<(ChainName, Rule)>,
}

impl TableDelta {
    fn write(&self, table: Table, lines: &mut Vec<Line>) {
        lines.push(Line::Table(table));
        lines.extend(self.refill.keys().chain(&self.remove).map(|name| Line::Declare(name.clone(), None)));
        lines.extend(self.delete.iter().map(|(chain, rule)| Line::Delete(chain.clone(), rule.clone())));
        for (name, rules) in &self.refill {
            lines.extend(rules.iter().map(|rule| Line::Append(name.clone(), rule.clone())));
        }
        lines.extend(self.insert.iter().map(|(chain, rule)| Line::Insert(chain.clone(), rule.clone())));
        lines.extend(self.append.iter().map(|(chain, rule)| Line::Append(chain.clone(), rule.clone())));
        lines.extend(self.remove.iter().map(|name| Line::DeleteChain(name.clone())));
        lines.push(Line::Commit);
    }
}

/// The difference between what is wanted and what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    tables: BTreeMap<Table, TableDelta>,
}

impl Delta {
    /// Compares. `owns` says which chains are the caller's: those that are there but not wanted are deleted, and so
    /// are rules in the kernel's own chains that lead to an owned chain but are not wanted hooks.
    pub fn between(desired: &Desired, observed: &Observed, owns: impl Fn(&ChainName) -> bool) -> Self {
        let mut delta = Self::default();
        for ((table, name), rules) in &desired.chains {
            let there = observed.chains.get(&(*table, name.clone()));
            if there != Some(&fingerprint(rules)) {
                delta.table(*table).refill.insert(name.clone(), rules.clone());
            }
        }
        for key in observed.chains.keys().filter(|key| owns(&key.1) && !desired.chains.contains_key(*key)) {
            delta.table(key.0).remove.insert(key.1.clone());
        }
        delta.add_missing_hooks(desired, observed);
        delta.delete_stale_hooks(desired, observed, owns);
        delta
    }

    fn table(&mut self, table: Table) -> &mut TableDelta {
        self.tables.entry(table).or_default()
    }

    fn add_missing_hooks(&mut self, desired: &Desired, observed: &Observed) {
        let there = |hook: &Hook| {
            let rules = observed.builtin.get(&(hook.table, hook.chain.clone()));
            rules.is_some_and(|rules| rules.contains(&hook.rule))
        };
        for hook in desired.hooks.iter().rev().filter(|hook| hook.place == Place::First && !there(hook)) {
            self.table(hook.table).insert.push((hook.chain.clone(), hook.rule.clone()));
        }
        for hook in desired.hooks.iter().filter(|hook| hook.place == Place::Last && !there(hook)) {
            self.table(hook.table).append.push((hook.chain.clone(), hook.rule.clone()));
        }
    }

    /// Also deletes the second and later copies of a wanted hook.
    fn delete_stale_hooks(&mut self, desired: &Desired, observed: &Observed, owns: impl Fn(&ChainName) -> bool) {
        for ((table, chain), rules) in &observed.builtin {
            let mut kept: Vec<&Rule> = Vec::new();
            for rule in rules.iter().filter(|rule| rule.calls().is_some_and(&owns)) {
                let wanted = |hook: &Hook| hook.table == *table && hook.chain == *chain && hook.rule == *rule;
                if desired.hooks.iter().any(wanted) && !kept.contains(&rule) {
                    kept.push(rule);
                } else {
                    self.table(*table).delete.push((chain.clone(), rule.clone()));
                }
            }
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The script that makes the difference disappear.
    #[must_use]
    pub fn to_script(&self) -> Script {
        let mut lines = Vec::new();
        for (table, change) in &self.tables {
            change.write(*table, &mut lines);
        }
        Script { lines }
    }

    /// How many rules of the table are written.
    #[must_use]
    pub fn rules_in(&self, table: Table) -> usize {
        self.tables.get(&table).map_or(0, |change| change.refill.values().map(Vec::len).sum())
    }
}
