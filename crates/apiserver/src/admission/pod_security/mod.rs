//! Pods meet the standard that their namespace demands; who writes what makes pods is warned.

mod checks;
mod configuration;
mod namespace;
mod policy;

use std::collections::{BTreeMap, HashMap};

use api_types::{
    Object, Resource, StatusError,
    apps::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::{CronJob, Job},
    core::{EphemeralContainer, Namespace, Pod, PodSpec, PodTemplate, PodTemplateSpec, ReplicationController},
    field::FieldError,
    rows,
};
use futures::future::BoxFuture;
use serde_json::Value;

use self::{
    checks::{Violation, violations},
    configuration::Configuration,
    policy::{Level, Policy, Standard},
};
use super::{Make, errors::aggregate, view::View};
use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

/// Doors to a pod that do not change what it is allowed.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// What makes pods.
const MAKERS: [(&str, &str); 8] = [
    ("", "replicationcontrollers"),
    ("", "podtemplates"),
    ("apps", "replicasets"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
];
/// Annotations of the audit log.
const EXEMPT: &str = "pod-security.kubernetes.io/exempt";
const VIOLATIONS: &str = "pod-security.kubernetes.io/audit-violations";
const ENFORCED: &str = "pod-security.kubernetes.io/enforce-policy";
const ERROR: &str = "pod-security.kubernetes.io/error";

pub(super) struct PodSecurity {
    namespaces: View<Namespace>,
    pods: View<Pod>,
    configuration: Configuration,
}

/// The plugin as its configuration has it.
pub(super) fn configured(configuration: Option<&Value>) -> Result<Make, String> {
    let configuration = Configuration::read(configuration)?;
    Ok(Box::new(|registry: Handle| {
        let (namespaces, pods) = (View::new(&registry, &rows::NAMESPACES), View::new(&registry, &rows::PODS));
        Box::new(PodSecurity { namespaces, pods, configuration })
    }))
}

impl Plugin for PodSecurity {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let written = matches!(door.operation, Operation::Create | Operation::Update);
        let whole = door.subresource.is_empty();
        written
            && match door.row {
                row if row.is(&rows::PODS) => !IGNORED.contains(&door.subresource),
                row if row.is(&rows::NAMESPACES) => whole,
                row => whole && makes_pods(row),
            }
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            if review.door.row.is(&rows::NAMESPACES) {
                self.look_at_namespace(review).await
            } else {
                self.look_at_pod(review).await
            }
        })
    }
}

fn makes_pods(row: &Resource) -> bool {
    MAKERS.contains(&(&*row.group, &*row.plural))
}

impl PodSecurity {
    async fn look_at_pod(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let namespace = review.door.target.namespace;
        let exempt = &self.configuration.exemptions;
        if exempt.namespaces.contains(namespace) {
            review.annotate(EXEMPT, "namespace");
            return Ok(());
        }
        if exempt.usernames.contains(&review.user().name) {
            review.annotate(EXEMPT, "user");
            return Ok(());
        }
        let (policy, wrong) = self.policy_of(namespace).await?;
        let enforced = review.door.row.is(&rows::PODS);
        let lenient = policy.audit.level == Level::Privileged && policy.warn.level == Level::Privileged;
        if wrong.is_empty() && lenient && (!enforced || policy.enforce.level == Level::Privileged) {
            if enforced {
                review.annotate(ENFORCED, &Standard::PRIVILEGED.to_string());
            }
            return Ok(());
        }
        let Some((annotations, spec)) = review.get().and_then(pod_of) else { return Ok(()) };
        let old = review.old().and_then(|old| old.downcast_ref::<Pod>());
        if enforced && old.and_then(|old| old.spec.as_ref()).is_some_and(|old| !matters(spec, old)) {
            return Ok(());
        }
        if spec.runtime_class_name.as_ref().is_some_and(|class| exempt.runtime_classes.contains(class)) {
            review.annotate(EXEMPT, "runtimeClass");
            return Ok(());
        }
        if !wrong.is_empty() {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            review.annotate(ERROR, &format!("Failed to parse policy: {}", aggregate(&wrong)));
        }
        judge(review, &policy, enforced, &checks::Pod::new(annotations, spec))
    }

    /// What a namespace demands, and what is wrong with its labels.
    async fn policy_of(&self, namespace: &str) -> Result<(Policy, Vec<FieldError>), StatusError> {
        let labels = self.namespaces.labels("", namespace).await?;
        let find = |key: &str| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        Ok(Policy::of(find, &self.configuration.defaults))
    }
}

fn judge(review: &Review<'_>, policy: &Policy, enforced: bool, pod: &checks::Pod<'_>) -> Result<(), StatusError> {
    let broken = |standard: Standard| violations(standard, pod);
    let audited = broken(policy.audit);
    if !audited.is_empty() {
        review.annotate(VIOLATIONS, &format!("would violate PodSecurity \"{}\": {}", policy.audit, told(&audited)));
    }
    if enforced {
        review.annotate(ENFORCED, &policy.enforce.to_string());
        let broken = broken(policy.enforce);
        if !broken.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, told(&broken));
            return Err(review.forbidden(&why));
        }
    }
    let warned = broken(policy.warn);
    if !warned.is_empty() {
        review.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, told(&warned)));
    }
    Ok(())
}

/// Violations in words.
fn told(violations: &[Violation]) -> String {
    let told = violations.iter().map(|violation| match violation.detail.as_str() {
        "" => violation.reason.clone(),
        detail => format!("{} ({detail})", violation.reason),
    });
    told.collect::<Vec<_>>().join(", ")
}

type PodParts<'a> = (Option<&'a BTreeMap<String, String>>, &'a PodSpec);

/// The pod that an object is or makes.
fn pod_of(object: &dyn Object) -> Option<PodParts<'_>> {
    if let Some(pod) = object.downcast_ref::<Pod>() {
        return Some((pod.metadata.annotations.as_ref(), pod.spec.as_ref()?));
    }
    let template = template_of(object)?;
    Some((template.metadata.as_ref().and_then(|meta| meta.annotations.as_ref()), template.spec.as_ref()?))
}

fn template_of(object: &dyn Object) -> Option<&PodTemplateSpec> {
    if let Some(deployment) = object.downcast_ref::<Deployment>() {
        return deployment.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(set) = object.downcast_ref::<ReplicaSet>() {
        return set.spec.as_ref()?.template.as_ref();
    }
    if let Some(set) = object.downcast_ref::<StatefulSet>() {
        return set.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(set) = object.downcast_ref::<DaemonSet>() {
        return set.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(job) = object.downcast_ref::<Job>() {
        return job.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(job) = object.downcast_ref::<CronJob>() {
        return job.spec.job_template.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(controller) = object.downcast_ref::<ReplicationController>() {
        return controller.spec.as_ref()?.template.as_ref();
    }
    object.downcast_ref::<PodTemplate>()?.template.as_ref()
}

/// Whether an update can make a difference: only images change, and containers come.
fn matters(new: &PodSpec, old: &PodSpec) -> bool {
    let (new_init, old_init) = (new.init_containers.as_deref(), old.init_containers.as_deref());
    let pairs = [
        (new.containers.as_slice(), old.containers.as_slice()),
        (new_init.unwrap_or_default(), old_init.unwrap_or_default()),
    ];
    let changed = pairs
        .into_iter()
        .any(|(new, old)| new.len() != old.len() || new.iter().zip(old).any(|(new, old)| new.image != old.image));
    let before = old.ephemeral_containers.iter().flatten().map(|old| (&old.name, &old.image));
    let before: HashMap<_, _> = before.collect();
    let comes = |new: &EphemeralContainer| before.get(&new.name) != Some(&&new.image);
    changed || new.ephemeral_containers.iter().flatten().any(comes)
}
