//! Roles and bindings: what they say is kept in memory, indexed by whom it is said of, and told by the watch caches.

pub mod covers;
mod index;
pub mod policy;
mod rule;

use std::{future::ready, sync::Arc};

use api_types::{
    Kind, Object, Resource,
    rbac::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef},
    rows,
};
use component::auth::{
    Attributes, Authorizer, Rules, Target, User, Verdict,
    authorization::{PathRule, ResourceRule},
};
use futures::future::BoxFuture;
use index::{Binding, Index};
use parking_lot::RwLock;
pub use rule::allows;
use serde::de::Error;

use crate::registry::following::{Mirror, Mirrored};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Decides by roles and bindings.
#[derive(Default)]
pub struct Rbac {
    index: RwLock<Index>,
}

impl Rbac {
    /// The mode's name.
    pub const NAME: &str = "RBAC";

    /// What keeps it up to date.
    #[must_use]
    pub fn mirrors(self: &Arc<Self>) -> Vec<Mirrored> {
        let mirrored = |plural, put, remove| {
            Mirrored::new((GROUP, "v1", plural), Arc::new(Part { rbac: self.clone(), put, remove }))
        };
        vec![
            mirrored("clusterroles", put_cluster_role, |index, _, name| index.remove_cluster_role(name)),
            mirrored("roles", put_role, Index::remove_role),
            mirrored("clusterrolebindings", put_cluster_role_binding, |index, _, name| {
                index.remove_binding("", name);
            }),
            mirrored("rolebindings", put_role_binding, Index::remove_binding),
        ]
    }

    fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        let namespace = match &attributes.target {
            Target::Resource(place) => &*place.namespace,
            Target::Path(_) => "",
        };
        let index = self.index.read();
        let mut errors = Vec::new();
        for granted in index.granted(attributes.user, namespace) {
            match granted.rules() {
                Ok(rules) if rules.iter().any(|rule| allows(rule, attributes)) => {
                    return Verdict { reason: format!("RBAC: allowed by {granted}"), ..Verdict::allow() };
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        Verdict::no_opinion(aggregate(errors).map(|errors| format!("RBAC: {errors}")).unwrap_or_default())
    }

    /// The rules of everything that a user has, and what could not be found of it.
    #[must_use]
    pub fn rules_of(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Option<String>) {
        let index = self.index.read();
        let (rules, errors) = index.rules(user, namespace);
        (rules.into_iter().cloned().collect(), aggregate(errors))
    }

    /// The rules of the role that a binding in this namespace (empty: of the cluster) refers to, if it is there.
    #[must_use]
    pub fn role(&self, namespace: &str, role: &RoleRef) -> Option<RoleRules> {
        self.index.read().role(namespace, role).ok().cloned()
    }

    fn list(&self, user: &User, namespace: &str) -> Rules {
        let (rules, errors) = self.rules_of(user, namespace);
        let mut all = Rules { error: errors.unwrap_or_default(), ..Rules::default() };
        for rule in rules {
            let (resources, paths) = (rule.resources.unwrap_or_default(), rule.non_resource_urls.unwrap_or_default());
            if !paths.is_empty() {
                all.paths.push(PathRule { verbs: rule.verbs.clone(), paths });
            }
            if !resources.is_empty() {
                let (groups, names) = (rule.api_groups.unwrap_or_default(), rule.resource_names.unwrap_or_default());
                all.resources.push(ResourceRule { verbs: rule.verbs, groups, resources, names });
            }
        }
        all
    }
}

impl Authorizer for Rbac {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(self.decide(attributes)))
    }

    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(ready(self.list(user, namespace)))
    }
}

/// The only error as it is, several as Go writes them, each once.
fn aggregate(errors: Vec<String>) -> Option<String> {
    let mut distinct: Vec<String> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    match distinct.len() {
        0 => None,
        1 => distinct.pop(),
        _ => Some(format!("[{}]", distinct.join(", "))),
    }
}

/// Keeps what one of the four kinds says.
struct Part {
    rbac: Arc<Rbac>,
    put: fn(&mut Index, Named<'_>) -> serde_json::Result<()>,
    remove: fn(&mut Index, &str, &str),
}

/// An object as it is stored.
struct Named<'a> {
    namespace: &'a str,
    name: &'a str,
    json: &'a [u8],
}

impl Named<'_> {
    /// The object, by the decoder of its row: that is compiled already.
    fn decode<T: Kind + Object>(&self, row: &Resource) -> serde_json::Result<T> {
        let object = row.ops.decode_trusted(self.json)?;
        object.downcast_ref::<T>().cloned().ok_or_else(|| serde_json::Error::custom("another kind"))
    }
}

impl Mirror for Part {
    fn put(&self, namespace: &str, name: &str, json: &[u8]) {
        let mut index = self.rbac.index.write();
        if let Err(error) = (self.put)(&mut index, Named { namespace, name, json }) {
            // What cannot be read gives nothing.
            tracing::warn!(namespace, name, "RBAC: {error}");
            (self.remove)(&mut index, namespace, name);
        }
    }

    fn remove(&self, namespace: &str, name: &str) {
        (self.remove)(&mut self.rbac.index.write(), namespace, name);
    }
}

fn put_cluster_role(index: &mut Index, object: Named<'_>) -> serde_json::Result<()> {
    let role: ClusterRole = object.decode(&rows::CLUSTER_ROLES)?;
    index.put_cluster_role(object.name, role.rules.unwrap_or_default());
    Ok(())
}

fn put_role(index: &mut Index, object: Named<'_>) -> serde_json::Result<()> {
    let role: Role = object.decode(&rows::ROLES)?;
    index.put_role(object.namespace, object.name, role.rules.unwrap_or_default());
    Ok(())
}

fn put_cluster_role_binding(index: &mut Index, object: Named<'_>) -> serde_json::Result<()> {
    let binding: ClusterRoleBinding = object.decode(&rows::CLUSTER_ROLE_BINDINGS)?;
    let subjects = binding.subjects.unwrap_or_default();
    index.put_binding(Binding { namespace: "".into(), name: object.name.into(), role: binding.role_ref, subjects });
    Ok(())
}

fn put_role_binding(index: &mut Index, object: Named<'_>) -> serde_json::Result<()> {
    let binding: RoleBinding = object.decode(&rows::ROLE_BINDINGS)?;
    let (namespace, subjects) = (object.namespace.into(), binding.subjects.unwrap_or_default());
    index.put_binding(Binding { namespace, name: object.name.into(), role: binding.role_ref, subjects });
    Ok(())
}

/// The rules of a role, shared by whoever looks at them.
pub type RoleRules = Arc<[PolicyRule]>;
