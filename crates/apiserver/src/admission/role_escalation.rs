//! Nobody makes a role or a binding that gives more than they have, unless they may `escalate` or `bind`.

use std::sync::Arc;

use api_types::{
    GroupResource, Object, StatusError,
    rbac::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef},
};
use component::auth::{Attributes, Decision, ResourceAttributes, Target, user::MASTERS};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    authorization::rbac::{
        Rbac,
        covers::{describe, missing, number_of_singles, quoted},
        policy,
    },
    registry::{
        Operation, Registry, Review,
        admission::{Handle, Plugin},
        following::load,
    },
};

const GROUP: &str = "rbac.authorization.k8s.io";
/// So many single permissions are looked at; the products of a few long lists are many more.
const MOST: usize = 100_000;

pub(super) struct RoleEscalation {
    pub registry: Handle,
}

impl Plugin for RoleEscalation {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let written = matches!(door.operation, Operation::Create | Operation::Update);
        written && door.row.group == GROUP && door.subresource.is_empty()
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let registry = self.registry.registry();
        Box::pin(async move {
            if review.user().is_in(MASTERS) || only_for_the_collector(review) {
                return Ok(());
            }
            let Some(given) = review.get().and_then(|object| Given::of(object, review.old())) else { return Ok(()) };
            Check { registry: &*registry?, review }.run(&given).await
        })
    }
}

/// What is to be given away.
enum Given<'a> {
    /// A role says what.
    Rules(&'a [PolicyRule]),
    /// A cluster role that gathers others, or did, says what; it can come to say everything.
    Gathered(&'a [PolicyRule]),
    /// A binding refers to a role.
    Role(&'a RoleRef),
}

impl<'a> Given<'a> {
    fn of(object: &'a dyn Object, old: Option<&dyn Object>) -> Option<Self> {
        let rules = |rules: &'a Option<Vec<PolicyRule>>| rules.as_deref().unwrap_or_default();
        if let Some(role) = object.downcast_ref::<Role>() {
            return Some(Self::Rules(rules(&role.rules)));
        }
        if let Some(role) = object.downcast_ref::<ClusterRole>() {
            let before = old.and_then(|old| old.downcast_ref::<ClusterRole>());
            let gathers = role.aggregation_rule.is_some() || before.is_some_and(|old| old.aggregation_rule.is_some());
            return Some(if gathers { Self::Gathered(rules(&role.rules)) } else { Self::Rules(rules(&role.rules)) });
        }
        let role = object.downcast_ref::<RoleBinding>().map(|binding| &binding.role_ref);
        role.or_else(|| object.downcast_ref::<ClusterRoleBinding>().map(|binding| &binding.role_ref)).map(Self::Role)
    }
}

/// What the garbage collector writes, or is not part of what an object says.
const COLLECTORS: [&str; 4] = ["ownerReferences", "finalizers", "managedFields", "resourceVersion"];

/// Whether nothing changes but what the garbage collector needs to change.
fn only_for_the_collector(review: &Review<'_>) -> bool {
    let bare = |object: &dyn Object| {
        let mut tree = object.to_value();
        if let Some(Value::Object(metadata)) = tree.get_mut("metadata") {
            metadata.retain(|field, _| !COLLECTORS.contains(&field.as_str()));
        }
        tree
    };
    review.old().zip(review.get()).is_some_and(|(old, new)| bare(old) == bare(new))
}

struct Check<'a> {
    registry: &'a Registry,
    review: &'a Review<'a>,
}

impl Check<'_> {
    async fn run(&self, given: &Given<'_>) -> Result<(), StatusError> {
        let (verb, resource, name) = match given {
            // Who creates something has not named it to the authorizer.
            Given::Rules(_) | Given::Gathered(_) => {
                let created = self.review.door.operation == Operation::Create;
                ("escalate", &*self.review.door.row.plural, if created { "" } else { self.review.door.target.name })
            }
            Given::Role(role) => ("bind", plural(role), &*role.name),
        };
        if self.may(verb, resource, name).await {
            return Ok(());
        }
        let rbac = Arc::new(Rbac::default());
        load(&rbac.mirrors(), self.registry).await?;
        match given {
            Given::Rules(rules) => self.confirm(&rbac, rules),
            Given::Gathered(rules) => {
                self.confirm(&rbac, rules)?;
                let why = "must have cluster-admin privileges to use the aggregationRule";
                self.confirm(&rbac, policy::rules("cluster-admin")).map_err(|_| self.forbidden(why))
            }
            Given::Role(role) => {
                let rules = rbac.role(self.namespace(), role);
                let absent = || StatusError::not_found(GroupResource::new(GROUP, resource), &role.name);
                self.confirm(&rbac, &rules.ok_or_else(absent)?)
            }
        }
    }

    fn namespace(&self) -> &str {
        self.review.door.target.namespace
    }

    async fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let place = ResourceAttributes {
            group: GROUP.into(),
            version: "*".into(),
            namespace: self.namespace().into(),
            resource: resource.into(),
            name: name.into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes { user: self.review.user(), verb: verb.into(), target: Target::Resource(place) };
        let verdict = self.registry.authorizer().authorize(&asked).await;
        if !verdict.error.is_empty() {
            tracing::error!("authorization to {verb}: {}", verdict.error);
        }
        verdict.decision == Decision::Allow
    }

    /// Sees that the user has all of these rules.
    fn confirm(&self, rbac: &Rbac, given: &[PolicyRule]) -> Result<(), StatusError> {
        if number_of_singles(given) > MOST {
            return Err(self.forbidden(&format!(
                "the rules come to more than {MOST} single permissions, give them away in several parts"
            )));
        }
        let user = self.review.user();
        let (own, errors) = rbac.rules_of(user, self.namespace());
        let lacking = missing(&own.iter().collect::<Vec<_>>(), given);
        if lacking.is_empty() {
            return Ok(());
        }
        let (groups, lacking) = (quoted(&user.groups), describe(&lacking));
        let errors = errors.map(|errors| format!("; resolution errors: [{errors}]")).unwrap_or_default();
        let name = &user.name;
        Err(self.forbidden(&format!(
            "user {name:?} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{lacking}{errors}"
        )))
    }

    fn forbidden(&self, why: &str) -> StatusError {
        let name = self.review.get().and_then(|object| object.meta().name.as_deref()).unwrap_or_default();
        StatusError::forbidden((self.review.door.row).into(), name, why)
    }
}

/// The plural of the kind of a role. Another kind is no role's, and validation would refuse it.
fn plural(role: &RoleRef) -> &'static str {
    if role.kind == "Role" { "roles" } else { "clusterroles" }
}
