//! Mutating plugins run once more when one of those that come at run time has changed the object. Of these, only those
//! run again that want to, and whose work somebody has changed after them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

/// In which round a review is, and what plugins remember of the first.
#[derive(Default)]
pub struct Rounds {
    again: bool,
    wanted: bool,
    memories: HashMap<&'static str, Memory>,
}

/// What a plugin remembers of those who have changed an object in its name.
#[derive(Default)]
pub struct Memory {
    /// Who was asked and wants to be asked again.
    asked: HashSet<String>,
    /// Who is to be asked again.
    due: HashSet<String>,
    /// The object when they were done.
    output: Option<Bytes>,
}

impl Rounds {
    /// Whether it is the second round.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.again
    }

    /// Somebody has changed the object: all run once more, if they have not yet.
    pub fn want_again(&mut self) {
        self.wanted = true;
    }

    /// Begins the second round, if it is wanted. There is no third.
    pub(super) fn begin_again(&mut self) -> bool {
        let begins = self.wanted && !self.again;
        self.again |= begins;
        begins
    }

    /// Takes what a plugin remembers.
    #[must_use]
    pub fn take(&mut self, plugin: &'static str) -> Memory {
        self.memories.remove(plugin).unwrap_or_default()
    }

    /// Keeps what a plugin remembers.
    pub fn keep(&mut self, plugin: &'static str, memory: Memory) {
        self.memories.insert(plugin, memory);
    }
}

impl Memory {
    /// Others have changed the object since: whoever wants to is asked again.
    pub fn compare(&mut self, object: Option<&Bytes>) {
        if self.output.as_ref() != object {
            self.changed();
        }
    }

    /// Somebody has changed the object: whoever was asked before and wants to is asked again.
    pub fn changed(&mut self) {
        self.due.extend(self.asked.drain());
    }

    /// Somebody was asked who wants to be asked again after changes.
    pub fn asked(&mut self, who: String) {
        self.asked.insert(who);
    }

    /// Whether somebody is to be asked again.
    #[must_use]
    pub fn is_due(&self, who: &str) -> bool {
        self.due.contains(who)
    }

    /// What the object is when they are done.
    pub fn done(&mut self, object: Option<Bytes>) {
        self.output = object;
    }
}
