//! The same in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::executor::{Error, Iptables};
use crate::names::Family;
use crate::ruleset::{Rejection, Ruleset};
use crate::script::Script;

/// Keeps rules in memory, through the text format in both directions. Passes the same suite as
/// [`HostIptables`](crate::HostIptables).
#[derive(Debug, Default)]
pub struct FakeIptables {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: HashMap<Family, Ruleset>,
    applied: Vec<Script>,
    failures: usize,
}

impl FakeIptables {
    /// No rules at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next `count` restores fail without effect.
    pub fn fail_restores(&self, count: usize) {
        self.lock().failures = count;
    }

    /// The rules of a family.
    #[must_use]
    pub fn rules(&self, family: Family) -> Ruleset {
        self.lock().rules.get(&family).cloned().unwrap_or_default()
    }

    /// Replaces all rules of a family, as another program would.
    pub fn set_rules(&self, family: Family, rules: Ruleset) {
        self.lock().rules.insert(family, rules);
    }

    /// Every script that was applied so far.
    #[must_use]
    pub fn applied(&self) -> Vec<Script> {
        self.lock().applied.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reread(text: &str) -> Result<Script, Error> {
        text.parse().map_err(|source| Error::Unreadable { program: "fake".into(), source })
    }
}

impl Iptables for FakeIptables {
    async fn save(&self, family: Family) -> Result<Ruleset, Error> {
        let text = self.rules(family).to_string();
        text.parse().map_err(|source| Error::Unreadable { program: "fake".into(), source })
    }

    async fn restore(&self, family: Family, script: &Script) -> Result<(), Error> {
        let script = Self::reread(&script.to_string())?;
        let mut state = self.lock();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(Rejection { reason: "made to fail", line: String::new() }.into());
        }
        state.rules.entry(family).or_default().apply(&script)?;
        state.applied.push(script);
        Ok(())
    }
}
