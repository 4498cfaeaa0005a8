//! Mirrors as endpoints change.

use serde_json::{Value, json};

use super::*;

fn endpoints(subsets: &Value) -> Endpoints {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web", "namespace": "n", "uid": "e", "labels": {"team": "a"},
            "annotations": {
                "a": "b",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "endpoints.kubernetes.io/last-change-trigger-time": "now",
            },
        },
        "subsets": subsets,
    }))
    .unwrap()
}

fn addresses(ips: &[&str]) -> Value {
    ips.iter().map(|ip| json!({"ip": ip})).collect()
}

/// `family:ready,!not ready:ports` per slice.
fn text(slice: &EndpointSlice) -> String {
    let endpoint = |endpoint: &Endpoint| {
        let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
        format!("{}{}", if ready { "" } else { "!" }, endpoint.addresses[0])
    };
    let endpoints: Vec<String> = slice.endpoints.iter().flatten().map(endpoint).collect();
    let ports: Vec<String> = slice.ports.iter().flatten().map(|port| port.port.unwrap().to_string()).collect();
    format!("{}:{}:{}", slice.address_type, endpoints.join(","), ports.join(","))
}

/// Carries the actions out, as the server would; returns what was done.
fn apply(slices: &mut Vec<Arc<EndpointSlice>>, actions: Vec<Action>) -> String {
    let mut done = String::new();
    for action in actions {
        match action {
            Action::Create(mut slice) => {
                done.push('+');
                slice.metadata.name = Some(format!("web-{}", slices.len()));
                slices.push(Arc::new(slice));
            }
            Action::Update(slice) => {
                done.push('~');
                let old = slices.iter_mut().find(|old| old.metadata.name == slice.metadata.name).unwrap();
                *old = Arc::new(slice);
            }
            Action::Delete(slice) => {
                done.push('-');
                slices.retain(|old| old.metadata.name != slice.metadata.name);
            }
        }
    }
    done
}

#[test]
fn slices_follow_endpoints() {
    let port = |number: i32| json!([{"port": number}]);
    let steps = [
        (json!([]), "", ""),
        (
            json!([{"addresses": addresses(&["10.0.0.2", "10.0.0.1"]), "ports": port(80)}]),
            "+",
            "IPv4:10.0.0.1,10.0.0.2:80",
        ),
        (
            json!([{"addresses": addresses(&["10.0.0.1", "10.0.0.2"]), "ports": port(80)}]),
            "",
            "IPv4:10.0.0.1,10.0.0.2:80",
        ),
        (
            json!([{"addresses": addresses(&["10.0.0.1"]), "notReadyAddresses": addresses(&["10.0.0.2"]), "ports": port(80)}]),
            "~",
            "IPv4:10.0.0.1,!10.0.0.2:80",
        ),
        // A slice of other ports is made of the one that nobody needs any more.
        (json!([{"addresses": addresses(&["10.0.0.1"]), "ports": port(81)}]), "~", "IPv4:10.0.0.1:81"),
        (
            json!([{"addresses": addresses(&["010.0.0.001", "fd00::1", "::ffff:10.0.0.9"]), "ports": port(81)}]),
            "+~",
            "IPv4:10.0.0.1,10.0.0.9:81 IPv6:fd00::1:81",
        ),
        // Subsets with the same ports are one slice.
        (
            json!([{"addresses": addresses(&["10.0.0.1"])}, {"addresses": addresses(&["10.0.0.2"])}]),
            "~-",
            "IPv4:10.0.0.1,10.0.0.2:",
        ),
        (json!([]), "-", ""),
    ];
    let mut slices = Vec::new();
    for (subsets, done, expected) in steps {
        let plan = plan(&endpoints(&subsets), &slices, 1000);
        assert_eq!(apply(&mut slices, plan.actions), done, "{subsets}");
        let texts: Vec<String> = slices.iter().map(|slice| text(slice)).collect();
        assert_eq!(texts.join(" "), expected, "{subsets}");
    }
}

#[test]
fn what_mirrors_say_of_themselves() {
    let plan = plan(&endpoints(&json!([{"addresses": addresses(&["10.0.0.1"])}])), &[], 1000);
    let [Action::Create(slice)] = plan.actions.as_slice() else { panic!("{plan:?}") };
    let labels: Vec<String> =
        slice.metadata.labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        labels,
        [
            "endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io",
            "kubernetes.io/service-name=web",
            "team=a",
        ]
    );
    assert_eq!(slice.metadata.annotations, Some([("a".to_owned(), "b".to_owned())].into()));
    let owner = &slice.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("Endpoints", "e", Some(true)));
}

#[test]
fn what_is_left_out_is_counted() {
    let many: Vec<String> = (0..5).map(|number| format!("10.0.0.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (json!([{"addresses": addresses(&many)}]), 3, 0, 2),
        (json!([{"addresses": addresses(&["x", "10.0.0.1", "1.2.3", "300.1.1.1", "1.2.3.4.5", "-1.0.0.1"])}]), 3, 5, 5),
        (json!([{"addresses": addresses(&many[..2]), "notReadyAddresses": addresses(&many[2..])}]), 3, 0, 2),
    ];
    for (subsets, max, invalid, skipped) in cases {
        let plan = plan(&endpoints(&subsets), &[], max);
        assert_eq!((plan.invalid, plan.skipped), (invalid, skipped), "{subsets}");
    }
}

#[test]
fn some_endpoints_are_left_alone() {
    let cases = [
        (json!({}), true),
        (json!({"labels": {SKIP_MIRROR: "true"}}), false),
        (json!({"labels": {SKIP_MIRROR: "false"}}), true),
        (json!({"annotations": {LEADER: "{}"}}), false),
    ];
    for (metadata, expected) in cases {
        let endpoints: Endpoints = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        assert_eq!(is_to_be_mirrored(&endpoints), expected, "{metadata}");
    }
}
