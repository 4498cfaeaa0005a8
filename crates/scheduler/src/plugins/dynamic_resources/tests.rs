use std::sync::Arc;

use api_types::devices::{AllocationResult, DeviceClass, ResourceClaim, ResourceSlice};
use component::informer::{Event, ObjectKey};
use serde_json::{Value, json};

use super::{DynamicResources, Plugin};
use crate::{
    devices::Known,
    framework::{Change, Hint, Reservation},
    testing::{Cluster, hint, node, with_candidate},
};

fn add<T: Known + serde::de::DeserializeOwned>(cluster: &Cluster, object: Value) {
    cluster.snapshot.devices().note(&Event::Added(Arc::new(serde_json::from_value::<T>(object).unwrap())));
}

fn cluster() -> Cluster {
    let cluster = Cluster::of(&["a", "b"].map(|name| node(name, json!({}))));
    let selector = json!([{"cel": {"expression": "device.driver == 'd.io'"}}]);
    add::<DeviceClass>(&cluster, json!({"metadata": {"name": "gpu"}, "spec": {"selectors": selector}}));
    cluster
}

/// A pool of the one node on which it is, of one slice; devices by name and model.
fn pool(cluster: &Cluster, on: &str, devices: &[(&str, &str)]) {
    let devices: Vec<Value> = devices
        .iter()
        .map(|(name, model)| {
            let attributes = json!({"model": {"string": model}, "index": {"int": name.len()}});
            json!({"name": name, "attributes": attributes, "capacity": {"memory": {"value": "8Gi"}}})
        })
        .collect();
    slice(cluster, on, json!({"nodeName": on, "devices": devices}));
}

fn slice(cluster: &Cluster, name: &str, spec: Value) {
    let mut all = json!({"driver": "d.io", "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}});
    json_patch::merge(&mut all, &spec);
    add::<ResourceSlice>(cluster, json!({"metadata": {"name": format!("{name}-slice")}, "spec": all}));
}

fn claim(cluster: &Cluster, name: &str, devices: Value, status: Value) {
    let metadata = json!({"name": name, "namespace": "ns", "uid": name});
    add::<ResourceClaim>(cluster, json!({"metadata": metadata, "spec": {"devices": devices}, "status": status}));
}

fn exactly(more: Value) -> Value {
    let mut own = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
    json_patch::merge(&mut own, &more);
    json!({"requests": [{"name": "r", "exactly": own}]})
}

fn pod(claims: &[&str]) -> Value {
    let claims: Vec<Value> = claims.iter().map(|name| json!({"name": name, "resourceClaimName": name})).collect();
    json!({"metadata": {"name": "p", "namespace": "ns", "uid": "p"}, "spec": {"resourceClaims": claims}})
}

/// What claims get on a node, as `claim: request=device`.
fn given(cluster: &Cluster, own: &Value, on: &str) -> Result<Vec<String>, Vec<String>> {
    let plugin = DynamicResources::default();
    let reserved = with_candidate(own, |candidate| {
        plugin.reserve(candidate, cluster.snapshot.node(on).unwrap(), &cluster.snapshot)
    });
    let reserved: Box<dyn Reservation> = match reserved {
        Ok(reserved) => reserved.unwrap(),
        Err(rejection) => return Err(rejection.reasons.iter().map(ToString::to_string).collect()),
    };
    let names = own["spec"]["resourceClaims"].as_array().unwrap().iter().map(|own| own["name"].as_str().unwrap());
    let all = names.filter_map(|name| {
        let allocation = cluster.snapshot.devices().promised(&ObjectKey::new("ns", name))?;
        Some(format!("{name}: {}", said(&allocation)))
    });
    let all = all.collect();
    drop(reserved);
    Ok(all)
}

fn said(allocation: &AllocationResult) -> String {
    let results = allocation.devices.iter().flat_map(|own| own.results.iter().flatten());
    results.map(|own| format!("{}={}", own.request, own.device)).collect::<Vec<_>>().join(" ")
}

#[test]
fn devices_are_where_claims_can_have_them() {
    let mut cluster = cluster();
    pool(&cluster, "a", &[("g", "old"), ("gg", "new")]);
    claim(&cluster, "two", exactly(json!({"count": 2})), json!({}));
    claim(&cluster, "three", exactly(json!({"count": 3})), json!({}));
    let fits = |cluster: &mut Cluster, claims: &[&str]| cluster.fits(&pod(claims));
    cluster.fits(&pod(&[]));
    assert_eq!(fits(&mut cluster, &["two"]), ["a: yes", "b: cannot allocate all claims (NotNow)"]);
    assert_eq!(fits(&mut cluster, &["three"])[0], "a: cannot allocate all claims (NotNow)");
    assert_eq!(given(&cluster, &pod(&["two"]), "a"), Ok(vec!["two: r=g r=gg".to_owned()]));
    // What was promised and given back is there again; what somebody has is not.
    assert_eq!(fits(&mut cluster, &["two"])[0], "a: yes");
    let results = json!([{"request": "r", "driver": "d.io", "pool": "a", "device": "g"}]);
    let on_a =
        json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]});
    let status = json!({"allocation": {"devices": {"results": results}, "nodeSelector": on_a}});
    claim(&cluster, "other", exactly(json!({})), status);
    assert_eq!(fits(&mut cluster, &["two"])[0], "a: cannot allocate all claims (NotNow)");
    assert_eq!(fits(&mut cluster, &["other"]), ["a: yes", "b: resourceclaim not available on the node (NotNow)"]);
    claim(&cluster, "admin", exactly(json!({"count": 2, "adminAccess": true})), json!({}));
    assert_eq!(given(&cluster, &pod(&["admin"]), "a"), Ok(vec!["admin: r=g r=gg".to_owned()]));
    claim(&cluster, "all", exactly(json!({"allocationMode": "All", "count": null})), json!({}));
    assert_eq!(fits(&mut cluster, &["all"])[0], "a: cannot allocate all claims (NotNow)");
}

#[test]
fn what_is_chosen_is_what_is_asked_for() {
    let mut cluster = cluster();
    pool(&cluster, "a", &[("g", "old"), ("gg", "new"), ("ggg", "new")]);
    cluster.fits(&pod(&[]));
    let select = |text: &str| json!([{"cel": {"expression": text}}]);
    let new = select("device.attributes['d.io'].model == 'new'");
    let request = |name: &str, more: Value| {
        let mut own = exactly(more);
        own["requests"][0]["name"] = json!(name);
        own["requests"][0].take()
    };
    let both = |constraint: Value| json!({"requests": [request("x", json!({})), request("y", json!({}))], "constraints": [constraint]});
    let alternatives = json!([
        {"name": "many", "deviceClassName": "gpu", "count": 4},
        {"name": "few", "deviceClassName": "gpu", "count": 2, "selectors": new},
    ]);
    let cases = [
        (exactly(json!({"selectors": new, "count": 2})), "r=gg r=ggg"),
        (exactly(json!({"allocationMode": "All", "count": null})), "r=g r=gg r=ggg"),
        (both(json!({"matchAttribute": "d.io/model"})), "x=gg y=ggg"),
        (both(json!({"distinctAttribute": "d.io/model"})), "x=g y=gg"),
        (both(json!({"requests": ["x"], "matchAttribute": "d.io/model"})), "x=g y=gg"),
        (json!({"requests": [{"name": "r", "firstAvailable": alternatives}]}), "r/few=gg r/few=ggg"),
        (exactly(json!({"capacity": {"requests": {"d.io/memory": "8Gi"}}})), "r=g"),
    ];
    for (devices, expected) in cases {
        claim(&cluster, "c", devices.clone(), json!({}));
        assert_eq!(given(&cluster, &pod(&["c"]), "a"), Ok(vec![format!("c: {expected}")]), "{devices}");
    }
    for (devices, why) in [
        (both(json!({"matchAttribute": "d.io/index"})), "cannot allocate all claims"),
        (both(json!({"matchAttribute": "d.io/none"})), "cannot allocate all claims"),
        (exactly(json!({"capacity": {"requests": {"d.io/memory": "9Gi"}}})), "cannot allocate all claims"),
        (exactly(json!({"count": 33})), "cannot allocate all claims"),
        (
            exactly(json!({"selectors": select("device.attributes['d.io'].none == 'x'")})),
            "request r: device g: no such key: none",
        ),
        (exactly(json!({"deviceClassName": "none"})), "request r: device class none does not exist"),
    ] {
        claim(&cluster, "c", devices.clone(), json!({}));
        assert_eq!(given(&cluster, &pod(&["c"]), "a"), Err(vec![why.to_owned()]), "{devices}");
    }
}

#[test]
fn what_is_not_known_in_full_or_not_simple_is_given_to_nobody() {
    let mut cluster = cluster();
    let all = exactly(json!({"allocationMode": "All", "count": null}));
    claim(&cluster, "one", exactly(json!({})), json!({}));
    claim(&cluster, "all", all, json!({}));
    slice(&cluster, "half", json!({"nodeName": "a", "pool": {"resourceSliceCount": 2}, "devices": [{"name": "h"}]}));
    let tainted = json!({"name": "t", "taints": [{"key": "broken", "effect": "NoSchedule"}]});
    let counted = json!({"name": "c", "consumesCounters": [{"counterSet": "s", "counters": {"n": {"value": "1"}}}]});
    slice(&cluster, "odd", json!({"allNodes": true, "devices": [tainted, counted]}));
    let no = |name: &str| format!("{name}: cannot allocate all claims (NotNow)");
    cluster.fits(&pod(&[]));
    assert_eq!(cluster.fits(&pod(&["one"])), [no("a"), no("b")]);
    slice(&cluster, "net", json!({"allNodes": true, "devices": [{"name": "n"}]}));
    assert_eq!(cluster.fits(&pod(&["one"])), ["a: yes", "b: yes"]);
    assert_eq!(cluster.fits(&pod(&["all"])), [no("a"), "b: yes".to_owned()]);
    let tolerant = exactly(json!({"tolerations": [{"key": "broken", "operator": "Exists"}], "count": 2}));
    claim(&cluster, "tolerant", tolerant, json!({}));
    assert_eq!(cluster.fits(&pod(&["tolerant"])), ["a: yes", "b: yes"]);
    // A newer generation of a pool replaces the older, even before it is there in full.
    let newer = json!({"allNodes": true, "pool": {"name": "net", "generation": 2, "resourceSliceCount": 2}, "devices": [{"name": "m"}]});
    slice(&cluster, "newer", newer);
    assert_eq!(cluster.fits(&pod(&["one"])), [no("a"), no("b")]);
}

#[test]
fn a_search_without_end_is_given_up() {
    let mut cluster = cluster();
    let devices: Vec<Value> =
        (0..30).map(|i| json!({"name": format!("d{i}"), "attributes": {"i": {"int": i % 15}}})).collect();
    slice(&cluster, "a", json!({"nodeName": "a", "devices": devices}));
    let constraint = json!([{"distinctAttribute": "d.io/i"}]);
    let mut all = exactly(json!({"count": 16}));
    all["constraints"] = constraint;
    claim(&cluster, "c", all, json!({}));
    cluster.fits(&pod(&[]));
    assert_eq!(cluster.fits(&pod(&["c"]))[0], "a: cannot allocate all claims (NotNow)");
}

#[test]
fn claims_that_cannot_be_used_are_waited_for() {
    let mut cluster = cluster();
    pool(&cluster, "a", &[("g", "old")]);
    cluster.fits(&pod(&[]));
    let own = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "p"},
        "spec": {"resourceClaims": [{"name": "x", "resourceClaimTemplateName": "t"}]}});
    let all = |why: &str| Err(format!("0/2 nodes are available: {why}."));
    assert_eq!(cluster.decide(&own), all("pod claim \"x\": ResourceClaim not created yet"));
    assert_eq!(cluster.decide(&pod(&["none"])), all("resourceclaim \"none\" not found"));
    claim(&cluster, "c", exactly(json!({})), json!({}));
    let mut with_status = own.clone();
    with_status["status"] = json!({"resourceClaimStatuses": [{"name": "x", "resourceClaimName": "c"}]});
    let why = "ResourceClaim ns/c was not created for pod ns/p (pod is not owner)";
    assert_eq!(cluster.decide(&with_status), all(why));
    let mut without = own;
    without["status"] = json!({"resourceClaimStatuses": [{"name": "x"}]});
    assert_eq!(cluster.decide(&without), Ok("a".to_owned()));
    let users: Vec<Value> = (0..256).map(|i| json!({"resource": "pods", "name": "q", "uid": format!("{i}")})).collect();
    claim(&cluster, "full", exactly(json!({})), json!({"allocation": {}, "reservedFor": users}));
    assert_eq!(cluster.decide(&pod(&["full"])), all("resourceclaim in use"));
}

#[test]
fn pods_wake_when_devices_may_be_had() {
    let claim = |name: &str| -> Change {
        let claim = json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {}});
        Change::DeviceClaim(Arc::new(serde_json::from_value(claim).unwrap()))
    };
    for (change, claims, expected) in [
        (Change::Devices, &["c"][..], Hint::Queue),
        (Change::Devices, &[], Hint::Skip),
        (claim("c"), &["c"], Hint::Queue),
        (claim("d"), &["c"], Hint::Skip),
        (Change::Limits, &["c"], Hint::Skip),
    ] {
        assert_eq!(hint("DynamicResources", &pod(claims), &change), expected, "{change:?}");
    }
}

#[test]
fn what_is_given_says_where_it_is_and_how_to_use_it() {
    let mut cluster = cluster();
    let opaque = |driver: &str| json!({"opaque": {"driver": driver, "parameters": {"x": 1}}});
    let spec = json!({"config": [opaque("of-class")]});
    add::<DeviceClass>(&cluster, json!({"metadata": {"name": "gpu"}, "spec": spec}));
    let selector =
        |key: &str| json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]}]});
    slice(&cluster, "x", json!({"nodeSelector": selector("x"), "devices": [{"name": "x"}]}));
    slice(&cluster, "y", json!({"nodeSelector": selector("y"), "devices": [{"name": "y"}]}));
    let mut devices = exactly(json!({"count": 2}));
    let mut other = opaque("of-another");
    other["requests"] = json!(["s"]);
    devices["config"] = json!([opaque("of-claim"), other]);
    claim(&cluster, "c", devices, json!({}));
    cluster.fits(&pod(&[]));
    let plugin = DynamicResources::default();
    let reserved = with_candidate(&pod(&["c"]), |candidate| {
        plugin.reserve(candidate, cluster.snapshot.node("a").unwrap(), &cluster.snapshot)
    });
    let given = cluster.snapshot.devices().promised(&ObjectKey::new("ns", "c")).unwrap();
    drop(reserved);
    let given = serde_json::to_value(&*given).unwrap();
    let exists = |key: &str| json!({"key": key, "operator": "DoesNotExist"});
    assert_eq!(given["nodeSelector"], json!({"nodeSelectorTerms": [{"matchExpressions": [exists("x"), exists("y")]}]}));
    let config = given["devices"]["config"].as_array().unwrap();
    let config: Vec<String> =
        config.iter().map(|own| format!("{} {} {}", own["source"], own["opaque"]["driver"], own["requests"])).collect();
    assert_eq!(config, [r#""FromClass" "of-class" ["r"]"#, r#""FromClaim" "of-claim" null"#]);
}
