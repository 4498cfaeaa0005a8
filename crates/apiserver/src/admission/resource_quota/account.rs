//! One quota as it is charged.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    core::ResourceQuota,
    jiff::Timestamp,
    quantity::Quantity,
    quota::{self, Amounts, Counted, Subject},
};

/// What a request asks for.
pub(super) struct Asked {
    /// What is counted of the resource.
    pub counted: Counted,
    /// The object as it is to be.
    pub new: Subject,
    /// The object as it is, if it is there.
    pub old: Option<Subject>,
}

impl Asked {
    /// What it uses more than before, or less.
    fn difference(&self) -> Amounts {
        let now = Timestamp::now();
        let mut usage = self.new.usage(now);
        for (name, amount) in self.old.iter().flat_map(|old| old.usage(now)) {
            *usage.entry(name).or_default() -= amount;
        }
        usage.retain(|_, amount| !amount.is_zero());
        usage
    }
}

/// Whether a request changes what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charged {
    Yes,
    No,
}

/// A quota, and what is used of it.
#[derive(Clone)]
pub(super) struct Account {
    pub quota: Arc<ResourceQuota>,
    hard: Amounts,
    pub used: Amounts,
}

impl Account {
    pub(super) fn new(quota: Arc<ResourceQuota>) -> Self {
        let status = quota.status.as_ref();
        let hard = quota::from_wire(status.and_then(|status| status.hard.as_ref()));
        let used = quota::from_wire(status.and_then(|status| status.used.as_ref()));
        Self { quota, hard, used }
    }

    pub(super) fn all(quotas: &[Arc<ResourceQuota>]) -> Vec<Self> {
        quotas.iter().cloned().map(Self::new).collect()
    }

    pub(super) fn name(&self) -> &str {
        self.quota.metadata.name.as_deref().unwrap_or_default()
    }

    /// Charges what a request asks for, if the quota is about that.
    ///
    /// # Errors
    /// Why it cannot have that, in upstream's words.
    pub(super) fn charge(&mut self, asked: &Asked) -> Result<Charged, String> {
        let limited = asked.counted.named(self.hard.keys());
        if limited.is_empty() || !asked.new.is_in_scope(&self.quota) {
            return Ok(Charged::No);
        }
        let name = self.name();
        asked.new.check_names(&limited).map_err(|why| format!("failed quota: {name}: {why}"))?;
        if limited.iter().any(|resource| !self.used.contains_key(*resource)) {
            let resources: Vec<&str> = limited.into_iter().collect();
            return Err(format!("status unknown for quota: {name}, resources: {}", resources.join(",")));
        }
        let mut requested = asked.difference();
        requested.retain(|resource, _| self.hard.contains_key(resource));
        self.check(&requested)?;
        quota::add(&mut self.used, &requested);
        Ok(if requested.is_empty() { Charged::No } else { Charged::Yes })
    }

    fn check(&self, requested: &Amounts) -> Result<(), String> {
        let used = |name: &String| self.used.get(name).copied().unwrap_or_default();
        let most = |name: &String| self.hard.get(name).copied().unwrap_or_default();
        let exceeding = requested.iter().filter(|(name, amount)| used(name) + **amount > most(name));
        let exceeded: BTreeSet<&String> = exceeding.map(|(name, _)| name).collect();
        if exceeded.is_empty() {
            return Ok(());
        }
        let shown = |amount: &dyn Fn(&String) -> Quantity| {
            exceeded.iter().map(|name| format!("{name}={}", amount(name))).collect::<Vec<_>>().join(",")
        };
        let asked = |name: &String| requested.get(name).copied().unwrap_or_default();
        Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            self.name(),
            shown(&asked),
            shown(&used),
            shown(&most)
        ))
    }
}

#[cfg(test)]
mod tests {
    use api_types::core::Pod;
    use serde_json::{Value, json};

    use super::*;

    fn account(hard: &Value, used: &Value) -> Account {
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}});
        Account::new(serde_json::from_value(quota).unwrap())
    }

    fn pod(cpu: &str) -> Subject {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})).unwrap();
        Subject::of_pod(&pod)
    }

    fn asked(new: Subject, old: Option<Subject>) -> Asked {
        Asked { counted: Counted::Pods, new, old }
    }

    #[test]
    fn what_is_left_can_be_had() {
        let mut account = account(&json!({"pods": "2", "cpu": "3"}), &json!({"pods": "0", "cpu": "1"}));
        assert_eq!(account.charge(&asked(pod("1500m"), None)), Ok(Charged::Yes));
        assert_eq!(account.used, quota::from_wire(Some(&quota::to_wire(&account.used))));
        assert_eq!(
            account.charge(&asked(pod("1"), None)),
            Err("exceeded quota: q, requested: cpu=1, used: cpu=2500m, limited: cpu=3".into())
        );
        assert_eq!(account.charge(&asked(pod("2"), Some(pod("1500m")))), Ok(Charged::Yes), "a resize");
        assert_eq!(account.charge(&asked(pod("2"), Some(pod("2")))), Ok(Charged::No));
        assert_eq!(account.used["cpu"].to_string(), "3");
        assert_eq!(account.used["pods"].to_string(), "1");
    }

    #[test]
    fn a_quota_that_nobody_has_counted_yet_says_nothing_or_no() {
        let empty = |hard: Value| {
            let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}, "status": {"hard": hard}});
            Account::new(serde_json::from_value(quota).unwrap())
        };
        assert_eq!(empty(json!({})).charge(&asked(pod("1"), None)), Ok(Charged::No));
        let why = "status unknown for quota: q, resources: pods".to_owned();
        assert_eq!(empty(json!({"pods": "1"})).charge(&asked(pod("1"), None)), Err(why));
    }

    #[test]
    fn what_is_limited_has_to_be_named() {
        let hard = json!({"memory": "1Gi"});
        let why = "failed quota: q: must specify memory for: c".to_owned();
        assert_eq!(account(&hard, &json!({"memory": "0"})).charge(&asked(pod("1"), None)), Err(why));
    }
}
