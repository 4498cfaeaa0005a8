//! Slices as services and pods change.

use serde_json::{Value, json};

use super::*;

fn service(spec: &Value) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "s", "labels": {"team": "a"}}, "spec": spec,
    }))
    .unwrap()
}

fn pod(number: usize, status: &Value) -> Arc<Pod> {
    let ip = format!("10.0.{}.{}", number / 250, number % 250);
    let mut pod = json!({
        "metadata": {"name": format!("p{number}"), "namespace": "n", "uid": format!("uid{number:04}")},
        "spec": {"nodeName": "node"},
        "status": {"podIP": ip, "podIPs": [{"ip": ip}, {"ip": format!("fd00::{number}")}], "conditions": [{"type": "Ready", "status": "True"}]},
    });
    for (name, value) in status.as_object().unwrap() {
        pod["status"][name] = value.clone();
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn ready(number: usize) -> Arc<Pod> {
    pod(number, &json!({}))
}

fn zone(_: &str) -> Option<String> {
    Some("z".to_owned())
}

/// Carries the actions out, as the server would; returns how many creates, updates, deletes.
fn apply(slices: &mut Vec<Arc<EndpointSlice>>, actions: Vec<Action>) -> (usize, usize, usize) {
    let mut count = (0, 0, 0);
    for action in actions {
        match action {
            Action::Create(mut slice) => {
                count.0 += 1;
                slice.metadata.name = Some(format!("web-{}", slices.len()));
                slices.push(Arc::new(slice));
            }
            Action::Update(slice) => {
                count.1 += 1;
                let old = slices.iter_mut().find(|old| old.metadata.name == slice.metadata.name).unwrap();
                *old = Arc::new(slice);
            }
            Action::Delete(slice) => {
                count.2 += 1;
                slices.retain(|old| old.metadata.name != slice.metadata.name);
            }
        }
    }
    count
}

fn sizes(slices: &[Arc<EndpointSlice>]) -> Vec<usize> {
    let mut sizes: Vec<usize> = slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn slices_follow_pods_with_few_writes() {
    let service = service(&json!({"ports": [{"port": 80}]}));
    let mut slices = Vec::new();
    let mut step = |pods: &[Arc<Pod>]| {
        let actions = plan(&service, pods, &slices, &zone);
        let count = apply(&mut slices, actions);
        assert!(plan(&service, pods, &slices, &zone).is_empty(), "the plan settles");
        (count, sizes(&slices))
    };
    let pods: Vec<_> = (0..250).map(ready).collect();
    assert_eq!(step(&[]), ((1, 0, 0), vec![0]));
    assert_eq!(step(&pods[..1]), ((1, 0, 1), vec![1]));
    assert_eq!(step(&pods[..250]), ((2, 1, 0), vec![50, 100, 100]));
    assert_eq!(step(&pods[1..250]), ((0, 1, 0), vec![50, 99, 100]));
    assert_eq!(step(&pods[200..250]), ((0, 0, 2), vec![50]));
    let mut broken = pods[200..250].to_vec();
    broken[3] = pod(203, &json!({"conditions": []}));
    assert_eq!(step(&broken), ((0, 1, 0), vec![50]));
    assert_eq!(step(&[]).1, vec![0]);
}

#[test]
fn conditions_say_what_the_pod_is() {
    let with = |ready: &str, deleted: bool| {
        let mut pod = Pod::clone(&pod(1, &json!({"conditions": [{"type": "Ready", "status": ready}]})));
        pod.metadata.deletion_timestamp =
            deleted.then_some(api_types::meta::Time(api_types::jiff::Timestamp::UNIX_EPOCH));
        Arc::new(pod)
    };
    let plain = json!({"ports": [{"port": 80}]});
    let publish = json!({"ports": [{"port": 80}], "publishNotReadyAddresses": true});
    let cases = [
        (&plain, with("True", false), (true, true, false)),
        (&plain, with("False", false), (false, false, false)),
        (&plain, with("True", true), (false, true, true)),
        (&publish, with("False", false), (true, false, false)),
        (&publish, with("False", true), (true, false, true)),
    ];
    for (spec, pod, expected) in cases {
        let [Action::Create(slice)] = &plan(&service(spec), &[pod], &[], &zone)[..] else { panic!("one slice") };
        let endpoint = &slice.endpoints.as_ref().unwrap()[0];
        let conditions = endpoint.conditions.as_ref().unwrap();
        let actual = (conditions.ready.unwrap(), conditions.serving.unwrap(), conditions.terminating.unwrap());
        assert_eq!(actual, expected);
        assert_eq!(endpoint.zone.as_deref(), Some("z"));
    }
}

#[test]
fn both_families_have_slices() {
    let service =
        service(&json!({"ports": [{"name": "http", "port": 80}], "ipFamilies": ["IPv4", "IPv6"], "clusterIP": "None"}));
    let actions = plan(&service, &[ready(1)], &[], &zone);
    let slices: Vec<_> = actions
        .iter()
        .map(|action| match action {
            Action::Create(slice) => slice,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(slices.iter().map(|slice| slice.address_type.as_str()).collect::<Vec<_>>(), ["IPv4", "IPv6"]);
    let expected = json!({"team": "a", SERVICE_NAME: "web", MANAGED_BY: MANAGER, HEADLESS: ""});
    assert_eq!(serde_json::to_value(&slices[1].metadata.labels).unwrap(), expected);
    assert_eq!(slices[1].endpoints.as_ref().unwrap()[0].addresses, ["fd00::1"]);
}

#[test]
fn other_ports_are_other_slices() {
    let before = service(&json!({"ports": [{"port": 80}]}));
    let mut slices = Vec::new();
    let actions = plan(&before, &[ready(1)], &slices, &zone);
    apply(&mut slices, actions);
    let after = service(&json!({"ports": [{"port": 81}]}));
    let actions = plan(&after, &[ready(1)], &slices, &zone);
    assert_eq!(apply(&mut slices, actions), (1, 0, 1));
    assert_eq!(slices[0].ports.as_ref().unwrap()[0].port, Some(81));
}
