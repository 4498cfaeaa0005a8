//! Who makes requests, and what they may do.

use std::time::{Duration, Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use component::metrics::UnsuffixedCounter;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Username {
    username: &'static str,
}

/// How often each thing came of something, and how long that took.
#[derive(Clone, Debug)]
pub struct Outcomes<C> {
    counts: Family<Outcome, C>,
    times: Family<Outcome, Histogram, fn() -> Histogram>,
}

impl<C: Default> Default for Outcomes<C> {
    fn default() -> Self {
        // Upstream's buckets: from 1 ms to 16 s.
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self { counts: Family::default(), times: Family::new_with_constructor(histogram) }
    }
}

impl<C: Default + Clone> Outcomes<C> {
    /// This came of what has begun then.
    fn came(&self, result: &'static str, begun: Instant) -> C {
        let (outcome, time): (_, Duration) = (Outcome { result }, begun.elapsed());
        self.times.get_or_create(&outcome).observe(time.as_secs_f64());
        self.counts.get_or_create(&outcome).clone()
    }
}

/// Upstream's metrics of authentication and authorization.
#[derive(Clone, Debug, Default)]
pub struct Access {
    users: Family<Username, UnsuffixedCounter>,
    authentications: Outcomes<UnsuffixedCounter>,
    authorizations: Outcomes<Counter>,
}

impl Access {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests of those whom the server knows, by their kind of name";
        registry.register("authenticated_user_requests", help, self.users.clone());
        let help = "Attempts to find out who somebody is";
        registry.register("authentication_attempts", help, self.authentications.counts.clone());
        let help = "How long it takes to find out who somebody is";
        registry.register("authentication_duration_seconds", help, self.authentications.times.clone());
        let help = "Decisions about what somebody may do";
        registry.register("authorization_attempts", help, self.authorizations.counts.clone());
        let help = "How long it takes to decide what somebody may do";
        registry.register("authorization_duration_seconds", help, self.authorizations.times.clone());
    }

    /// Somebody of this name is known, since when it was asked.
    pub fn known(&self, name: &str, begun: Instant) {
        self.authentications.came("success", begun).0.inc();
        self.users.get_or_create(&Username { username: kind_of_name(name) }).0.inc();
    }

    /// Nobody knows who it is.
    pub fn unknown(&self, begun: Instant) {
        self.authentications.came("failure", begun).0.inc();
    }

    /// Something was wrong with what somebody presented.
    pub fn failed(&self, begun: Instant) {
        self.authentications.came("error", begun).0.inc();
    }

    /// What was decided: `allowed`, `denied`, `no-opinion` or `error`.
    pub fn decided(&self, result: &'static str, begun: Instant) {
        self.authorizations.came(result, begun).inc();
    }
}

/// Upstream's kinds of names: names are nobody's business, and there are too many.
fn kind_of_name(name: &str) -> &'static str {
    const OWN: [&str; 5] = ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];
    let own = OWN.into_iter().find(|own| *own == name);
    own.unwrap_or(if name.contains('@') { "email_id" } else { "other" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_told() {
        let cases = [("admin", "admin"), ("a@b", "email_id"), ("system:admin", "other"), ("", "other")];
        for (name, told) in cases {
            assert_eq!(kind_of_name(name), told);
        }
    }
}
