//! What quotas count: how much of what an object uses, and which quotas it falls under. The API server charges by these
//! rules and the controller counts by them.

mod claim;
mod pod;
mod scope;
mod service;

use std::collections::{BTreeMap, BTreeSet};

pub use self::scope::requirements as scopes;
use crate::{
    Object,
    core::{PersistentVolumeClaim, Pod, ResourceQuota, ScopedResourceSelectorRequirement, Service},
    jiff::Timestamp,
    quantity::{Format, Quantity, Wire},
    resource::Resource,
};

/// Amounts by the names that quotas have for resources.
pub type Amounts = BTreeMap<String, Quantity>;

/// Resources of which nothing is counted: what is only asked, and what tells of others.
const UNCOUNTED: &[(&str, &str)] = &[
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// Core resources whose number goes by their plain name, too.
const BY_PLAIN_NAME: &[&str] = &["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// One.
const ONE: Quantity = Quantity::new(1, Format::DecimalSi);

/// What is counted of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Pods: their number, and what they ask for.
    Pods,
    /// Services: their number, their node ports and load balancers.
    Services,
    /// Claims: their number and size, by storage class, too.
    Claims,
    /// Anything else: its number, under this name and for some under another.
    Number {
        /// Such as `count/jobs.batch`.
        name: String,
        /// Such as `secrets`.
        plain: Option<&'static str>,
    },
}

impl Counted {
    /// What is counted of a resource; `None` when nothing is.
    #[must_use]
    pub fn of(group: &str, plural: &str) -> Option<Self> {
        if UNCOUNTED.contains(&(group, plural)) {
            return None;
        }
        Some(match (group, plural) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("", _) => {
                let plain = BY_PLAIN_NAME.iter().find(|name| **name == plural).copied();
                Self::Number { name: format!("count/{plural}"), plain }
            }
            _ => Self::Number { name: format!("count/{plural}.{group}"), plain: None },
        })
    }

    /// The same of a row.
    #[must_use]
    pub fn of_row(row: &Resource) -> Option<Self> {
        Self::of(&row.group, &row.plural)
    }

    /// Whether a quota counts this under a name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        match self {
            Self::Pods => pod::is_named(name),
            Self::Services => service::NAMES.contains(&name),
            Self::Claims => claim::is_named(name),
            Self::Number { name: own, plain } => name == own || plain.is_some_and(|plain| plain == name),
        }
    }

    /// Those of the names under which this is counted.
    #[must_use]
    pub fn named<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
        names.into_iter().map(String::as_str).filter(|name| self.is_named(name)).collect()
    }

    /// What an object uses; `None` when it is of another kind.
    #[must_use]
    pub fn subject(&self, object: &dyn Object) -> Option<Subject> {
        match self {
            Self::Pods => object.downcast_ref().map(Subject::of_pod),
            Self::Services => object.downcast_ref().map(Subject::of_service),
            Self::Claims => object.downcast_ref().map(Subject::of_claim),
            Self::Number { .. } => Some(self.number()),
        }
    }

    /// What any object uses of which only the number counts.
    #[must_use]
    pub fn number(&self) -> Subject {
        let mut amounts = Amounts::new();
        if let Self::Number { name, plain } = self {
            amounts.insert(name.clone(), ONE);
            amounts.extend(plain.map(|plain| (plain.to_owned(), ONE)));
        }
        Subject { always: amounts, ..Subject::default() }
    }
}

/// What an object uses, and what decides which quotas it falls under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Used as long as the object exists.
    always: Amounts,
    /// Used besides as long as it lives.
    alive: Amounts,
    /// When it has ended for sure; always has, when that is the smallest time.
    ends: Option<Timestamp>,
    facts: scope::Facts,
    /// Which amounts each container names, as far as naming them can be demanded.
    containers: Vec<(String, BTreeSet<&'static str>)>,
}

impl Subject {
    /// Of a pod.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        pod::subject(pod)
    }

    /// Of a service.
    #[must_use]
    pub fn of_service(service: &Service) -> Self {
        Self { always: service::amounts(service), ..Self::default() }
    }

    /// Of a claim.
    #[must_use]
    pub fn of_claim(claim: &PersistentVolumeClaim) -> Self {
        claim::subject(claim)
    }

    /// What it uses.
    #[must_use]
    pub fn usage(&self, now: Timestamp) -> Amounts {
        let mut usage = self.always.clone();
        if self.ends.is_none_or(|end| now <= end) {
            add(&mut usage, &self.alive);
        }
        usage
    }

    /// Whether a quota's scopes take it in.
    #[must_use]
    pub fn is_in_scope(&self, quota: &ResourceQuota) -> bool {
        scope::requirements(quota).iter().all(|requirement| self.meets(requirement))
    }

    /// Whether one requirement of scopes takes it in.
    #[must_use]
    pub fn meets(&self, requirement: &ScopedResourceSelectorRequirement) -> bool {
        self.facts.meet(requirement)
    }

    /// Sees that the object names what a quota limits, where each container has to.
    ///
    /// # Errors
    /// What is not named where.
    pub fn check_names(&self, limited: &BTreeSet<&str>) -> Result<(), String> {
        let demanded = pod::DEMANDED.iter().filter(|name| limited.contains(**name));
        let missing: Vec<String> = demanded.filter_map(|name| self.missing(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("must specify {}", missing.join("; "))) }
    }

    fn missing(&self, name: &str) -> Option<String> {
        let without: BTreeSet<&str> = (self.containers.iter())
            .filter(|(_, names)| !names.contains(name))
            .map(|(container, _)| container.as_str())
            .collect();
        let without: Vec<&str> = without.into_iter().collect();
        (!without.is_empty()).then(|| format!("{name} for: {}", without.join(",")))
    }
}

/// Adds to a sum.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *sum.entry(name.clone()).or_default() += *amount;
    }
}

/// What amounts say on the wire; what is no quantity is nothing.
#[must_use]
pub fn from_wire(list: Option<&BTreeMap<String, Wire>>) -> Amounts {
    let read = |(name, amount): (&String, &Wire)| (name.clone(), Quantity::try_from(amount).unwrap_or_default());
    list.into_iter().flatten().map(read).collect()
}

/// Amounts as they go over the wire.
#[must_use]
pub fn to_wire(amounts: &Amounts) -> BTreeMap<String, Wire> {
    amounts.iter().map(|(name, amount)| (name.clone(), amount.to_wire())).collect()
}

#[cfg(test)]
mod tests;
