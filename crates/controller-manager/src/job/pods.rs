//! A job's pods, as they are created.

use api_types::{
    batch::Job,
    core::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod},
};

use super::{TRACKING, plan::Place};
use crate::{
    ownership::controller_reference,
    pod_template::pod_from_template,
    slim::{COMPLETION_INDEX, INDEX_FAILURES, INDEX_IGNORED_FAILURES},
};

/// Where containers find their index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// What a server makes a name of is cut after so many characters, so that the index must end before.
const LONGEST_PREFIX: usize = 58;

/// The pod for a place.
pub(super) fn pod_for(job: &Job, place: Place) -> Pod {
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pod_from_template(&template, namespace, &controller_reference(job));
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if finalizers.iter().all(|finalizer| finalizer != TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    if let Some(index) = place.index {
        tell_index(job, index, &mut pod);
    }
    if let Some(failures) = place.failures {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(INDEX_FAILURES.to_owned(), failures.counted.to_string());
        if failures.ignored > 0 {
            annotations.insert(INDEX_IGNORED_FAILURES.to_owned(), failures.ignored.to_string());
        }
    }
    pod
}

fn tell_index(job: &Job, index: i32, pod: &mut Pod) {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let text = index.to_string();
    pod.metadata.annotations.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), text.clone());
    pod.metadata.labels.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), text);
    pod.metadata.generate_name = Some(prefix(name, index));
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{name}-{index}"));
    let containers = spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten());
    containers.for_each(add_variable);
}

fn prefix(name: &str, index: i32) -> String {
    let end = format!("-{index}-");
    let room = LONGEST_PREFIX.saturating_sub(end.len());
    name.chars().take(room).collect::<String>() + &end
}

fn add_variable(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{COMPLETION_INDEX}']"), api_version: None };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    variables.push(EnvVar { name: INDEX_VARIABLE.to_owned(), value_from: Some(source), ..EnvVar::default() });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::job::terms::IndexFailures;

    fn pod(name: &str, place: Place) -> Value {
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": "j"},
            "spec": {"template": {
                "metadata": {"labels": {"a": "b"}, "finalizers": ["own"]},
                "spec": {
                    "containers": [{"name": "c"}, {"name": "d", "env": [{"name": INDEX_VARIABLE, "value": "x"}]}],
                    "initContainers": [{"name": "i"}],
                },
            }},
        }))
        .unwrap();
        serde_json::to_value(pod_for(&job, place)).unwrap()
    }

    #[test]
    fn pods_know_their_index() {
        let plain = pod("pi", Place::default());
        assert_eq!(plain["metadata"]["generateName"], "pi-");
        assert_eq!(plain["metadata"]["finalizers"], json!(["own", TRACKING]));
        assert_eq!(plain["metadata"]["ownerReferences"][0]["uid"], "j");
        assert_eq!(plain["spec"]["containers"][0].get("env"), None);

        let failures = Some(IndexFailures { counted: 2, ignored: 0 });
        let indexed = pod("pi", Place { index: Some(7), failures });
        assert_eq!(indexed["metadata"]["generateName"], "pi-7-");
        assert_eq!(indexed["metadata"]["labels"], json!({"a": "b", COMPLETION_INDEX: "7"}));
        assert_eq!(indexed["metadata"]["annotations"], json!({COMPLETION_INDEX: "7", INDEX_FAILURES: "2"}));
        assert_eq!(indexed["spec"]["hostname"], "pi-7");
        let variable = json!([{"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']",
        }}}]);
        let containers = &indexed["spec"]["containers"];
        assert_eq!((&containers[0]["env"], &indexed["spec"]["initContainers"][0]["env"]), (&variable, &variable));
        assert_eq!(containers[1]["env"], json!([{"name": INDEX_VARIABLE, "value": "x"}]));

        let failures = Some(IndexFailures { counted: 0, ignored: 1 });
        let long = pod(&"n".repeat(63), Place { index: Some(12), failures });
        assert_eq!(long["metadata"]["generateName"], format!("{}-12-", "n".repeat(54)));
        assert_eq!(long["metadata"]["annotations"][INDEX_IGNORED_FAILURES], "1");
    }
}
