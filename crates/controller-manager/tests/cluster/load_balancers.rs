//! Services of type `LoadBalancer` without a cloud.

use api_types::{
    core::{Node, Pod, Service},
    discovery::EndpointSlice,
};
use component::informer::Store;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::harness::{Cluster, key};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

async fn node(cluster: &Cluster, name: &str, ip: &str, ready: &str) {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    if nodes.get_opt(name).await.unwrap().is_none() {
        cluster.create::<Node>(json!({"metadata": {"name": name}})).await;
    }
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": ip}],
        "conditions": [{"type": "Ready", "status": ready}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
}

async fn balanced(cluster: &Cluster, name: &str, port: u16, more: Value) {
    let mut spec = json!({"type": "LoadBalancer", "ports": [{"port": port}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cluster.create::<Service>(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec})).await;
}

async fn change(cluster: &Cluster, name: &str, patch: Value) {
    let patch = Patch::Merge(patch);
    cluster.api::<Service>().patch(name, &PatchParams::default(), &patch).await.unwrap();
}

fn addresses(services: &Store<Service>, name: &str) -> Vec<String> {
    let status = services.get(&key(name)).and_then(|service| service.status.clone());
    let entries = status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
    let vip = |entry: api_types::core::LoadBalancerIngress| {
        assert_eq!(entry.ip_mode.as_deref(), Some("VIP"));
        entry.ip.unwrap()
    };
    entries.unwrap_or_default().into_iter().map(vip).collect()
}

async fn until_addresses(cluster: &Cluster, name: &str, expected: &[&str]) {
    cluster.until::<Service>(&format!("{name}: {expected:?}"), |all| addresses(all, name) == expected).await;
}

async fn until_conflict(cluster: &Cluster, name: &str, expected: Option<&str>) {
    let conflict = |all: &Store<Service>| {
        let status = all.get(&key(name)).and_then(|service| service.status.clone());
        let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
        conditions.into_iter().find(|c| c.type_ == "LoadBalancerPortsError").map(|condition| condition.message)
    };
    cluster.until::<Service>(&format!("{name}: {expected:?}"), |all| conflict(all).as_deref() == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_get_the_addresses_of_nodes() {
    let cluster = Cluster::start("--load-balancer-addresses=nodes --controllers=service").await;
    node(&cluster, "a", "10.0.0.1", "True").await;
    node(&cluster, "b", "10.0.0.2", "True").await;
    node(&cluster, "c", "10.0.0.3", "Unknown").await;
    balanced(&cluster, "web", 80, json!({"allocateLoadBalancerNodePorts": false})).await;
    until_addresses(&cluster, "web", &["10.0.0.1", "10.0.0.2"]).await;
    cluster.until_event("EnsuredLoadBalancer", |message| message == "Ensured load balancer").await;
    let web = cluster.informers.of::<Service>().store().get(&key("web")).unwrap();
    assert_eq!(web.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    assert_eq!(web.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].node_port, None);

    node(&cluster, "c", "10.0.0.3", "True").await;
    until_addresses(&cluster, "web", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    let label = json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}});
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.patch("b", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    until_addresses(&cluster, "web", &["10.0.0.1", "10.0.0.3"]).await;

    // A port is given once; who waits gets it when it is free.
    balanced(&cluster, "second", 80, json!({})).await;
    let conflict = "port 80/TCP of 10.0.0.1 belongs to service default/web";
    until_conflict(&cluster, "second", Some(conflict)).await;
    let told = format!("Error syncing load balancer: {conflict}");
    cluster.until_event("SyncLoadBalancerFailed", |message| message == told).await;
    balanced(&cluster, "mine", 10250, json!({})).await;
    until_conflict(&cluster, "mine", Some("port 10250/TCP of 10.0.0.1 belongs to the kubelet")).await;
    balanced(&cluster, "foreign", 90, json!({"loadBalancerClass": "example.com/cloud"})).await;
    change(&cluster, "web", json!({"spec": {"type": "ClusterIP"}})).await;
    until_addresses(&cluster, "second", &["10.0.0.1", "10.0.0.3"]).await;
    until_conflict(&cluster, "second", None).await;
    cluster
        .until::<Service>("web is let go", |all| {
            all.get(&key("web")).is_some_and(|web| web.metadata.finalizers.is_none())
                && addresses(all, "web").is_empty()
        })
        .await;
    let foreign = cluster.informers.of::<Service>().store().get(&key("foreign")).unwrap();
    assert_eq!(foreign.metadata.finalizers, None);

    change(&cluster, "second", json!({"spec": {"loadBalancerIP": "10.0.0.3"}})).await;
    until_addresses(&cluster, "second", &["10.0.0.3"]).await;
    cluster.api::<Service>().delete("second", &DeleteParams::default()).await.unwrap();
    cluster.until::<Service>("the end of the service", |all| all.get(&key("second")).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_machines_and_pods_are_no_services() {
    let cluster = Cluster::start("--load-balancer-addresses=nodes --controllers=service").await;
    node(&cluster, "a", "10.0.0.1", "True").await;
    node(&cluster, "b", "10.0.0.2", "True").await;
    balanced(&cluster, "ssh", 22, json!({})).await;
    let machines = "port 22/TCP of 10.0.0.1 belongs to the nodes (--load-balancer-reserved-ports)";
    until_conflict(&cluster, "ssh", Some(machines)).await;

    // A pod's, from the moment that it has it.
    balanced(&cluster, "web", 80, json!({})).await;
    until_addresses(&cluster, "web", &["10.0.0.1", "10.0.0.2"]).await;
    let ports = json!([{"containerPort": 8080, "hostPort": 80}]);
    let spec = json!({"nodeName": "b", "containers": [{"name": "c", "image": "i", "ports": ports}]});
    cluster.create::<Pod>(json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec})).await;
    until_addresses(&cluster, "web", &["10.0.0.1"]).await;
    until_conflict(&cluster, "web", Some("port 80/TCP of 10.0.0.2 belongs to pod default/p")).await;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    cluster.api::<Pod>().delete("p", &now).await.unwrap();
    until_addresses(&cluster, "web", &["10.0.0.1", "10.0.0.2"]).await;

    // An API server that comes later.
    balanced(&cluster, "second", 7443, json!({})).await;
    until_addresses(&cluster, "second", &["10.0.0.1", "10.0.0.2"]).await;
    let slice = json!({"addressType": "IPv4", "ports": [{"name": "https", "port": 7443}],
        "endpoints": [{"addresses": ["10.0.0.2"]}]});
    cluster.api::<EndpointSlice>().patch("kubernetes", &PatchParams::default(), &Patch::Merge(slice)).await.unwrap();
    until_addresses(&cluster, "second", &["10.0.0.1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_traffic_comes_to_nodes_with_endpoints() {
    let cluster = Cluster::start("--load-balancer-addresses=nodes --controllers=service").await;
    node(&cluster, "a", "10.0.0.1", "True").await;
    node(&cluster, "b", "10.0.0.2", "True").await;
    balanced(&cluster, "web", 80, json!({"externalTrafficPolicy": "Local"})).await;
    cluster
        .until_event("UnAvailableLoadBalancer", |text| text == "There are no available nodes for LoadBalancer")
        .await;
    let slice = |ready: bool| {
        json!({
            "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.2"], "nodeName": "b", "conditions": {"ready": ready}}],
        })
    };
    cluster.create::<EndpointSlice>(slice(true)).await;
    until_addresses(&cluster, "web", &["10.0.0.2"]).await;
    let slices = cluster.api::<EndpointSlice>();
    slices.patch("web-1", &PatchParams::default(), &Patch::Merge(slice(false))).await.unwrap();
    until_addresses(&cluster, "web", &[]).await;
    change(&cluster, "web", json!({"spec": {"externalTrafficPolicy": "Cluster"}})).await;
    until_addresses(&cluster, "web", &["10.0.0.1", "10.0.0.2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_get_addresses_of_a_pool() {
    let cluster = Cluster::start("--load-balancer-addresses=192.0.2.0/30 --controllers=service").await;
    balanced(&cluster, "first", 80, json!({"loadBalancerIP": "192.0.2.2"})).await;
    until_addresses(&cluster, "first", &["192.0.2.2"]).await;
    balanced(&cluster, "second", 80, json!({"loadBalancerClass": "ferrokube.io/addresses"})).await;
    until_addresses(&cluster, "second", &["192.0.2.1"]).await;
    balanced(&cluster, "third", 81, json!({})).await;
    let told = "Error syncing load balancer: no address of IPv4 is free in --load-balancer-addresses";
    cluster.until_event("SyncLoadBalancerFailed", |message| message == told).await;
    balanced(&cluster, "odd", 81, json!({"loadBalancerIP": "10.9.9.9"})).await;
    cluster.until_event("SyncLoadBalancerFailed", |message| message.contains("10.9.9.9 is not among")).await;
    cluster.api::<Service>().delete("second", &DeleteParams::default()).await.unwrap();
    until_addresses(&cluster, "third", &["192.0.2.1"]).await;
    assert_eq!(addresses(cluster.informers.of::<Service>().store(), "first"), ["192.0.2.2"]);
}
