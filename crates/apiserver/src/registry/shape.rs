//! What objects consist of besides their metadata, and which of it a door writes: the same for most kinds.

use std::marker::PhantomData;

use api_types::{
    Kind, admissionregistration as admission, apiextensions, apiregistration, apps, autoscaling, autoscaling_v2, batch,
    certificates, core, devices, flowcontrol, meta::ObjectMeta, networking, policy, storage,
};

use super::{
    Part, TypedStrategy,
    metadata::keep_all,
    strategy::{BlindUpdate, DeleteAnswer},
};

/// The parts of a kind.
pub trait Shape<K>: Send + Sync + 'static {
    /// What a new object begins with, whatever was sent.
    fn begin(new: &mut K);
    /// Keeps what an update of the object does not write.
    fn keep_status(new: &mut K, old: &K);
    /// Keeps what an update of the status does not write.
    fn keep_spec(new: &mut K, old: &K);
    /// Counts an update of the object that changes what is wanted.
    fn count(new: &mut K, old: &K);
}

/// Objects in one part.
pub struct Plain;

impl<K> Shape<K> for Plain {
    fn begin(_: &mut K) {}
    fn keep_status(_: &mut K, _: &K) {}
    fn keep_spec(_: &mut K, _: &K) {}
    fn count(_: &mut K, _: &K) {}
}

/// A kind whose objects say in `spec` what is wanted and in `status` what there is.
pub trait SpecStatus {
    /// `metadata`.
    fn meta(&mut self) -> &mut ObjectMeta;
    /// Takes over the other's spec.
    fn take_spec(&mut self, other: &Self);
    /// Whether both want the same.
    fn same_spec(&self, other: &Self) -> bool;
    /// Takes over the other's status.
    fn take_status(&mut self, other: &Self);
    /// Begins with a status that says nothing.
    fn clear_status(&mut self);
}

/// Implements [`SpecStatus`] for types with `metadata`, `spec` and `status`.
macro_rules! spec_status {
    ($($kind:ty),* $(,)?) => {
        $(impl SpecStatus for $kind {
            fn meta(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }

            fn take_spec(&mut self, other: &Self) {
                self.spec.clone_from(&other.spec);
            }

            fn same_spec(&self, other: &Self) -> bool {
                self.spec == other.spec
            }

            fn take_status(&mut self, other: &Self) {
                self.status.clone_from(&other.status);
            }

            fn clear_status(&mut self) {
                self.status = Some(Default::default());
            }
        })*
    };
}

// Every kind that has both; one that is added has its name added here.
spec_status!(
    admission::ValidatingAdmissionPolicy,
    apiextensions::CustomResourceDefinition,
    apiregistration::APIService,
    apps::DaemonSet,
    apps::Deployment,
    apps::ReplicaSet,
    apps::StatefulSet,
    autoscaling::HorizontalPodAutoscaler,
    autoscaling_v2::HorizontalPodAutoscaler,
    batch::CronJob,
    batch::Job,
    certificates::CertificateSigningRequest,
    core::Namespace,
    core::Node,
    core::PersistentVolume,
    core::PersistentVolumeClaim,
    core::Pod,
    core::ReplicationController,
    core::ResourceQuota,
    core::Service,
    devices::ResourceClaim,
    flowcontrol::FlowSchema,
    flowcontrol::PriorityLevelConfiguration,
    networking::Ingress,
    policy::PodDisruptionBudget,
    storage::VolumeAttachment,
);

/// A kind whose objects say in `spec` what is wanted, and nothing else.
pub trait Specified {
    /// `metadata`.
    fn meta(&mut self) -> &mut ObjectMeta;
    /// Whether both want the same.
    fn same_spec(&self, other: &Self) -> bool;
}

/// Implements [`Specified`] for types with `metadata` and `spec`.
macro_rules! specified {
    ($($kind:ty),* $(,)?) => {
        $(impl Specified for $kind {
            fn meta(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }

            fn same_spec(&self, other: &Self) -> bool {
                self.spec == other.spec
            }
        })*
    };
}

specified!(
    admission::MutatingAdmissionPolicy,
    admission::MutatingAdmissionPolicyBinding,
    admission::ValidatingAdmissionPolicyBinding,
    devices::DeviceClass,
    devices::ResourceSlice,
    networking::IngressClass,
    networking::NetworkPolicy,
    storage::CSIDriver,
);

/// Webhooks are all that their configurations want.
macro_rules! webhooks {
    ($($kind:ty),* $(,)?) => {
        $(impl Specified for $kind {
            fn meta(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }

            fn same_spec(&self, other: &Self) -> bool {
                self.webhooks == other.webhooks
            }
        })*
    };
}

webhooks!(admission::MutatingWebhookConfiguration, admission::ValidatingWebhookConfiguration);

/// Objects in one part, with a generation that counts changes of the spec.
pub struct Revised;

impl<K: Specified> Shape<K> for Revised {
    fn begin(new: &mut K) {
        new.meta().generation = Some(1);
    }

    fn keep_status(_: &mut K, _: &K) {}
    fn keep_spec(_: &mut K, _: &K) {}

    fn count(new: &mut K, old: &K) {
        if !new.same_spec(old) {
            advance(new.meta());
        }
    }
}

/// Objects with spec and status, each written by its own door.
pub struct Split;

impl<K: SpecStatus> Shape<K> for Split {
    fn begin(_: &mut K) {}

    fn keep_status(new: &mut K, old: &K) {
        new.take_status(old);
    }

    fn keep_spec(new: &mut K, old: &K) {
        new.take_spec(old);
    }

    fn count(_: &mut K, _: &K) {}
}

/// The same, with a status that is empty at first.
pub struct Fresh;

impl<K: SpecStatus> Shape<K> for Fresh {
    fn begin(new: &mut K) {
        new.clear_status();
    }

    fn keep_status(new: &mut K, old: &K) {
        Split::keep_status(new, old);
    }

    fn keep_spec(new: &mut K, old: &K) {
        Split::keep_spec(new, old);
    }

    fn count(_: &mut K, _: &K) {}
}

/// The same, with a generation besides that counts changes of the spec.
pub struct Counted;

impl<K: SpecStatus> Shape<K> for Counted {
    fn begin(new: &mut K) {
        new.clear_status();
        new.meta().generation = Some(1);
    }

    fn keep_status(new: &mut K, old: &K) {
        Split::keep_status(new, old);
    }

    fn keep_spec(new: &mut K, old: &K) {
        Split::keep_spec(new, old);
    }

    fn count(new: &mut K, old: &K) {
        if !new.same_spec(old) {
            advance(new.meta());
        }
    }
}

/// Counts one more change.
pub fn advance(meta: &mut ObjectMeta) {
    meta.generation = Some(meta.generation.unwrap_or(0).saturating_add(1));
}

/// The strategy of a kind that does nothing differently.
pub struct Of<K, S = Plain>(PhantomData<fn() -> (K, S)>);

/// The same for a kind that refuses updates that name no version, and whose metadata a write to the status leaves alone.
pub struct Insisting<K, S = Plain>(PhantomData<fn() -> (K, S)>);

/// The same for a kind whose deleted objects are shown.
pub struct Shown<K, S = Plain>(PhantomData<fn() -> (K, S)>);

impl<K, S> Default for Of<K, S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K, S> Default for Insisting<K, S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K, S> Default for Shown<K, S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K: Kind, S: Shape<K>> TypedStrategy for Of<K, S> {
    type Kind = K;
    type Shape = S;
}

impl<K: Kind, S: Shape<K>> TypedStrategy for Insisting<K, S> {
    type Kind = K;
    type Shape = S;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;

    fn prepare_for_part_update(&self, _part: Part, new: &mut K, old: &K) {
        keep_all(new.metadata_mut(), old.metadata());
    }
}

impl<K: Kind, S: Shape<K>> TypedStrategy for Shown<K, S> {
    type Kind = K;
    type Shape = S;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;
}

#[cfg(test)]
mod tests {
    use api_types::{
        apps::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus},
        core::ConfigMap,
    };

    use super::*;
    use crate::registry::{Part, Strategy};

    fn set(replicas: i32, running: i32) -> ReplicaSet {
        ReplicaSet {
            metadata: ObjectMeta { generation: Some(3), ..ObjectMeta::default() },
            spec: Some(ReplicaSetSpec { replicas: Some(replicas), ..ReplicaSetSpec::default() }),
            status: Some(ReplicaSetStatus { replicas: running, ..ReplicaSetStatus::default() }),
        }
    }

    /// Replicas wanted and there, and the generation.
    fn facts(set: &ReplicaSet) -> (i32, i32, i64) {
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap();
        (wanted, set.status.as_ref().unwrap().replicas, set.metadata.generation.unwrap())
    }

    #[test]
    fn each_door_writes_its_own_part() {
        let (counted, split): (Of<ReplicaSet, Counted>, Of<ReplicaSet, Split>) = (Of::default(), Of::default());
        let mut new = set(5, 4);
        Strategy::prepare_for_create(&counted, &mut new).unwrap();
        assert_eq!(facts(&new), (5, 0, 1));
        let strategies: [(&dyn Strategy, i64); 2] = [(&counted, 4), (&split, 3)];
        for (strategy, changed) in strategies {
            for (part, sent, expected) in [
                (Part::Main, set(5, 4), (5, 1, changed)),
                (Part::Main, set(2, 4), (2, 1, 3)),
                (Part::Scale, set(5, 4), (5, 1, changed)),
                (Part::Status, set(5, 4), (2, 4, 3)),
            ] {
                let mut new = sent;
                strategy.prepare_for_update(part, &mut new, &set(2, 1)).unwrap();
                assert_eq!(facts(&new), expected, "{part:?}");
            }
        }
        assert!(Strategy::prepare_for_create(&counted, &mut ConfigMap::default()).is_err());
    }
}
