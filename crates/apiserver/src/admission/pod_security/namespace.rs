//! A namespace's labels have to be right; who makes it stricter is told which of its pods would not be let in again.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use api_types::{GroupResource, StatusError, core::Pod, field::FieldError};

use super::{
    PodSecurity,
    checks::{self, violations},
    policy::{Level, PREFIX, Policy, Standard},
};
use crate::registry::{Operation, Review};

/// So many pods are looked at at most,
const PODS: usize = 3000;
/// and so long.
const PATIENCE: Duration = Duration::from_secs(1);

type Labels = Option<BTreeMap<String, String>>;

impl PodSecurity {
    pub(super) async fn look_at_namespace(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let Some(labels) = review.get().map(|object| &object.meta().labels) else { return Ok(()) };
        let name = review.door.target.name;
        let (policy, wrong) = self.policy(labels);
        let old = review.old().map(|old| self.policy(&old.meta().labels));
        let before: HashSet<String> = old.iter().flat_map(|(_, wrong)| wrong.iter().map(ToString::to_string)).collect();
        let now: HashSet<String> = wrong.iter().map(ToString::to_string).collect();
        if !wrong.is_empty() && now != before {
            let row = review.door.row;
            return Err(StatusError::invalid(GroupResource::new(&row.group, &row.kind), name, &wrong));
        }
        let exempt = self.configuration.exemptions.namespaces.contains(name);
        let stricter = old.is_some_and(|(old, _)| is_stricter(policy.enforce, old.enforce));
        match (review.door.operation, exempt) {
            (Operation::Create, true) => self.warn_of_exemption(review, &policy, labels),
            (Operation::Update, true) if stricter => self.warn_of_exemption(review, &policy, labels),
            (Operation::Update, false) if stricter => {
                for warning in self.warnings(name, policy.enforce).await {
                    review.warn(warning);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn policy(&self, labels: &Labels) -> (Policy, Vec<FieldError>) {
        Policy::of(|key| labels.as_ref()?.get(key).map(String::as_str), &self.configuration.defaults)
    }

    fn warn_of_exemption(&self, review: &Review<'_>, policy: &Policy, labels: &Labels) {
        if policy.is_privileged() || policy.is_like(&self.configuration.defaults) {
            return;
        }
        let said = |mode: &str| {
            let has = |key: String| labels.as_ref().is_some_and(|labels| labels.contains_key(&key));
            has(format!("{PREFIX}{mode}")) || has(format!("{PREFIX}{mode}-version"))
        };
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        let modes = modes.into_iter().filter(|(mode, standard)| standard.level != Level::Privileged && said(mode));
        let modes: Vec<String> = modes.map(|(mode, standard)| format!("{mode}={standard}")).collect();
        review.warn(format!(
            "namespace {:?} is exempt from Pod Security, and the policy ({}) will be ignored",
            review.door.target.name,
            modes.join(", ")
        ));
    }

    /// What is to be said of the pods that are there.
    async fn warnings(&self, namespace: &str, standard: Standard) -> Vec<String> {
        let Ok((pods, total)) = self.pods_by_worth(namespace).await else {
            return vec!["failed to list pods while checking new PodSecurity enforce level".into()];
        };
        let deadline = Instant::now() + PATIENCE;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut checked = 0;
        for pod in &pods {
            let Some(spec) = &pod.spec else { continue };
            let broken = violations(standard, &checks::Pod::new(pod.metadata.annotations.as_ref(), spec));
            if !broken.is_empty() {
                let reasons: Vec<String> = broken.into_iter().map(|violation| violation.reason).collect();
                let name = pod.metadata.name.clone().unwrap_or_default();
                found.entry(reasons.join(", ")).or_default().push(name);
            }
            checked += 1;
            if Instant::now() > deadline {
                break;
            }
        }
        let mut warnings = Vec::new();
        if checked < total {
            let of = format!("the first {checked} of {total} existing pods");
            warnings.push(format!("new PodSecurity enforce level only checked against {of}"));
        }
        if !found.is_empty() {
            let violate = format!("violate the new PodSecurity enforce level \"{standard}\"");
            warnings.push(format!("existing pods in namespace {namespace:?} {violate}"));
        }
        let mut told: Vec<String> = found.into_iter().map(|(reasons, names)| of_pods(&reasons, names)).collect();
        told.sort();
        warnings.extend(told);
        warnings
    }

    /// The pods to look at, one of each controller first; and how many there are.
    async fn pods_by_worth(&self, namespace: &str) -> Result<(Vec<Pod>, usize), StatusError> {
        let exempt = &self.configuration.exemptions.runtime_classes;
        let is_exempt = |pod: &Pod| {
            let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_ref());
            class.is_some_and(|class| exempt.contains(class))
        };
        let mut seen = HashSet::new();
        let (pods, total) = self.pods.sample(namespace, PODS).await?;
        let looked_at = pods.len();
        let pods: Vec<Pod> = pods.into_iter().filter(|pod| !is_exempt(pod)).collect();
        let total = total - (looked_at - pods.len());
        let (first, further): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| {
            let mut owners = pod.metadata.owner_references.iter().flatten();
            owners.find(|owner| owner.controller == Some(true)).is_none_or(|owner| seen.insert(owner.uid.clone()))
        });
        Ok((first.into_iter().chain(further).collect(), total))
    }
}

fn is_stricter(new: Standard, old: Standard) -> bool {
    new != old && new.level != Level::Privileged && !(new.version == old.version && new.level <= old.level)
}

fn of_pods(reasons: &str, mut names: Vec<String>) -> String {
    names.sort();
    let first = names.first().map(String::as_str).unwrap_or_default();
    match names.len() {
        1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        count => format!("{first} (and {} other pods): {reasons}", count - 1),
    }
}
