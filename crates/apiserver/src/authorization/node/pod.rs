//! What a pod refers to. Only that is decoded: a pod changes often, and mostly in what does not matter here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::graph::{Change, OnNode, Thing};

/// The kubelet marks with it what it has made itself.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Reads a pod.
///
/// # Errors
/// When it is none.
pub fn read(namespace: &str, name: &str, json: &[u8]) -> serde_json::Result<Change> {
    let pod: Pod = serde_json::from_slice(json)?;
    let id = (namespace.into(), name.into());
    if pod.spec.node_name.is_empty() {
        return Ok(Change::NoPod(id));
    }
    let mut refers = BTreeSet::new();
    // A node must never be able to make a pod that gives it access to something.
    if !pod.metadata.annotations.contains_key(MIRROR) {
        pod.collect(name, &mut |thing, name: &str| {
            if !name.is_empty() {
                refers.insert((thing, Box::from(name)));
            }
        });
    }
    Ok(Change::Pod(id, OnNode { node: pod.spec.node_name.into(), refers: refers.into_iter().collect() }))
}

/// `null` is what is absent, as in Go.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Declares what is read of an object.
macro_rules! slim {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            #[derive(Default, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            struct $name {
                $($(#[$attribute])* #[serde(deserialize_with = "nullable")] $field: $type,)*
            }
        )*
    };
}

slim! {
    Pod { metadata: Metadata, spec: Spec, status: Status }
    Metadata { annotations: BTreeMap<String, IgnoredAny> }
    Spec {
        node_name: String,
        service_account_name: String,
        image_pull_secrets: Vec<Named>,
        volumes: Vec<Volume>,
        init_containers: Vec<Container>,
        containers: Vec<Container>,
        ephemeral_containers: Vec<Container>,
        resource_claims: Vec<ResourceClaim>,
    }
    Status { resource_claim_statuses: Vec<ResourceClaim>, extended_resource_claim_status: ResourceClaim }
    Named { name: String }
    ResourceClaim { name: String, resource_claim_name: String }
    Container { env: Vec<Variable>, env_from: Vec<Source> }
    Variable { value_from: Source }
    Source { secret_ref: Named, config_map_ref: Named, secret_key_ref: Named, config_map_key_ref: Named }
    Volume {
        name: String,
        secret: SecretName,
        config_map: Named,
        projected: Projected,
        persistent_volume_claim: ClaimName,
        ephemeral: Option<IgnoredAny>,
        csi: Driver,
        azure_file: SecretName,
        cephfs: WithSecret,
        cinder: WithSecret,
        flex_volume: WithSecret,
        iscsi: WithSecret,
        rbd: WithSecret,
        #[serde(rename = "scaleIO")]
        scale_io: WithSecret,
        storageos: WithSecret,
    }
    SecretName { secret_name: String }
    Projected { sources: Vec<Projection> }
    Projection { secret: Named, config_map: Named }
    ClaimName { claim_name: String }
    Driver { node_publish_secret_ref: Named }
    WithSecret { secret_ref: Named }
}

impl Pod {
    /// Tells everything that the pod refers to; names can be empty.
    fn collect(&self, own_name: &str, tell: &mut impl FnMut(Thing, &str)) {
        let spec = &self.spec;
        tell(Thing::ServiceAccount, &spec.service_account_name);
        spec.image_pull_secrets.iter().for_each(|secret| tell(Thing::Secret, &secret.name));
        let containers = spec.init_containers.iter().chain(&spec.containers).chain(&spec.ephemeral_containers);
        for container in containers {
            let sources = container.env.iter().map(|variable| &variable.value_from).chain(&container.env_from);
            sources.for_each(|source| source.collect(tell));
        }
        spec.volumes.iter().for_each(|volume| volume.collect(own_name, tell));
        for claim in &spec.resource_claims {
            let made = self.status.resource_claim_statuses.iter().filter(|status| status.name == claim.name);
            let names = std::iter::once(claim).chain(made).map(|claim| &claim.resource_claim_name);
            names.for_each(|name| tell(Thing::ResourceClaim, name));
        }
        tell(Thing::ResourceClaim, &self.status.extended_resource_claim_status.resource_claim_name);
    }
}

impl Source {
    fn collect(&self, tell: &mut impl FnMut(Thing, &str)) {
        tell(Thing::Secret, &self.secret_ref.name);
        tell(Thing::Secret, &self.secret_key_ref.name);
        tell(Thing::ConfigMap, &self.config_map_ref.name);
        tell(Thing::ConfigMap, &self.config_map_key_ref.name);
    }
}

impl Volume {
    fn collect(&self, pod: &str, tell: &mut impl FnMut(Thing, &str)) {
        tell(Thing::ConfigMap, &self.config_map.name);
        for source in &self.projected.sources {
            tell(Thing::Secret, &source.secret.name);
            tell(Thing::ConfigMap, &source.config_map.name);
        }
        for secret in [&self.secret, &self.azure_file] {
            tell(Thing::Secret, &secret.secret_name);
        }
        let Self { cephfs, cinder, flex_volume, iscsi, rbd, scale_io, storageos, .. } = self;
        for volume in [cephfs, cinder, flex_volume, iscsi, rbd, scale_io, storageos] {
            tell(Thing::Secret, &volume.secret_ref.name);
        }
        tell(Thing::Secret, &self.csi.node_publish_secret_ref.name);
        tell(Thing::Claim, &self.persistent_volume_claim.claim_name);
        if self.ephemeral.is_some() {
            tell(Thing::Claim, &format!("{pod}-{}", self.name));
        }
    }
}
