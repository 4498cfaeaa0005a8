//! Services: what they get from the shared pools, and what they give back.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    Object, core,
    jiff::{SignedDuration, Timestamp},
};
use apiserver::{
    bootstrap::{loopback_user, own_options},
    registry::{Target, Write},
    resources::service::{
        addresses::Owner,
        pool::Wanted,
        repair::{self, Suspects},
    },
    storage::{
        Store,
        embedded::{EmbeddedOptions, EmbeddedStore},
    },
};
use serde_json::{Value, json};

use crate::client::Api;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: Value) -> Value {
    let mut service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    if let (Some(all), Value::Object(more)) = (service["spec"].as_object_mut(), spec) {
        all.extend(more);
    }
    service
}

async fn start() -> Api {
    Api::start_with(&["--service-cluster-ip-range=10.9.0.0/28", "--service-node-port-range=30000-30003"]).await
}

#[tokio::test]
async fn addresses_are_given_once() {
    let api = start().await;
    let a = api.post(SERVICES, &service("a", json!({"clusterIP": "10.9.0.5"}))).await.ok();
    assert_eq!(
        (a["spec"]["clusterIPs"].clone(), a["spec"]["ipFamilies"].clone()),
        (json!(["10.9.0.5"]), json!(["IPv4"]))
    );
    let taken = api.post(SERVICES, &service("b", json!({"clusterIP": "10.9.0.5"}))).await.failure();
    assert_eq!(
        (taken.0, taken.2.as_str()),
        (
            422,
            "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.9.0.5\"]: failed to allocate IP 10.9.0.5: provided IP is already allocated"
        )
    );
    let outside = api.post(SERVICES, &service("b", json!({"clusterIP": "10.8.0.5"}))).await.failure();
    assert!(outside.2.ends_with("the provided network does not match the current range"), "{}", outside.2);
    let network = api.post(SERVICES, &service("b", json!({"clusterIP": "10.9.0.15"}))).await.failure();
    let why = "the provided IP (10.9.0.15) is not in the valid range. The range of valid IPs is 10.9.0.0/28";
    assert!(network.2.ends_with(why), "{}", network.2);
    let headless = api.post(SERVICES, &service("h", json!({"clusterIP": "None"}))).await.ok();
    assert_eq!(headless["spec"]["clusterIP"], "None");
    let external = json!({"type": "ExternalName", "externalName": "example.com"});
    assert!(api.post(SERVICES, &service("e", external)).await.ok()["spec"]["clusterIP"].is_null());
    api.delete(&format!("{SERVICES}/a")).await.ok();
    api.post(SERVICES, &service("b", json!({"clusterIP": "10.9.0.5"}))).await.ok();
}

#[tokio::test]
async fn a_range_can_be_used_up_and_is_given_back() {
    let api = start().await;
    let mut count = 0;
    let refused = loop {
        let reply = api.post(SERVICES, &service(&format!("s{count}"), json!({}))).await;
        if reply.code != 201 {
            break reply.failure();
        }
        count += 1;
    };
    assert_eq!(count, 13, "the first of 14 is the service kubernetes'");
    assert_eq!(
        (refused.0, refused.2.as_str()),
        (500, "Internal error occurred: failed to allocate a serviceIP: range is full")
    );
    api.delete(&format!("{SERVICES}/s3")).await.ok();
    api.post(SERVICES, &service("again", json!({}))).await.ok();
}

#[tokio::test]
async fn a_failed_creation_gives_back_what_it_took() {
    let api = start().await;
    api.post(SERVICES, &service("a", json!({"clusterIP": "10.9.0.5"}))).await.ok();
    let node_port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}], "clusterIP": "10.9.0.6"});
    assert_eq!(api.post(SERVICES, &service("a", node_port.clone())).await.code, 409);
    api.post(SERVICES, &service("b", node_port)).await.ok();
}

#[tokio::test]
async fn node_ports_are_given_once() {
    let api = start().await;
    let on_nodes = |port: i32| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    api.post(SERVICES, &service("a", on_nodes(30001))).await.ok();
    let taken = api.post(SERVICES, &service("b", on_nodes(30001))).await.failure();
    assert_eq!(
        taken.2,
        "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated"
    );
    let outside = api.post(SERVICES, &service("b", on_nodes(80))).await.failure();
    assert!(outside.2.contains("spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-30003"), "{}", outside.2);
    let dns =
        json!({"type": "NodePort", "ports": [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]});
    let created = api.post(SERVICES, &service("dns", dns)).await.ok();
    assert_eq!(created["spec"]["ports"][0]["nodePort"], created["spec"]["ports"][1]["nodePort"]);
    let back = api.merge(&format!("{SERVICES}/a"), &json!({"spec": {"type": "ClusterIP"}})).await.ok();
    assert!(back["spec"]["ports"][0]["nodePort"].is_null());
    api.post(SERVICES, &service("b", on_nodes(30001))).await.ok();
}

#[tokio::test]
async fn a_dry_run_gets_addresses_and_ports_but_takes_none() {
    let api = start().await;
    // The server writes its own endpoints a moment after it is ready.
    let own = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    while api.get(own).await.code != 200 {
        tokio::task::yield_now().await;
    }
    let revision = async || api.get(SERVICES).await.ok()["metadata"]["resourceVersion"].clone();
    let before = revision().await;
    let spec = json!({"type": "NodePort", "clusterIP": "10.9.0.5"});
    let tried = api.post(&format!("{SERVICES}?dryRun=All"), &service("a", spec.clone())).await.ok();
    assert_eq!(tried["spec"]["clusterIP"], "10.9.0.5");
    assert!(tried["spec"]["ports"][0]["nodePort"].is_number(), "{tried}");
    assert_eq!(revision().await, before, "a place was taken, if only for a moment");

    api.post(SERVICES, &service("a", spec.clone())).await.ok();
    let taken = api.post(&format!("{SERVICES}?dryRun=All"), &service("b", spec)).await.failure();
    assert!(taken.2.contains("provided IP is already allocated"), "{}", taken.2);
}

#[tokio::test]
async fn the_server_is_a_service_itself() {
    let api = start().await;
    let service = api.get(&format!("{SERVICES}/kubernetes")).await.ok();
    assert_eq!(
        (service["spec"]["clusterIP"].as_str(), service["spec"]["ports"][0]["port"].as_i64()),
        (Some("10.9.0.1"), Some(443))
    );
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let mut slices = api.watch(&format!("{path}?watch=true")).await;
    let slice = slices.next().await.unwrap()["object"].clone();
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
    let endpoints = api.get("/api/v1/namespaces/default/endpoints/kubernetes").await.ok();
    assert_eq!(endpoints["subsets"][0]["ports"][0]["port"], slice["ports"][0]["port"]);
}

#[tokio::test]
async fn a_manifest_can_be_sent_again() {
    let api = start().await;
    let manifest = service("a", json!({"type": "NodePort"}));
    let created = api.post(SERVICES, &manifest).await.ok();
    let updated = api.put(&format!("{SERVICES}/a"), &manifest).await.ok();
    assert_eq!(updated["spec"], created["spec"]);
}

#[tokio::test]
async fn what_the_last_finalizer_held_back_is_given_back() {
    let api = start().await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}], "clusterIP": "10.9.0.5"});
    let mut held = service("held", spec.clone());
    held["metadata"]["finalizers"] = json!(["example.com/a"]);
    api.post(SERVICES, &held).await.ok();
    let path = format!("{SERVICES}/held");
    api.delete(&path).await.ok();
    assert_eq!(api.post(SERVICES, &service("next", spec.clone())).await.code, 422, "it is still there");
    let tried = api.merge(&format!("{path}?dryRun=All"), &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(tried.code, 200);
    assert_eq!(api.post(SERVICES, &service("next", spec.clone())).await.code, 422, "it was only tried");
    // What the same update asks for besides is not taken any more.
    let last = json!({"metadata": {"finalizers": null}, "spec": {"ports": [{"port": 80, "nodePort": 30002}]}});
    api.merge(&path, &last).await.ok();
    assert_eq!(api.get(&path).await.code, 404);
    api.post(SERVICES, &service("next", spec)).await.ok();
    let other = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30002}]});
    api.post(SERVICES, &service("other", other)).await.ok();
}

const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";

#[tokio::test]
async fn an_address_that_is_taken_is_an_object() {
    let api = start().await;
    api.post(SERVICES, &service("a", json!({"clusterIP": "10.9.0.5"}))).await.ok();
    let address = api.get(&format!("{ADDRESSES}/10.9.0.5")).await.ok();
    let labels = json!({
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    });
    assert_eq!(address["metadata"]["labels"], labels);
    let parent = json!({"parentRef": {"resource": "services", "namespace": "default", "name": "a"}});
    assert_eq!(address["spec"], parent);
    api.delete(&format!("{SERVICES}/a")).await.ok();
    assert_eq!(api.get(&format!("{ADDRESSES}/10.9.0.5")).await.code, 404);

    let parent = json!({"group": "example.com", "resource": "gateways", "name": "g"});
    let object = json!({"metadata": {"name": "10.9.0.5"}, "spec": {"parentRef": parent}});
    api.post(ADDRESSES, &object).await.ok();
    let refused = api.post(SERVICES, &service("a", json!({"clusterIP": "10.9.0.5"}))).await.failure();
    assert!(refused.2.ends_with("failed to allocate IP 10.9.0.5: provided IP is already allocated"), "{}", refused.2);
    api.post(SERVICES, &service("a", json!({"clusterIP": "10.9.0.6"}))).await.ok();
    assert_eq!(api.post(SERVICES, &service("a", json!({"clusterIP": "10.9.0.7"}))).await.code, 409);
    assert_eq!(api.get(&format!("{ADDRESSES}/10.9.0.7")).await.code, 404, "what was taken for nothing");
    assert_eq!(api.get(&format!("{ADDRESSES}/10.9.0.6")).await.code, 200);
}

#[tokio::test]
async fn addresses_come_from_every_range_that_is_ready() {
    let api = start().await;
    let outside = json!({"clusterIP": "10.10.0.3"});
    assert_eq!(api.post(SERVICES, &service("b", outside.clone())).await.code, 422);
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.10.0.0/29"]}});
    api.post(RANGES, &range).await.ok();
    api.post(SERVICES, &service("b", outside)).await.ok();
    // Fourteen and six, of which the server has one.
    for number in 0..18 {
        api.post(SERVICES, &service(&format!("s{number}"), json!({}))).await.ok();
    }
    let full = api.post(SERVICES, &service("full", json!({}))).await.failure();
    assert_eq!((full.0, full.2.contains("failed to allocate a serviceIP: range is full")), (500, true), "{}", full.2);
    let services = api.get(SERVICES).await.ok();
    let addresses: BTreeSet<String> = services["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["spec"]["clusterIP"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(addresses.len(), 20, "nobody shares one");

    api.delete(&format!("{SERVICES}/b")).await.ok();
    let unready = json!({"status": {"conditions": [{
        "type": "Ready", "status": "False", "reason": "Terminating", "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z",
    }]}});
    api.merge(&format!("{RANGES}/more/status"), &unready).await.ok();
    assert_eq!(api.post(SERVICES, &service("b", json!({}))).await.code, 500, "from a range that is to go");
}

#[tokio::test]
async fn many_who_ask_at_once_get_an_address_each() {
    let api = start().await;
    let asked = (0..20).map(|number| {
        let api = &api;
        async move { api.post(SERVICES, &service(&format!("s{number}"), json!({}))).await.code }
    });
    let mut codes = futures::future::join_all(asked).await;
    codes.sort_unstable();
    assert_eq!(codes, [[201; 13].as_slice(), &[500; 7]].concat());
    let addresses = api.get(ADDRESSES).await.ok()["items"].as_array().unwrap().len();
    assert_eq!(addresses, 14);
}

#[tokio::test]
async fn objects_and_services_are_made_to_agree() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&EmbeddedOptions::new(directory.path().join("store"))).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let (registry, pools) = crate::registry::over(&store);
    let own: core::Service = serde_json::from_value(service("a", json!({"clusterIP": "10.0.0.5"}))).unwrap();
    let own: Box<dyn Object> = Box::new(own);
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    registry.create(&registry.core("services").unwrap(), &write, "default", own).await.unwrap();
    let nobody = Owner { namespace: "default".into(), name: "b".into() };
    let port = pools.ports.take(&[Wanted::Any]).await.unwrap();
    pools.addresses.take(&nobody, Some("10.0.0.6".parse().unwrap())).await.unwrap();

    let addresses = registry.find("networking.k8s.io", "v1", "ipaddresses").unwrap();
    let at = |name| Target { namespace: "", name };
    registry.delete(&addresses, &write, at("10.0.0.5"), &Default::default()).await.unwrap();
    let mut suspects = Suspects::default();
    let now = Timestamp::now();
    for (round, seconds, there) in [(1, 0, true), (2, 61, false)] {
        let at_then = now + SignedDuration::from_secs(seconds);
        suspects = repair::round(&registry, &pools, &suspects, at_then).await.unwrap();
        assert!(registry.get(&addresses, at("10.0.0.5")).await.is_ok(), "round {round}");
        assert_eq!(registry.get(&addresses, at("10.0.0.6")).await.is_ok(), there, "round {round}");
        let ports = pools.ports.taken().await.unwrap();
        assert_eq!(ports.iter().any(|place| port.contains(&place)), there, "round {round}");
    }
}

#[tokio::test]
async fn families_are_those_of_the_cluster() {
    let api = Api::start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| {
        let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        service
    };
    let refused = [
        (
            json!({"ipFamilies": ["IPv6"]}),
            r#"spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#,
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#,
        ),
    ];
    for (spec, why) in refused {
        let (code, _, message) = api.post(services, &service("a", spec)).await.failure();
        assert_eq!((code, message), (422, format!(r#"Service "a" is invalid: {why}"#)));
    }
    let headless = api.post(services, &service("h", json!({"clusterIP": "None"}))).await.ok();
    assert_eq!(headless["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(headless["spec"]["ipFamilyPolicy"], "RequireDualStack");
}

#[tokio::test]
async fn a_load_balancer_tells_where_it_is() {
    let api = Api::start().await;
    let services = "/api/v1/namespaces/default/services";
    for (name, kind) in [("inside", "ClusterIP"), ("outside", "LoadBalancer")] {
        let service = json!({"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}});
        api.post(services, &service).await.ok();
    }
    let told = |point: Value| json!({"status": {"loadBalancer": {"ingress": [point]}}});
    let cases = [
        ("inside", json!({"ip": "1.2.3.4"}), "ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"),
        (
            "outside",
            json!({"ip": "x"}),
            r#"ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
        ),
        (
            "outside",
            json!({"ip": "1.2.3.4", "ipMode": "Foo"}),
            r#"ingress[0].ipMode: Unsupported value: "Foo": supported values: "Proxy", "VIP""#,
        ),
        (
            "outside",
            json!({"ipMode": "VIP"}),
            "ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set",
        ),
        (
            "outside",
            json!({"hostname": "1.2.3.4"}),
            r#"ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address"#,
        ),
    ];
    for (name, point, why) in cases {
        let (code, _, message) = api.merge(&format!("{services}/{name}/status"), &told(point)).await.failure();
        assert_eq!((code, message), (422, format!(r#"Service "{name}" is invalid: status.loadBalancer.{why}"#)));
    }
    let good = api.merge(&format!("{services}/outside/status"), &told(json!({"ip": "1.2.3.4"}))).await.ok();
    assert_eq!(good["status"]["loadBalancer"]["ingress"], json!([{"ip": "1.2.3.4", "ipMode": "VIP"}]));
}
