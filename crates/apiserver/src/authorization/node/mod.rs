//! Kubelets: each may read what its pods refer to, and write what concerns its own node, as far as admission lets it.

mod graph;
mod pod;
mod volume;

use std::{future::ready, sync::Arc};

use api_types::selector::field;
use component::auth::{
    Attributes, Authorizer, ResourceAttributes, Rules, Target, User, Verdict,
    user::{NODES, node},
};
use futures::future::BoxFuture;
use parking_lot::RwLock;

use self::graph::{Graph, Thing};
use super::rbac::{allows, policy};
use crate::registry::following::{Mirror, Mirrored};

/// Decides about kubelets.
#[derive(Default)]
pub struct Nodes {
    graph: RwLock<Graph>,
}

/// Which kubelet this is: `None` for everybody else, an empty name for one that does not say which.
#[must_use]
pub fn identity(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    user.is_in(NODES).then(|| if node(&user.name).is_some() { name } else { "" })
}

impl Nodes {
    /// The mode's name.
    pub const NAME: &str = "Node";

    /// What keeps it up to date.
    #[must_use]
    pub fn mirrors(self: &Arc<Self>) -> Vec<Mirrored> {
        let mirrored =
            |resource, read, remove| Mirrored::new(resource, Arc::new(Part { nodes: self.clone(), read, remove }));
        vec![
            mirrored(("", "v1", "pods"), pod::read, Graph::remove_pod),
            mirrored(("", "v1", "persistentvolumes"), volume::read, |graph, _, name| graph.remove_volume(name)),
            mirrored(("storage.k8s.io", "v1", "volumeattachments"), volume::read_attachment, |graph, _, name| {
                graph.remove_own(Thing::Attachment, name);
            }),
            mirrored(("resource.k8s.io", "v1", "resourceslices"), volume::read_slice, |graph, _, name| {
                graph.remove_own(Thing::Slice, name);
            }),
        ]
    }

    fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        let node = match identity(attributes.user) {
            None => return Verdict::default(),
            Some("") => return Verdict::no_opinion(format!("unknown node for user {:?}", attributes.user.name)),
            Some(node) => node,
        };
        let asked = match &attributes.target {
            Target::Resource(place) => Asked { nodes: self, node, verb: &attributes.verb, place },
            Target::Path(_) => return uniform(attributes),
        };
        asked.decide().unwrap_or_else(|| uniform(attributes))
    }
}

/// What is not subdivided is the same for all nodes.
fn uniform(attributes: &Attributes<'_>) -> Verdict {
    let allowed = policy::rules("system:node").iter().any(|rule| allows(rule, attributes));
    if allowed { Verdict::allow() } else { Verdict::default() }
}

impl Authorizer for Nodes {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(self.decide(attributes)))
    }

    fn rules<'a>(&'a self, user: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        let mut rules = Rules::default();
        if identity(user).is_some() {
            rules.incomplete = true;
            rules.error = "node authorizer does not support user rule resolution".into();
        }
        Box::pin(ready(rules))
    }
}

/// A node that wants to do something with a resource.
struct Asked<'a> {
    nodes: &'a Nodes,
    node: &'a str,
    verb: &'a str,
    place: &'a ResourceAttributes<'a>,
}

const LEASES: &str = "kube-node-lease";

/// The verbs with which a node writes what is its own.
const OWN: [&str; 5] = ["get", "create", "update", "patch", "delete"];

fn no(reason: impl Into<String>) -> Verdict {
    Verdict::no_opinion(reason)
}

impl Asked<'_> {
    /// `None` for what is not subdivided.
    fn decide(&self) -> Option<Verdict> {
        let status = self.place.subresource == "status";
        Some(match (&*self.place.group, &*self.place.resource) {
            ("", "secrets") => self.read(Thing::Secret),
            ("", "configmaps") => self.read(Thing::ConfigMap),
            ("", "persistentvolumeclaims") if status => self.write_status(Thing::Claim),
            ("", "persistentvolumeclaims") => self.get(Thing::Claim),
            ("", "persistentvolumes") => self.get(Thing::Volume),
            ("resource.k8s.io", "resourceclaims") => self.get(Thing::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => self.get(Thing::Attachment),
            ("", "serviceaccounts") => self.service_account(),
            ("coordination.k8s.io", "leases") => self.lease(),
            ("storage.k8s.io", "csinodes") => self.csi_node(),
            ("resource.k8s.io", "resourceslices") => self.slice(),
            ("", "nodes") => self.own_node(),
            ("", "pods") => self.pod(),
            _ => return None,
        })
    }

    /// Whether the object is one that the node has to do with.
    fn related(&self, thing: Thing) -> Verdict {
        let ResourceAttributes { namespace, name, .. } = self.place;
        if name.is_empty() {
            return no("No Object name found");
        }
        if self.nodes.graph.read().leads_to(thing, namespace, name, self.node) {
            Verdict::allow()
        } else {
            no(format!("no relationship found between node '{}' and this object", self.node))
        }
    }

    fn read(&self, thing: Thing) -> Verdict {
        match () {
            () if !matches!(self.verb, "get" | "list" | "watch") => no("can only read resources of this type"),
            () if !self.place.subresource.is_empty() => no("cannot read subresource"),
            () if self.place.namespace.is_empty() => no("can only read namespaced object of this type"),
            () => self.related(thing),
        }
    }

    fn get(&self, thing: Thing) -> Verdict {
        match () {
            () if self.verb != "get" => no("can only get individual resources of this type"),
            () if !self.place.subresource.is_empty() => no("cannot get subresource"),
            () => self.related(thing),
        }
    }

    fn write_status(&self, thing: Thing) -> Verdict {
        match self.verb {
            "update" | "patch" => self.related(thing),
            _ => no("can only get/update/patch this type"),
        }
    }

    fn service_account(&self) -> Verdict {
        if self.verb == "get" && self.place.subresource.is_empty() {
            return self.read(Thing::ServiceAccount);
        }
        match () {
            () if self.verb != "create" || self.place.name.is_empty() => {
                no("can only create tokens for individual service accounts")
            }
            () if self.place.subresource != "token" => no("can only create token subresource of serviceaccount"),
            () => self.related(Thing::ServiceAccount),
        }
    }

    fn lease(&self) -> Verdict {
        match () {
            () if !OWN.contains(&self.verb) => no("can only get, create, update, patch, or delete a node lease"),
            () if self.place.namespace != LEASES => {
                no(format!("can only access leases in the {LEASES:?} system namespace"))
            }
            // Whom a new one is for is seen by admission.
            () if self.verb != "create" && self.place.name != self.node => {
                no("can only access node lease with the same name as the requesting node")
            }
            () => Verdict::allow(),
        }
    }

    fn csi_node(&self) -> Verdict {
        match () {
            () if !OWN.contains(&self.verb) => no("can only get, create, update, patch, or delete a CSINode"),
            () if !self.place.subresource.is_empty() => no("cannot authorize CSINode subresources"),
            () if self.verb != "create" && self.place.name != self.node => {
                no("can only access CSINode with the same name as the requesting node")
            }
            () => Verdict::allow(),
        }
    }

    fn slice(&self) -> Verdict {
        if !self.place.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb {
            "create" => Verdict::allow(),
            "get" | "update" | "patch" | "delete" => self.related(Thing::Slice),
            "watch" | "list" | "deletecollection" if self.selects_own("nodeName") => Verdict::allow(),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    /// Whether a collection is narrowed to what is this node's.
    fn selects_own(&self, field: &str) -> bool {
        let selector: Result<field::Selector, _> = self.place.field_selector.parse();
        selector.is_ok_and(|selector| selector.required(field) == Some(self.node))
    }

    fn own_node(&self) -> Verdict {
        match (&*self.place.subresource, self.verb) {
            // Admission sees that it is the node itself.
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Verdict::allow(),
            ("", "get" | "list" | "watch") => match &*self.place.name {
                name if name == self.node => Verdict::allow(),
                "" => no(format!("node '{}' cannot read all nodes, only its own Node object", self.node)),
                name => no(format!("node '{}' cannot read '{name}', only its own Node object", self.node)),
            },
            _ => Verdict::default(),
        }
    }

    fn pod(&self) -> Verdict {
        match (&*self.place.subresource, self.verb) {
            ("", "get") => self.get(Thing::Pod),
            ("", "list" | "watch") if self.selects_own("spec.nodeName") => Verdict::allow(),
            ("", "list" | "watch") if !self.place.name.is_empty() => self.related(Thing::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // Admission sees that they are mirror pods, or pods of the node.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Verdict::allow(),
            _ => Verdict::default(),
        }
    }
}

/// Keeps what one kind says.
struct Part {
    nodes: Arc<Nodes>,
    read: fn(&str, &str, &[u8]) -> serde_json::Result<graph::Change>,
    remove: fn(&mut Graph, &str, &str),
}

impl Mirror for Part {
    fn put(&self, namespace: &str, name: &str, json: &[u8]) {
        // Decoded before anybody has to wait.
        match (self.read)(namespace, name, json) {
            Ok(change) => self.nodes.graph.write().apply(change),
            Err(error) => {
                tracing::warn!(namespace, name, "node authorizer: {error}");
                self.remove(namespace, name);
            }
        }
    }

    fn remove(&self, namespace: &str, name: &str) {
        (self.remove)(&mut self.nodes.graph.write(), namespace, name);
    }
}

#[cfg(test)]
mod tests;
