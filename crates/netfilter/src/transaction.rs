//! Changes to one nftables table, as text for `nft -f`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `ip`
    Ip,
    /// `ip6`
    Ip6,
}

impl Family {
    /// The name as nft writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        }
    }

    /// The number that netlink messages carry (`NFPROTO_*`).
    #[must_use]
    pub(crate) fn number(self) -> u8 {
        match self {
            Family::Ip => 2,
            Family::Ip6 => 10,
        }
    }
}

/// A table, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// The address family.
    pub family: Family,
    /// The table's own name.
    pub name: &'static str,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family.name(), self.name)
    }
}

/// A chain with all of its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets come from, such as `type nat hook output priority -100`; `None` when only other chains lead here.
    pub hook: Option<&'static str>,
    /// The rules, in nft's words.
    pub rules: Vec<String>,
}

impl Chain {
    /// A chain to which other chains lead.
    pub fn new(name: impl Into<String>, rules: impl IntoIterator<Item = String>) -> Self {
        Self { name: name.into(), hook: None, rules: rules.into_iter().collect() }
    }
}

/// A set or a map, without its elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// `set` or `map`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What stands between the braces: type, flags, size.
    pub definition: String,
}

/// Elements by set.
type Elements = BTreeMap<String, List>;

/// How many elements, and all of them as nft reads them: there may be very many, which one text keeps in the least room.
#[derive(Clone, Debug, Default)]
struct List {
    count: usize,
    text: String,
}

/// Changes that take effect together. However they are added, elements are deleted first, then chains and sets are
/// made, then elements added, so that an element may be replaced and may lead to a new chain.
#[derive(Clone, Debug)]
pub struct Transaction {
    table: Table,
    structure: String,
    deleted: Elements,
    added: Elements,
}

impl Transaction {
    /// No change.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table, structure: String::new(), deleted: Elements::new(), added: Elements::new() }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.structure.is_empty() && self.elements() == 0
    }

    /// How many elements are added or deleted.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.deleted.values().chain(self.added.values()).map(|list| list.count).sum()
    }

    fn line(&mut self, words: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.structure.write_fmt(words);
        self.structure.push('\n');
    }

    /// Makes the table if it is not there.
    pub fn add_table(&mut self) {
        let table = self.table;
        self.line(format_args!("add table {table}"));
    }

    /// Deletes the table with everything in it; it must be there.
    pub fn delete_table(&mut self) {
        let table = self.table;
        self.line(format_args!("delete table {table}"));
    }

    /// Makes the set if it is not there; one of the same name must be of the same kind.
    pub fn add_set(&mut self, set: &Set) {
        let (table, Set { kind, name, definition }) = (self.table, set);
        self.line(format_args!("add {kind} {table} {name} {{ {definition} }}"));
    }

    /// Empties the set or map.
    pub fn flush_set(&mut self, kind: &str, name: &str) {
        let table = self.table;
        self.line(format_args!("flush {kind} {table} {name}"));
    }

    /// Deletes the set or map; no rule may refer to it.
    pub fn delete_set(&mut self, kind: &str, name: &str) {
        let table = self.table;
        self.line(format_args!("delete {kind} {table} {name}"));
    }

    /// Makes the chain if it is not there, empty.
    pub fn add_chain(&mut self, chain: &Chain) {
        let (table, name) = (self.table, &chain.name);
        match chain.hook {
            Some(hook) => self.line(format_args!("add chain {table} {name} {{ {hook} ; }}")),
            None => self.line(format_args!("add chain {table} {name}")),
        }
    }

    /// Gives the chain its rules and no others. Chains that its rules lead to must be there.
    pub fn fill_chain(&mut self, chain: &Chain) {
        let (table, name) = (self.table, &chain.name);
        self.line(format_args!("flush chain {table} {name}"));
        for rule in &chain.rules {
            self.line(format_args!("add rule {table} {name} {rule}"));
        }
    }

    /// Empties the chain.
    pub fn flush_chain(&mut self, name: &str) {
        let table = self.table;
        self.line(format_args!("flush chain {table} {name}"));
    }

    /// Deletes the chain; nothing may lead to it.
    pub fn delete_chain(&mut self, name: &str) {
        let table = self.table;
        self.line(format_args!("delete chain {table} {name}"));
    }

    /// Adds an element: a key, or `KEY : VALUE`. The set must not hold the key with another value.
    pub fn add_element(&mut self, set: &str, element: impl fmt::Display) {
        push(&mut self.added, set, element);
    }

    /// Deletes the element with this key, which must be there.
    pub fn delete_element(&mut self, set: &str, key: impl fmt::Display) {
        push(&mut self.deleted, set, key);
    }
}

fn push(elements: &mut Elements, set: &str, element: impl fmt::Display) {
    if !elements.contains_key(set) {
        elements.insert(set.to_owned(), List::default());
    }
    if let Some(list) = elements.get_mut(set) {
        let separator = if list.count == 0 { "" } else { ",\n " };
        // Writing to a string does not fail.
        let _ = write!(list.text, "{separator}{element}");
        list.count += 1;
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_elements(f, "delete", self.table, &self.deleted)?;
        f.write_str(&self.structure)?;
        write_elements(f, "add", self.table, &self.added)
    }
}

fn write_elements(f: &mut fmt::Formatter<'_>, verb: &str, table: Table, elements: &Elements) -> fmt::Result {
    for (set, List { text, .. }) in elements {
        writeln!(f, "{verb} element {table} {set} {{ {text} }}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_replaced_and_leads_to_a_new_chain() {
        let mut transaction = Transaction::new(Table { family: Family::Ip, name: "t" });
        assert!(transaction.is_empty());
        transaction.add_element("m", "1 : goto c");
        transaction.add_chain(&Chain::new("c", []));
        transaction.fill_chain(&Chain::new("c", ["drop".to_owned()]));
        transaction.delete_element("m", "1");
        transaction.delete_element("m", "2");
        let expected = "delete element ip t m { 1,\n 2 }\nadd chain ip t c\nflush chain ip t c\n\
                        add rule ip t c drop\nadd element ip t m { 1 : goto c }\n";
        assert_eq!((transaction.to_string().as_str(), transaction.elements()), (expected, 3));
    }
}
