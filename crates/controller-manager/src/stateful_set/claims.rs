//! The claims of a stateful set's pods: which there are, and whose they are, so that they go with their owner.

use api_types::{
    apps::StatefulSet,
    core::PersistentVolumeClaim,
    meta::{ObjectMeta, OwnerReference},
};

use super::identity::{Ordinal, name};
use crate::{
    ownership::{controller_of, controller_reference},
    slim::Pod,
};

const DELETE: &str = "Delete";

/// The names of the templates.
pub(super) fn templates(set: &StatefulSet) -> impl Iterator<Item = &str> {
    let templates = set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten());
    templates.map(|template| template.metadata.name.as_deref().unwrap_or_default())
}

/// The name of the claim that a pod has by a template.
pub(super) fn claim_name(set: &StatefulSet, template: &str, ordinal: Ordinal) -> String {
    format!("{template}-{}-{ordinal}", name(set))
}

/// The claims of the pod with this ordinal, as they are created.
pub(super) fn claims(set: &StatefulSet, ordinal: Ordinal) -> Vec<PersistentVolumeClaim> {
    let templates = set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten());
    let owner = (Owner::of(set, Place::Kept) == Owner::Set).then(|| vec![controller_reference(set)]);
    let selected = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    let claim = |template: &PersistentVolumeClaim| {
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(selected.clone());
        let metadata = ObjectMeta {
            name: Some(claim_name(set, template.metadata.name.as_deref().unwrap_or_default(), ordinal)),
            namespace: set.metadata.namespace.clone(),
            labels: (!labels.is_empty()).then_some(labels),
            annotations: template.metadata.annotations.clone(),
            finalizers: template.metadata.finalizers.clone(),
            owner_references: owner.clone(),
            ..ObjectMeta::default()
        };
        PersistentVolumeClaim { metadata, spec: template.spec.clone(), status: None }
    };
    templates.map(claim).collect()
}

/// Whether a pod stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its ordinal is among those that the set keeps.
    Kept,
    /// It is not: the set was scaled down.
    Condemned,
}

/// With whom a claim goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It stays.
    Nobody,
    /// With the set.
    Set,
    /// With the pod.
    Pod,
}

impl Owner {
    /// What the set's retention policy says.
    pub(super) fn of(set: &StatefulSet, place: Place) -> Self {
        let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
        let deletes = |when: Option<&String>| when.map(String::as_str) == Some(DELETE);
        let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
        let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
        match (when_scaled, when_deleted, place) {
            (true, _, Place::Condemned) => Self::Pod,
            (_, true, _) => Self::Set,
            _ => Self::Nobody,
        }
    }
}

/// The owners that a claim should have instead of its own; `None` when they are right, or somebody else controls it.
pub(super) fn owners(
    set: &StatefulSet,
    pod: &Pod,
    place: Place,
    claim: &PersistentVolumeClaim,
) -> Option<Vec<OwnerReference>> {
    let (set_uid, pod_uid) = (set.metadata.uid.as_deref().unwrap_or_default(), pod.uid());
    if controller_of(&claim.metadata).is_some_and(|owner| owner.uid != set_uid && owner.uid != pod_uid) {
        return None;
    }
    let wanted = match Owner::of(set, place) {
        Owner::Nobody => None,
        Owner::Set => Some(controller_reference(set)),
        Owner::Pod => Some(controller_reference(pod)),
    };
    let own = claim.metadata.owner_references.iter().flatten();
    let (ours, others): (Vec<_>, Vec<_>) = own.cloned().partition(|own| own.uid == set_uid || own.uid == pod_uid);
    let right = match &wanted {
        Some(wanted) => ours.len() == 1 && ours[0].uid == wanted.uid,
        None => ours.is_empty(),
    };
    (!right).then(|| others.into_iter().chain(wanted).collect())
}

/// Whether a claim goes, or will: with a pod of this name that is gone. A new pod must not use it.
pub(super) fn is_stale(claim: &PersistentVolumeClaim, pod_name: &str) -> bool {
    let of_pod = |owner: &OwnerReference| owner.kind == "Pod" && owner.name == pod_name;
    claim.metadata.deletion_timestamp.is_some() || claim.metadata.owner_references.iter().flatten().any(of_pod)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(when_scaled: &str, when_deleted: &str) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "set"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}}, "template": {},
                "persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled, "whenDeleted": when_deleted},
                "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"a": "b"}}, "status": {"phase": "Pending"}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn claims_are_made_from_templates() {
        let claims = serde_json::to_value(claims(&set("Delete", "Delete"), 2)).unwrap();
        assert_eq!(claims[0]["metadata"]["name"], "data-web-2");
        assert_eq!(claims[0]["metadata"]["labels"], json!({"a": "b", "app": "web"}));
        assert_eq!(claims[0]["metadata"]["ownerReferences"][0]["uid"], "set");
        assert_eq!(claims[0].get("status"), None);
        assert_eq!(super::claims(&set("Delete", "Retain"), 2)[0].metadata.owner_references, None);
    }

    #[test]
    fn claims_go_with_whom_the_policy_says() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "web-0", "uid": "pod"}})).unwrap();
        let claim = |owners: &[&str]| -> PersistentVolumeClaim {
            let owner = |uid: &&str| json!({"uid": uid, "kind": "K", "name": "n", "apiVersion": "v", "controller": *uid == "other"});
            let owners: Vec<Value> = owners.iter().map(owner).collect();
            serde_json::from_value(json!({"metadata": {"ownerReferences": owners}})).unwrap()
        };
        use Place::{Condemned, Kept};
        // Policy, place, owners before and after.
        type Uids = &'static [&'static str];
        let cases: [(&str, &str, Place, Uids, Option<Uids>); 11] = [
            ("Retain", "Retain", Kept, &[], None),
            ("Retain", "Retain", Condemned, &["set"], Some(&[])),
            ("Retain", "Delete", Kept, &[], Some(&["set"])),
            ("Retain", "Delete", Condemned, &["set"], None),
            ("Delete", "Retain", Kept, &["pod"], Some(&[])),
            ("Delete", "Retain", Condemned, &[], Some(&["pod"])),
            ("Delete", "Delete", Kept, &["pod"], Some(&["set"])),
            ("Delete", "Delete", Condemned, &["set"], Some(&["pod"])),
            ("Delete", "Delete", Condemned, &["pod"], None),
            ("Delete", "Delete", Kept, &["third", "set"], None),
            ("Delete", "Delete", Kept, &["other"], None),
        ];
        for (when_scaled, when_deleted, place, before, after) in cases {
            let owners = owners(&set(when_scaled, when_deleted), &pod, place, &claim(before));
            let uids = owners.map(|owners| owners.into_iter().map(|owner| owner.uid).collect::<Vec<_>>());
            let after = after.map(|after| after.iter().map(|uid| (*uid).to_owned()).collect::<Vec<_>>());
            assert_eq!(uids, after, "{when_scaled} {when_deleted} {place:?} {before:?}");
        }
    }
}
