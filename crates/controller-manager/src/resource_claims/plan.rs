//! What becomes of a claim to devices, and what claims a pod still needs.

use std::collections::BTreeMap;

use api_types::{
    devices::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate},
    meta::{ObjectMeta, OwnerReference},
};

use crate::{
    ownership::controller_reference,
    pod_state,
    slim::{Pod, ResourceClaimUse},
};

/// On a claim made from a template: what its pod calls it.
pub(super) const POD_CLAIM_NAME: &str = "resource.kubernetes.io/pod-claim-name";
/// Keeps a claim as long as it has devices.
pub(super) const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// A pod that will not run any more, or never did.
pub(super) fn is_done(pod: &Pod) -> bool {
    pod_state::is_terminal(pod) || (pod.metadata.deletion_timestamp.is_some() && pod.node_name().is_empty())
}

/// The users of a claim.
pub(super) fn users(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    claim.status.as_ref().and_then(|status| status.reserved_for.as_deref()).unwrap_or_default()
}

/// Whether a claim has devices.
pub(super) fn is_allocated(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_some_and(|status| status.allocation.is_some())
}

/// What is to be done about a claim, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Steps {
    /// Its users are only these.
    pub(super) keep: Option<Vec<ResourceClaimConsumerReference>>,
    /// It gives its devices back.
    pub(super) deallocate: bool,
    /// Nothing keeps it any more.
    pub(super) release: bool,
    /// It goes, because it was made for a pod that is done.
    pub(super) delete: bool,
}

/// What is to be done about a claim of which only these users are left; `is_over` says that it was made for a pod that is
/// done or gone.
pub(super) fn steps(claim: &ResourceClaim, left: Vec<ResourceClaimConsumerReference>, is_over: bool) -> Steps {
    let protected = claim.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER);
    let deleted = claim.metadata.deletion_timestamp.is_some();
    let (unused, fewer) = (left.is_empty(), left.len() < users(claim).len());
    // Devices that somebody else gave are somebody else's to take, and those that nobody uses yet are kept.
    let free = unused && protected && (fewer || deleted);
    Steps {
        keep: fewer.then_some(left),
        deallocate: free && is_allocated(claim),
        release: free,
        delete: unused && is_over && !deleted,
    }
}

/// The pod that a claim was made for.
pub(super) fn owner(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true) && owner.api_version == "v1" && owner.kind == "Pod")
}

/// The pod's claims that are to be made from templates and are not known to be.
pub(super) fn missing(pod: &Pod) -> impl Iterator<Item = (&ResourceClaimUse, &str)> {
    let statuses = &pod.status.resource_claim_statuses;
    let wanted = pod.spec.resource_claims.iter();
    wanted
        .filter(|own| !statuses.iter().any(|status| status.name == own.name))
        .filter_map(|own| Some((own, own.resource_claim_template_name.as_deref()?)))
}

/// Whether a claim was made for this use of this pod.
pub(super) fn is_made_for(claim: &ResourceClaim, pod: &Pod, own: &ResourceClaimUse) -> bool {
    let named = claim.metadata.annotations.as_ref().and_then(|all| all.get(POD_CLAIM_NAME));
    claim.metadata.deletion_timestamp.is_none()
        && owner(&claim.metadata).is_some_and(|owner| owner.uid == pod.uid())
        && named.is_some_and(|name| *name == own.name)
}

/// A claim from a template.
pub(super) fn claim_of(pod: &Pod, own: &ResourceClaimUse, template: ResourceClaimTemplate) -> ResourceClaim {
    let spec = template.spec;
    let meta = spec.metadata.unwrap_or_default();
    let mut annotations: BTreeMap<String, String> = meta.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM_NAME.to_owned(), own.name.clone());
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-{}-", pod.metadata.name.as_deref().unwrap_or_default(), own.name)),
        namespace: pod.metadata.namespace.clone(),
        labels: meta.labels,
        annotations: Some(annotations),
        owner_references: Some(vec![controller_reference(pod)]),
        ..ObjectMeta::default()
    };
    ResourceClaim { metadata, spec: spec.spec, status: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn user(uid: &str) -> Value {
        json!({"resource": "pods", "name": uid, "uid": uid})
    }

    fn claim(metadata: Value, status: Value) -> ResourceClaim {
        serde_json::from_value(json!({"metadata": metadata, "spec": {}, "status": status})).unwrap()
    }

    #[test]
    fn devices_are_given_back_when_the_last_user_goes() {
        let kept = json!({"finalizers": [FINALIZER]});
        let gone = json!({"finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let used = json!({"allocation": {}, "reservedFor": [user("a"), user("b")]});
        // What is kept, whether it gives its devices back, is released, and goes.
        let cases = [
            (&kept, used.clone(), &["a", "b"][..], true, (None, false, false, false)),
            (&kept, used.clone(), &["b"], true, (Some(1), false, false, false)),
            (&kept, used.clone(), &[], false, (Some(0), true, true, false)),
            (&kept, used.clone(), &[], true, (Some(0), true, true, true)),
            (&json!({}), used, &[], false, (Some(0), false, false, false)),
            (&kept, json!({"allocation": {}}), &[], false, (None, false, false, false)),
            (&gone, json!({"allocation": {}}), &[], true, (None, true, true, false)),
            (&gone, json!({}), &[], false, (None, false, true, false)),
        ];
        for (metadata, status, left, is_over, (keep, deallocate, release, delete)) in cases {
            let claim = claim(metadata.clone(), status);
            let left = left.iter().map(|uid| serde_json::from_value(user(uid)).unwrap()).collect();
            let steps = steps(&claim, left, is_over);
            let found = (steps.keep.map(|keep| keep.len()), steps.deallocate, steps.release, steps.delete);
            assert_eq!(found, (keep, deallocate, release, delete), "{claim:?}");
        }
    }

    #[test]
    fn claims_are_made_as_templates_say() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"resourceClaims": [
                {"name": "x", "resourceClaimTemplateName": "t"}, {"name": "y", "resourceClaimName": "c"},
                {"name": "z", "resourceClaimTemplateName": "t"}]},
            "status": {"resourceClaimStatuses": [{"name": "z", "resourceClaimName": "p-z-1"}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(pod.resource_claims().collect::<Vec<_>>(), ["c", "p-z-1"]);
        let missing: Vec<_> = missing(&pod).collect();
        assert_eq!(missing.iter().map(|(own, template)| (&*own.name, *template)).collect::<Vec<_>>(), [("x", "t")]);
        let template = json!({"metadata": {"name": "t"}, "spec": {
            "metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}}, "spec": {"devices": {"requests": []}}}});
        let claim = claim_of(&pod, missing[0].0, serde_json::from_value(template).unwrap());
        assert!(is_made_for(&claim, &pod, missing[0].0));
        let claim = serde_json::to_value(claim).unwrap();
        assert_eq!(claim["metadata"]["generateName"], "p-x-");
        assert_eq!(claim["metadata"]["annotations"], json!({"a": "2", POD_CLAIM_NAME: "x"}));
        assert_eq!(claim["metadata"]["labels"], json!({"l": "1"}));
        assert_eq!(claim["spec"], json!({"devices": {"requests": []}}));
    }
}
