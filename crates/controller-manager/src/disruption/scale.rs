//! How many pods the controllers of some pods want.

use std::collections::{BTreeMap, HashMap};

use api_types::{
    apps::{Deployment, ReplicaSet, StatefulSet},
    core::ReplicationController,
    meta::{ObjectMeta, OwnerReference},
};
use component::informer::{Informer, Item, ObjectKey};
use kube::Client;
use serde::Deserialize;

use crate::{
    ownership::controller_of,
    scalable::{self, Place, Resource, Resources},
    slim::Pod,
    step::{self, failed},
    write,
};

/// The kinds that are watched, and where others are looked up.
pub(super) struct Scales {
    pub client: Client,
    pub controllers: Informer<ReplicationController>,
    pub replica_sets: Informer<ReplicaSet>,
    pub deployments: Informer<Deployment>,
    pub stateful_sets: Informer<StatefulSet>,
    /// Which others there are.
    pub resources: Resources,
}

/// Why nobody knows how many pods there should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("found no controllers for pod {0:?}")]
    NoController(String),
    #[error(transparent)]
    Resource(#[from] scalable::Error),
    #[error("{0} does not implement the scale subresource")]
    NoScale(String),
    #[error(transparent)]
    Step(#[from] step::Error),
}

/// What the controllers of some pods want.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// All of their pods.
    pub pods: i32,
    /// Pods that have no controller.
    pub unmanaged: Vec<String>,
}

/// A controller and its size.
type Sized = (String, i32);

/// A scale, as far as it is read.
#[derive(Deserialize)]
struct Scale {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: i32,
}

impl Scales {
    /// What the controllers of these pods of a namespace want together.
    pub(super) async fn wanted(&self, namespace: &str, pods: &[std::sync::Arc<Pod>]) -> Result<Wanted, Error> {
        let mut wanted = Wanted::default();
        // By the uid that pods name, so that each is looked up once; by its own, so that it counts once.
        let mut known: HashMap<&str, String> = HashMap::new();
        let mut sizes: BTreeMap<String, i32> = BTreeMap::new();
        for pod in pods {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let Some(owner) = controller_of(&pod.metadata) else {
                wanted.unmanaged.push(name.to_owned());
                continue;
            };
            if !known.contains_key(owner.uid.as_str()) {
                let found = self.size(namespace, owner).await?;
                let (uid, size) = found.ok_or_else(|| Error::NoController(name.to_owned()))?;
                known.insert(&owner.uid, uid.clone());
                sizes.insert(uid, size);
            }
        }
        wanted.pods = sizes.values().fold(0, |sum: i32, size| sum.saturating_add(*size));
        Ok(wanted)
    }

    async fn size(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<Sized>, Error> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let watched = match (group, owner.kind.as_str()) {
            ("", "ReplicationController") => {
                let size = |own: &ReplicationController| own.spec.as_ref().and_then(|spec| spec.replicas);
                find(&self.controllers, namespace, owner).map(|own| sized(&*own, size(&own)))
            }
            ("apps" | "extensions", "ReplicaSet") => self.replica_set(namespace, owner),
            ("apps", "StatefulSet") => {
                let size = |own: &StatefulSet| own.spec.as_ref().and_then(|spec| spec.replicas);
                find(&self.stateful_sets, namespace, owner).map(|own| sized(&*own, size(&own)))
            }
            _ => None,
        };
        match watched {
            Some(found) => Ok(Some(found)),
            None => self.look_up(namespace, owner).await,
        }
    }

    /// A replica set, or the deployment that it is of.
    fn replica_set(&self, namespace: &str, owner: &OwnerReference) -> Option<Sized> {
        let set = find(&self.replica_sets, namespace, owner)?;
        match controller_of(&set.metadata).filter(|owner| owner.kind == "Deployment") {
            None => Some(sized(&*set, set.spec.as_ref().and_then(|spec| spec.replicas))),
            Some(owner) => {
                let deployment = find(&self.deployments, namespace, owner)?;
                Some(sized(&*deployment, deployment.spec.as_ref().and_then(|spec| spec.replicas)))
            }
        }
    }

    /// Asks the server for the scale of a controller of any kind.
    async fn look_up(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<Sized>, Error> {
        let place = Place::Version(owner.api_version.clone());
        let resource = match self.resources.of_kind(place.clone(), &owner.kind).await {
            Err(scalable::Error::NoName(_)) => return Ok(None),
            resource => resource?,
        };
        // Whoever may create pods writes references, and must not choose what is read.
        let Ok(path) = resource.path(namespace, &owner.name, "scale") else { return Ok(None) };
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { return Ok(None) };
        match self.client.request::<Scale>(request).await {
            Ok(scale) => {
                let uid = scale.metadata.uid.filter(|uid| *uid == owner.uid);
                Ok(uid.map(|uid| (uid, scale.spec.replicas)))
            }
            Err(error) if write::code(&error) == Some(404) => {
                self.resources.forget(place, &owner.kind);
                self.explain_absence(&resource).await
            }
            Err(error) => Err(failed("looking at a scale")(error).into()),
        }
    }

    /// The controller is gone, or things of its kind have no scale.
    async fn explain_absence(&self, resource: &Resource) -> Result<Option<Sized>, Error> {
        let scale = format!("{}/scale", resource.plural);
        if self.resources.in_version(&resource.api_version).await?.iter().any(|(name, _)| *name == scale) {
            return Ok(None);
        }
        Err(Error::NoScale(resource.group_resource()))
    }
}

/// The owner, if it is this one and not another of its name.
fn find<K>(informer: &Informer<K>, namespace: &str, owner: &OwnerReference) -> Option<std::sync::Arc<K>>
where
    K: Item<DynamicType = ()>,
{
    let found = informer.store().get(&ObjectKey::new(namespace, owner.name.clone()));
    found.filter(|found| found.meta().uid.as_ref() == Some(&owner.uid))
}

fn sized<K: kube::Resource>(owner: &K, size: Option<i32>) -> Sized {
    (owner.meta().uid.clone().unwrap_or_default(), size.unwrap_or(1))
}
