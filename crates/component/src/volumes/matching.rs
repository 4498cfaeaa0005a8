//! Which volume a claim may have.

use api_types::{
    core::PersistentVolumeClaim,
    quantity::Quantity,
    selector::label::{self, Selector},
};

use super::{STORAGE, Volume, access_modes, class_of, volume_mode};

/// The phase of a volume that nobody has.
const AVAILABLE: &str = "Available";

/// What a claim asks of a volume, read once.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    claim: &'a PersistentVolumeClaim,
    size: Quantity,
    selector: Selector,
}

impl<'a> Wanted<'a> {
    /// Reads a claim.
    ///
    /// # Errors
    /// When its selector is malformed.
    pub fn of(claim: &'a PersistentVolumeClaim) -> Result<Self, label::Error> {
        let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        // No selector selects all volumes, and not none.
        let selector =
            selector.map_or_else(|| Ok(Selector::everything()), |own| Selector::from_label_selector(Some(own)))?;
        Ok(Self { claim, size: requested(claim), selector })
    }

    /// How much is asked for.
    #[must_use]
    pub const fn size(&self) -> Quantity {
        self.size
    }

    /// Whether a volume that is nobody's suits.
    #[must_use]
    pub fn suits(&self, volume: &Volume) -> bool {
        volume.spec.claim_ref.is_none()
            && volume.status.phase == AVAILABLE
            && self.may_keep(volume)
            && volume.class() == class_of(self.claim)
            && has_modes(volume, self.claim)
            && self.selector.matches(&volume.metadata.labels)
    }

    /// Whether a volume that is set aside for the claim will do; its class, labels and access modes are the affair of
    /// whoever set it aside.
    #[must_use]
    pub fn may_keep(&self, volume: &Volume) -> bool {
        volume.size() >= self.size
            && volume.mode() == volume_mode(self.claim)
            && volume.metadata.deletion_timestamp.is_none()
            && attributes(volume) == wanted_attributes(self.claim)
    }
}

/// How much a claim asks for; nothing when it does not say.
#[must_use]
pub fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let size = requests.and_then(|requests| requests.get(STORAGE)).map(Quantity::try_from);
    size.and_then(Result::ok).unwrap_or(Quantity::ZERO)
}

/// Why a claim cannot have the volume that it names, in upstream's words; `None` when it can.
#[must_use]
pub fn mismatch(volume: &Volume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let wrong = [
        ("requested PV is too small", volume.size() < requested(claim)),
        ("storageClassName does not match", volume.class() != class_of(claim)),
        ("VolumeAttributesClassName does not match", attributes(volume) != wanted_attributes(claim)),
        ("incompatible volumeMode", volume.mode() != volume_mode(claim)),
        ("incompatible accessMode", !has_modes(volume, claim)),
    ];
    wrong.into_iter().find(|(_, wrong)| *wrong).map(|(why, _)| why)
}

fn has_modes(volume: &Volume, claim: &PersistentVolumeClaim) -> bool {
    access_modes(claim).iter().all(|mode| volume.spec.access_modes.contains(mode))
}

fn attributes(volume: &Volume) -> &str {
    volume.spec.volume_attributes_class_name.as_deref().unwrap_or_default()
}

fn wanted_attributes(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn merged(mut base: Value, patch: &Value) -> Value {
        for (name, value) in patch.as_object().unwrap() {
            base[name] = value.clone();
        }
        base
    }

    fn volume(spec: &Value, phase: &str) -> Volume {
        let base = json!({"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "storageClassName": "c"});
        let metadata = json!({"name": "v", "labels": {"disk": "ssd"}});
        serde_json::from_value(json!({"metadata": metadata, "spec": merged(base, spec), "status": {"phase": phase}}))
            .unwrap()
    }

    fn claim(spec: &Value) -> PersistentVolumeClaim {
        let base = json!({"resources": {"requests": {"storage": "5Gi"}}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c"});
        let metadata = json!({"name": "p", "namespace": "ns", "uid": "u"});
        serde_json::from_value(json!({"metadata": metadata, "spec": merged(base, spec)})).unwrap()
    }

    #[test]
    fn a_volume_suits_or_the_reason_is_told() {
        // What is different of the volume, of the claim; whether it suits, and why it cannot be had by name.
        let cases = [
            (json!({}), json!({}), true, None),
            (json!({"capacity": {"storage": "10Gi"}}), json!({}), true, None),
            (json!({"capacity": {"storage": "4Gi"}}), json!({}), false, Some("requested PV is too small")),
            (json!({"storageClassName": "d"}), json!({}), false, Some("storageClassName does not match")),
            (json!({"storageClassName": ""}), json!({"storageClassName": ""}), true, None),
            (json!({"storageClassName": null}), json!({"storageClassName": null}), true, None),
            (json!({"volumeMode": "Block"}), json!({}), false, Some("incompatible volumeMode")),
            (json!({"volumeMode": "Filesystem"}), json!({}), true, None),
            (json!({}), json!({"accessModes": ["ReadWriteMany"]}), false, Some("incompatible accessMode")),
            (json!({}), json!({"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}), true, None),
            (
                json!({"volumeAttributesClassName": "fast"}),
                json!({}),
                false,
                Some("VolumeAttributesClassName does not match"),
            ),
            (json!({"volumeAttributesClassName": ""}), json!({}), true, None),
            (json!({}), json!({"selector": {"matchLabels": {"disk": "ssd"}}}), true, None),
            (json!({}), json!({"selector": {"matchLabels": {"disk": "hdd"}}}), false, None),
            (json!({}), json!({"selector": {}}), true, None),
            (json!({"claimRef": {"name": "q", "namespace": "ns"}}), json!({}), false, None),
        ];
        for (of_volume, of_claim, suits, why) in cases {
            let (volume, claim) = (volume(&of_volume, "Available"), claim(&of_claim));
            let wanted = Wanted::of(&claim).unwrap();
            assert_eq!((wanted.suits(&volume), mismatch(&volume, &claim)), (suits, why), "{of_volume} {of_claim}");
        }
        let claim = claim(&json!({}));
        let wanted = Wanted::of(&claim).unwrap();
        assert!(!wanted.suits(&volume(&json!({}), "Released")));
        let mut going = volume(&json!({}), "Available");
        going.metadata.deletion_timestamp = Some(api_types::meta::Time(api_types::jiff::Timestamp::UNIX_EPOCH));
        assert!(!wanted.suits(&going) && !wanted.may_keep(&going));
    }

    #[test]
    fn a_selector_that_cannot_be_read_is_an_error() {
        let wrong = json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
        assert!(Wanted::of(&claim(&wrong)).is_err());
    }

    #[test]
    fn a_volume_is_set_aside_by_name_or_uid() {
        let claim = claim(&json!({}));
        let cases = [
            (json!({"namespace": "ns", "name": "p"}), true),
            (json!({"namespace": "ns", "name": "p", "uid": ""}), true),
            (json!({"namespace": "ns", "name": "p", "uid": "u"}), true),
            (json!({"namespace": "ns", "name": "p", "uid": "before"}), false),
            (json!({"namespace": "other", "name": "p"}), false),
            (json!({"namespace": "ns", "name": "q", "uid": "u"}), false),
        ];
        for (reference, expected) in cases {
            let volume = volume(&json!({"claimRef": reference}), "Available");
            assert_eq!(super::super::is_for(&volume, &claim), expected, "{reference}");
        }
    }
}
