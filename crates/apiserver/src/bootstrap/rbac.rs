//! The roles and bindings that every cluster has: made where they are missing, and what somebody took from them is put
//! back. What somebody added stays; and all stays where an annotation says so. Several servers may do this at once.

use std::{collections::BTreeMap, time::Duration};

use api_types::{
    Kind, Object, Resource, StatusError,
    meta::{DeleteOptions, ObjectMeta, Preconditions},
    rbac::{AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject},
    rows,
};
use component::backoff::Backoff;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use super::{loopback_user, own_options};
use crate::{
    authorization::rbac::{
        covers::missing,
        policy::{AUTO_UPDATE, Policy, policy},
    },
    registry::{Change, Changed, Part, Registry, Rest, Stored, Target, Write, deletion::DeleteRequest},
};

/// So many objects are looked at at once.
const PARALLEL: usize = 32;
/// So often an object is tried that others change meanwhile.
const ATTEMPTS: usize = 5;
/// Before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Makes the default roles and bindings what they have to be at least.
///
/// # Errors
/// When the server or its store fails. What is wrong with one object keeps nobody from the others.
pub async fn reconcile(registry: &Registry) -> Result<(), StatusError> {
    let Policy { cluster_roles, cluster_role_bindings, roles, role_bindings } = policy();
    reconcile_each(registry, &rows::CLUSTER_ROLES, cluster_roles).await?;
    reconcile_each(registry, &rows::CLUSTER_ROLE_BINDINGS, cluster_role_bindings).await?;
    reconcile_each(registry, &rows::ROLES, roles).await?;
    reconcile_each(registry, &rows::ROLE_BINDINGS, role_bindings).await
}

/// A kind of default objects.
trait Reconciled: Kind + Object {
    /// Whether the object cannot be changed into what is expected.
    fn must_be_made_again(&self, expected: &Self) -> bool {
        let _ = expected;
        false
    }

    /// Adds what is expected and missing, metadata excepted.
    fn complete(&mut self, expected: &Self);
}

async fn reconcile_each<T: Reconciled>(registry: &Registry, row: &Resource, all: &[T]) -> Result<(), StatusError> {
    let Some(rest) = registry.find(&row.group, &row.version, &row.plural) else { return Ok(()) };
    let each: Vec<BoxFuture<'_, _>> =
        all.iter().map(|expected| reconcile_one(registry, &rest, expected).boxed()).collect();
    stream::iter(each).buffer_unordered(PARALLEL).try_collect().await
}

async fn reconcile_one<T: Reconciled>(registry: &Registry, rest: &Rest, expected: &T) -> Result<(), StatusError> {
    let mut attempts = 1..=ATTEMPTS;
    let mut backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(1));
    loop {
        attempts.next();
        match attempt(registry, rest, expected).await {
            // Somebody else did the same, or the opposite, at the same time.
            Err(error)
                if !attempts.is_empty() && matches!(error.reason(), "AlreadyExists" | "Conflict" | "NotFound") =>
            {
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(error) if error.code() < 500 => {
                tracing::warn!(
                    name = expected.metadata().name,
                    "unable to reconcile {}: {error}",
                    rest.group_resource()
                );
                return Ok(());
            }
            result => return result,
        }
    }
}

async fn attempt<T: Reconciled>(registry: &Registry, rest: &Rest, expected: &T) -> Result<(), StatusError> {
    let meta = expected.metadata();
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let target = Target { namespace, name: meta.name.as_deref().unwrap_or_default() };
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    if let Ok(entry) = registry.get(rest, target).await
        && let object = rest.decode(entry.item()).await?
        && let existing = object.expect_ref::<T>(T::KIND)?
        && !is_protected(existing.metadata())
        && existing.must_be_made_again(expected)
    {
        let preconditions = Preconditions { uid: existing.metadata().uid.clone(), ..Preconditions::default() };
        let options = DeleteOptions { preconditions: Some(preconditions), ..DeleteOptions::default() };
        registry.delete(rest, &write, target, &DeleteRequest::new(options)?).await?;
        return registry.create(rest, &write, namespace, expected.clone_object()).await.map(drop);
    }
    registry.update(rest, &write, target, Part::Main, &Completion(expected)).await.map(drop)
}

/// Whether somebody wants an object left as it is.
fn is_protected(meta: &ObjectMeta) -> bool {
    meta.annotations.as_ref().and_then(|annotations| annotations.get(AUTO_UPDATE)).is_some_and(|value| value == "false")
}

/// Adds to an object what is missing of what is expected.
struct Completion<'a, T>(&'a T);

impl<T: Reconciled> Change for Completion<'_, T> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut object = current.object.clone_object();
        let existing = object.expect_mut::<T>(T::KIND)?;
        if !is_protected(existing.metadata()) {
            let expected = self.0.metadata();
            let meta = existing.metadata_mut();
            add(&mut meta.annotations, expected.annotations.as_ref());
            add(&mut meta.labels, expected.labels.as_ref());
            existing.complete(self.0);
        }
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(Some(self.0.clone_object().into()))
    }
}

/// Adds what is not there; what is there keeps its value.
fn add(own: &mut Option<BTreeMap<String, String>>, expected: Option<&BTreeMap<String, String>>) {
    for (key, value) in expected.into_iter().flatten() {
        own.get_or_insert_default().entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn complete_rules(own: &mut Option<Vec<PolicyRule>>, expected: Option<&[PolicyRule]>) {
    let owned: Vec<&PolicyRule> = own.iter().flatten().collect();
    let lacking: Vec<PolicyRule> =
        missing(&owned, expected.unwrap_or_default()).into_iter().map(PolicyRule::from).collect();
    if !lacking.is_empty() {
        own.get_or_insert_default().extend(lacking);
    }
}

fn complete_aggregation(own: &mut Option<AggregationRule>, expected: Option<&AggregationRule>) {
    let Some(expected) = expected else {
        // The role is not meant to gather anything.
        *own = None;
        return;
    };
    let selectors = own.get_or_insert_default().cluster_role_selectors.get_or_insert_default();
    for selector in expected.cluster_role_selectors.iter().flatten() {
        if !selectors.contains(selector) {
            selectors.push(selector.clone());
        }
    }
}

fn complete_subjects(own: &mut Option<Vec<Subject>>, expected: Option<&[Subject]>) {
    for subject in expected.unwrap_or_default() {
        if !own.as_ref().is_some_and(|own| own.contains(subject)) {
            own.get_or_insert_default().push(subject.clone());
        }
    }
}

impl Reconciled for ClusterRole {
    fn complete(&mut self, expected: &Self) {
        complete_rules(&mut self.rules, expected.rules.as_deref());
        complete_aggregation(&mut self.aggregation_rule, expected.aggregation_rule.as_ref());
    }
}

impl Reconciled for Role {
    fn complete(&mut self, expected: &Self) {
        complete_rules(&mut self.rules, expected.rules.as_deref());
    }
}

impl Reconciled for ClusterRoleBinding {
    fn must_be_made_again(&self, expected: &Self) -> bool {
        self.role_ref != expected.role_ref
    }

    fn complete(&mut self, expected: &Self) {
        complete_subjects(&mut self.subjects, expected.subjects.as_deref());
    }
}

impl Reconciled for RoleBinding {
    fn must_be_made_again(&self, expected: &Self) -> bool {
        self.role_ref != expected.role_ref
    }

    fn complete(&mut self, expected: &Self) {
        complete_subjects(&mut self.subjects, expected.subjects.as_deref());
    }
}
