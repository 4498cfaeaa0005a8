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

impl TableDelta {
    /// Parts of about so many rules; the last has everything but chains to fill.
    fn pieces(&self, rules: usize) -> Vec<TableDelta> {
        let mut pieces = vec![TableDelta::default()];
        let mut room = rules;
        for name in self.callees_first() {
            let content = &self.refill[name];
            if room == 0 {
                pieces.push(TableDelta::default());
                room = rules;
            }
            room = room.saturating_sub(content.len().max(1));
            if let Some(piece) = pieces.last_mut() {
                piece.refill.insert(name.clone(), content.clone());
            }
        }
        let TableDelta { refill: _, remove, delete, insert, append } = self.clone();
        pieces.push(TableDelta { refill: BTreeMap::new(), remove, delete, insert, append });
        pieces.retain(|piece| *piece != TableDelta::default());
        pieces
    }

    /// The chains to fill, each behind those that its rules lead to.
    fn callees_first(&self) -> Vec<&ChainName> {
        let mut ordered = Vec::with_capacity(self.refill.len());
        let mut seen = BTreeSet::new();
        let mut open: Vec<(&ChainName, bool)> = self.refill.keys().rev().map(|name| (name, false)).collect();
        while let Some((name, callees_done)) = open.pop() {
            if callees_done {
                ordered.push(name);
            } else if let Some((name, rules)) = self.refill.get_key_value(name)
                && seen.insert(name)
            {
                open.push((name, true));
                open.extend(rules.iter().filter_map(Rule::calls).map(|callee| (callee, false)));
            }
        }
        ordered
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

    /// The same in several scripts of about so many rules each, to be applied in order. Every chain is filled before
    /// the chains that lead to it, and hooks come last: what is in force between two scripts is, chain by chain, the
    /// old or the new. `iptables-nft-restore` takes time that grows with the square of a script's length.
    #[must_use]
    pub fn to_scripts(&self, rules: usize) -> Vec<Script> {
        let total: usize = self.tables.values().flat_map(|change| change.refill.values()).map(Vec::len).sum();
        if total <= rules {
            return vec![self.to_script()].into_iter().filter(|script| !script.is_empty()).collect();
        }
        let mut scripts = Vec::new();
        for (table, change) in &self.tables {
            scripts.extend(change.pieces(rules).into_iter().map(|piece| {
                let mut lines = Vec::new();
                piece.write(*table, &mut lines);
                Script { lines }
            }));
        }
        scripts
    }

    /// How many rules of the table are written.
    #[must_use]
    pub fn rules_in(&self, table: Table) -> usize {
        self.tables.get(&table).map_or(0, |change| change.refill.values().map(Vec::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_delta_is_applied_callees_first() {
        let name = |text: &'static str| ChainName::from_static(text);
        let to = |chain: &'static str| Rule::new().jump(name(chain));
        let mut desired = Desired::default();
        *desired.chain(Table::Nat, &name("a-first")) = vec![to("m"), to("z")];
        *desired.chain(Table::Nat, &name("m")) = vec![to("z"), to("y")];
        *desired.chain(Table::Nat, &name("y")) = vec![Rule::new().target(crate::Target::Accept)];
        desired.chain(Table::Nat, &name("z"));
        let rule = to("a-first");
        desired.hook(Hook { table: Table::Nat, chain: ChainName::OUTPUT, place: Place::First, rule });
        let delta = Delta::between(&desired, &Observed::default(), |_| true);
        let (whole, mut in_parts) = (apply([delta.to_script()]), Ruleset::default());
        let scripts = delta.to_scripts(2);
        assert_eq!(scripts.len(), 4);
        assert_eq!(delta.to_scripts(5), [delta.to_script()]);
        for script in scripts {
            in_parts.apply(&script.to_string().parse().unwrap()).unwrap();
        }
        assert_eq!(in_parts.to_string(), whole.to_string());
        assert!(Delta::default().to_scripts(5).is_empty());
    }

    fn apply(scripts: impl IntoIterator<Item = Script>) -> Ruleset {
        let mut rules = Ruleset::default();
        scripts.into_iter().for_each(|script| rules.apply(&script).unwrap());
        rules
    }
}
