//! What leads to a node: pods, and what they refer to, as counted references.

use std::collections::HashMap;

/// A kind of objects that may have to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// `secrets`.
    Secret,
    /// `configmaps`.
    ConfigMap,
    /// `persistentvolumeclaims`.
    Claim,
    /// `persistentvolumes`.
    Volume,
    /// `resourceclaims`.
    ResourceClaim,
    /// `serviceaccounts`.
    ServiceAccount,
    /// `volumeattachments`.
    Attachment,
    /// `resourceslices`.
    Slice,
    /// `pods`.
    Pod,
}

/// Namespace and name, the one empty at cluster scope.
pub type Id = (Box<str>, Box<str>);

/// What an object says now.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// A pod that is on no node yet, or of which nothing follows.
    NoPod(Id),
    /// A pod on a node.
    Pod(Id, OnNode),
    /// A volume; `None` for one that no claim has.
    Volume(Box<str>, Option<Bound>),
    /// An object that says by itself of which node it is.
    Own(Thing, Box<str>, Option<Box<str>>),
}

/// Where a pod is, and to what in its namespace it refers.
#[derive(Debug, PartialEq, Eq)]
pub struct OnNode {
    /// The node.
    pub node: Box<str>,
    /// Each once.
    pub refers: Vec<(Thing, Box<str>)>,
}

/// The claim that has a volume, and the secrets that the kubelet needs to mount it.
#[derive(Debug, PartialEq, Eq)]
pub struct Bound {
    /// The claim.
    pub claim: Id,
    /// The secrets.
    pub secrets: Vec<Id>,
}

/// How many pods of each node refer to something.
type Counts = HashMap<Box<str>, usize>;

/// What leads to which node.
#[derive(Default)]
pub struct Graph {
    pods: HashMap<Id, OnNode>,
    /// By kind, namespace and name.
    used: HashMap<(Thing, Id), Counts>,
    volumes: HashMap<Box<str>, Bound>,
    /// The volumes that need a secret.
    needing: HashMap<Id, Vec<Box<str>>>,
    /// The node of what says it by itself.
    own: HashMap<(Thing, Box<str>), Box<str>>,
}

impl Graph {
    /// Whether an object leads to a node.
    pub fn leads_to(&self, thing: Thing, namespace: &str, name: &str, node: &str) -> bool {
        let id: Id = (namespace.into(), name.into());
        match thing {
            Thing::Pod => self.pods.get(&id).is_some_and(|pod| &*pod.node == node),
            Thing::Attachment | Thing::Slice => self.own.get(&(thing, id.1)).is_some_and(|own| &**own == node),
            Thing::Volume => self.volume_leads_to(name, node),
            Thing::Secret => {
                let volumes = self.needing.get(&id).map(Vec::as_slice).unwrap_or_default();
                volumes.iter().any(|volume| self.volume_leads_to(volume, node)) || self.is_used(thing, id, node)
            }
            Thing::ConfigMap | Thing::Claim | Thing::ResourceClaim | Thing::ServiceAccount => {
                self.is_used(thing, id, node)
            }
        }
    }

    fn is_used(&self, thing: Thing, id: Id, node: &str) -> bool {
        self.used.get(&(thing, id)).is_some_and(|counts| counts.contains_key(node))
    }

    fn volume_leads_to(&self, name: &str, node: &str) -> bool {
        self.volumes.get(name).is_some_and(|bound| self.is_used(Thing::Claim, bound.claim.clone(), node))
    }

    /// Takes over what an object says now.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::NoPod((namespace, name)) => self.remove_pod(&namespace, &name),
            Change::Pod(id, pod) => self.put_pod(id, pod),
            Change::Volume(name, bound) => {
                self.remove_volume(&name);
                if let Some(bound) = bound {
                    self.put_volume(name, bound);
                }
            }
            Change::Own(thing, name, Some(node)) => {
                self.own.insert((thing, name), node);
            }
            Change::Own(thing, name, None) => self.remove_own(thing, &name),
        }
    }

    fn put_pod(&mut self, id: Id, pod: OnNode) {
        // Most changes of a pod are of its status.
        if self.pods.get(&id) == Some(&pod) {
            return;
        }
        self.remove_pod(&id.0, &id.1);
        for (thing, name) in &pod.refers {
            let counts = self.used.entry((*thing, (id.0.clone(), name.clone()))).or_default();
            *counts.entry(pod.node.clone()).or_default() += 1;
        }
        self.pods.insert(id, pod);
    }

    /// Forgets a pod.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(OnNode { node, refers }) = self.pods.remove(&(namespace.into(), name.into())) else { return };
        for (thing, name) in refers {
            let key = (thing, (namespace.into(), name));
            let Some(counts) = self.used.get_mut(&key) else { continue };
            if let Some(count) = counts.get_mut(&node) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&node);
                }
            }
            if counts.is_empty() {
                self.used.remove(&key);
            }
        }
    }

    fn put_volume(&mut self, name: Box<str>, bound: Bound) {
        for secret in &bound.secrets {
            self.needing.entry(secret.clone()).or_default().push(name.clone());
        }
        self.volumes.insert(name, bound);
    }

    /// Forgets a volume.
    pub fn remove_volume(&mut self, name: &str) {
        let Some(bound) = self.volumes.remove(name) else { return };
        for secret in bound.secrets {
            let Some(volumes) = self.needing.get_mut(&secret) else { continue };
            volumes.retain(|volume| &**volume != name);
            if volumes.is_empty() {
                self.needing.remove(&secret);
            }
        }
    }

    /// Forgets an object that says by itself of which node it is.
    pub fn remove_own(&mut self, thing: Thing, name: &str) {
        self.own.remove(&(thing, name.into()));
    }

    /// Whether nothing is known any more.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
            && self.used.is_empty()
            && self.volumes.is_empty()
            && self.needing.is_empty()
            && self.own.is_empty()
    }
}
