//! Who a pod of a stateful set is: its name, its host's name, its claims.

use api_types::{
    apps::StatefulSet,
    core::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume},
};

use super::claims;
use crate::{history::REVISION_LABEL, ownership::controller_reference, pod_template::pod_from_template, slim};

/// Label of a pod: its name.
pub(super) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Label of a pod: its ordinal.
pub(super) const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The number of a pod among those of a set.
pub(super) type Ordinal = i32;

/// The set's name.
pub(super) fn name(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

/// The name of the pod with this ordinal.
pub(super) fn pod_name(set: &StatefulSet, ordinal: Ordinal) -> String {
    format!("{}-{ordinal}", name(set))
}

/// The ordinal that a pod's name says, when it is a name of the set's: `web-01` is none.
pub(super) fn ordinal(set: &StatefulSet, pod: &slim::Pod) -> Option<Ordinal> {
    let (parent, ordinal) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    let number: Ordinal = ordinal.parse().ok().filter(|number| *number >= 0)?;
    (parent == name(set) && number.to_string() == ordinal).then_some(number)
}

/// Whether a pod's labels say who it is.
pub(super) fn is_labelled(pod: &slim::Pod, ordinal: Ordinal) -> bool {
    pod.label(POD_NAME) == pod.metadata.name.as_deref() && pod.label(POD_INDEX) == Some(&ordinal.to_string())
}

/// The pod with this ordinal, of a template and the name of its revision.
pub(super) fn pod_for(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: Ordinal) -> Pod {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = pod_from_template(template, namespace, &controller_reference(set));
    let own_name = pod_name(set, ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    labels.insert(POD_NAME.to_owned(), own_name.clone());
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    pod.metadata.name = Some(own_name.clone());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(own_name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone());
    let claimed: Vec<Volume> = claims::templates(set).map(|template| claim_volume(set, template, ordinal)).collect();
    let others = spec.volumes.take().unwrap_or_default().into_iter();
    let others = others.filter(|volume| claimed.iter().all(|own| own.name != volume.name));
    let volumes: Vec<Volume> = claimed.iter().cloned().chain(others).collect();
    spec.volumes = (!volumes.is_empty()).then_some(volumes);
    pod
}

/// The volume of a pod that is the claim made from a template.
fn claim_volume(set: &StatefulSet, template: &str, ordinal: Ordinal) -> Volume {
    let source = PersistentVolumeClaimVolumeSource {
        claim_name: claims::claim_name(set, template, ordinal),
        ..PersistentVolumeClaimVolumeSource::default()
    };
    Volume { name: template.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set() -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "s"},
            "spec": {
                "selector": {}, "serviceName": "svc",
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [], "volumes": [
                    {"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}},
                ]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn names_tell_ordinals() {
        let cases = [
            ("web-0", Some(0)),
            ("web-12", Some(12)),
            ("web-012", None),
            ("web-", None),
            ("web-x", None),
            ("web-+1", None),
            ("other-0", None),
            ("web-a-0", None),
            ("web-99999999999", None),
        ];
        for (name, expected) in cases {
            let pod = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            assert_eq!(ordinal(&set(), &pod), expected, "{name}");
        }
    }

    #[test]
    fn a_pod_knows_who_it_is() {
        let set = set();
        let pod = serde_json::to_value(pod_for(&set, &set.spec.as_ref().unwrap().template, "web-abc", 3)).unwrap();
        assert_eq!(pod["metadata"]["name"], "web-3");
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app": "web", POD_NAME: "web-3", POD_INDEX: "3", REVISION_LABEL: "web-abc"})
        );
        assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("web-3"), &json!("svc")));
        let volumes = json!([
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-3"}}, {"name": "tmp", "emptyDir": {}},
        ]);
        assert_eq!(pod["spec"]["volumes"], volumes);
        assert!(is_labelled(&serde_json::from_value(pod).unwrap(), 3));
    }
}
