//! What jobs may be, what of them may change, and how they end.

use serde_json::json;

use super::*;

fn job(mut spec: Value) -> Job {
    let own = spec.as_object_mut().unwrap();
    own.entry("selector").or_insert(json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}}));
    own.entry("template").or_insert(template(&json!({})));
    let metadata = json!({"name": "j", "uid": "1"});
    let mut job: Job = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
    job.set_defaults();
    job
}

fn template(more: &Value) -> Value {
    let labels = json!({
        "controller-uid": "1", "job-name": "j",
        "batch.kubernetes.io/controller-uid": "1", "batch.kubernetes.io/job-name": "j",
    });
    let mut spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"labels": labels}, "spec": spec})
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn jobs_are_defaulted() {
    let value = serde_json::to_value(job(json!({}))).unwrap();
    let mut spec = value["spec"].clone();
    for field in ["selector", "template"] {
        spec.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(
        spec,
        json!({
            "completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
            "manualSelector": false, "podReplacementPolicy": "TerminatingOrFailed",
        })
    );
    assert_eq!(value["metadata"]["labels"], value["spec"]["template"]["metadata"]["labels"]);
    let parallel = job(json!({"parallelism": 3, "backoffLimitPerIndex": 1})).spec.unwrap();
    assert_eq!((parallel.completions, parallel.backoff_limit), (None, Some(i32::MAX)));
}

#[test]
fn mistakes_are_told() {
    let rule = |more: Value| {
        let mut rule = json!({"action": "FailJob"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"podFailurePolicy": {"rules": [rule]}})
    };
    let indexed = |more: Value| {
        let mut spec = json!({"completionMode": "Indexed", "completions": 5});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let cases = [
        (json!({}), vec![]),
        (indexed(json!({"successPolicy": {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 1}]}})), vec![]),
        (
            json!({"completions": -1, "maxFailedIndexes": 1}),
            vec![
                "spec.completions: Invalid value: -1: must be greater than or equal to 0",
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
            ],
        ),
        (
            json!({"template": template(&json!({"restartPolicy": "Always"}))}),
            vec![r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#],
        ),
        (
            json!({"completionMode": "Indexed", "parallelism": 100_001}),
            vec![
                "spec.completions: Required value: when completion mode is Indexed",
                "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
            ],
        ),
        (
            json!({"successPolicy": {"rules": []}}),
            vec![r#"spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode"#],
        ),
        (
            indexed(json!({"successPolicy": {"rules": [{"succeededIndexes": "0,9"}, {}]}})),
            vec![
                r#"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,9": error parsing succeededIndexes: too large index: "9""#,
                "spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified",
            ],
        ),
        (
            rule(json!({"onExitCodes": {"operator": "In", "values": [0, 2, 1, 2], "containerName": "x"}})),
            vec![
                r#"spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template"#,
                "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[3]: Duplicate value: 2",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [0,2,1,2]: must be ordered",
            ],
        ),
        (
            rule(json!({"action": ""})),
            vec![
                r#"spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]"#,
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        ),
        (
            json!({"managedBy": "me"}),
            vec![r#"spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")"#],
        ),
        (
            json!({"selector": {"matchLabels": {"a": "b"}}}),
            vec![
                r#"spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` not auto-generated"#,
                r#"spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"1","batch.kubernetes.io/job-name":"j","controller-uid":"1","job-name":"j"}: `selector` does not match template `labels`"#,
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(texts(&job(spec.clone()).validate()), expected, "{spec}");
    }
}

#[test]
fn a_job_may_be_moved_while_it_waits() {
    let moved = json!({"template": template(&json!({"nodeSelector": {"a": "b"}})), "suspend": true});
    let errors = job(moved.clone()).validate_update(&job(json!({})));
    assert_eq!((errors.len(), errors[0].field.as_str()), (1, "spec.template"));
    assert!(job(moved.clone()).validate_update(&job(json!({"suspend": true}))).is_empty());
    let mut begun = job(json!({"suspend": true}));
    begun.status = serde_json::from_value(json!({"startTime": "2026-01-01T00:00:00Z", "active": 1})).unwrap();
    assert_eq!(job(moved).validate_update(&begun).len(), 1);
}

#[test]
fn an_indexed_job_may_grow() {
    let spec = |count: i32, parallelism: i32| json!({"completionMode": "Indexed", "completions": count, "parallelism": parallelism});
    let old = job(spec(2, 2));
    assert!(job(spec(3, 3)).validate_update(&old).is_empty());
    assert_eq!(
        texts(&job(spec(3, 2)).validate_update(&old)),
        ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"]
    );
    assert_eq!(
        texts(&job(json!({"completions": 2})).validate_update(&job(json!({})))),
        ["spec.completions: Invalid value: 2: field is immutable"]
    );
}

#[test]
fn steps_of_the_status_are_checked() {
    const CONDITION: &str = "status.conditions: Invalid value: ";
    let with = |status: Value| {
        let mut job = job(json!({}));
        job.status = serde_json::from_value(status).unwrap();
        job
    };
    let conditions = |kinds: &[&str]| -> Value {
        kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect::<Vec<_>>().into()
    };
    let times = json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:05Z"});
    let mut done = times.clone();
    done["conditions"] = conditions(&["SuccessCriteriaMet", "Complete"]);
    let cases = [
        (json!({}), json!({"active": 1, "ready": 1}), vec![]),
        (json!({}), done.clone(), vec![]),
        (
            json!({}),
            json!({"conditions": conditions(&["Complete"])}),
            vec![
                "status.completionTime: Required value: completionTime is required for Complete jobs".to_owned(),
                format!("{CONDITION}cannot set Complete=True condition without the SuccessCriteriaMet=true condition"),
                "status.startTime: Required value: startTime is required for finished job".to_owned(),
            ],
        ),
        (
            json!({"failed": 2}),
            json!({"failed": 1, "ready": 2}),
            vec![
                "status.ready: Invalid value: 2: cannot set more ready pods than active".to_owned(),
                "status.failed: Invalid value: 1: cannot decrease the failed counter".to_owned(),
            ],
        ),
        (
            done,
            times,
            vec![
                "status.completionTime: Invalid value: \"2026-01-01T00:00:05Z\": cannot set completionTime when there is no Complete=True condition".to_owned(),
                format!("{CONDITION}cannot disable the terminal Complete=True condition"),
                format!("{CONDITION}cannot disable the SuccessCriteriaMet=True condition"),
            ],
        ),
    ];
    for (before, now, expected) in cases {
        assert_eq!(texts(&with(now.clone()).validate_status_update(&with(before))), expected, "{now}");
    }
}

#[test]
fn rows_tell_the_progress() {
    let mut job = job(json!({"parallelism": 3}));
    job.status = serde_json::from_value(json!({
        "succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:02:05Z",
        "conditions": [{"type": "Complete", "status": "True"}],
    }))
    .unwrap();
    assert_eq!(job.cells()[1..4], [json!("Complete"), json!("1/1 of 3"), json!("2m5s")]);
}
