//! Pods that Debian's CNI plugins connect, on real Docker.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use api_types::core::{Node, Pod};
use component::informer::ObjectKey;
use kubelet::network::cni::{Cni, CniConfig};
use kubelet::runtime::docker::DockerRuntime;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::api::{Cluster, running};
use crate::node::{Machine, is_ready, phase};
use crate::shared;

/// Where Debian has its plugins.
const PLUGINS: &str = "/usr/lib/cni";
const BRIDGE: &str = "fkcni0";
const HOST_PORT: u16 = 31_931;

fn network(directory: &Path) -> Cni {
    let at = |name: &str| directory.join(name);
    let config = CniConfig { configurations: at("conf"), plugins: vec![PLUGINS.into()], state: at("cni") };
    Cni::new(config).unwrap()
}

/// A bridge with addresses of its own, and ports of the node.
fn configuration(directory: &Path) -> Value {
    let addresses = directory.join("addresses");
    json!({"cniVersion": "1.0.0", "name": "test", "plugins": [
        {"type": "bridge", "bridge": BRIDGE, "isGateway": true, "hairpinMode": true, "ipMasq": false,
            "ipam": {"type": "host-local", "dataDir": addresses, "ranges": [[{"subnet": "10.252.7.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]})
}

/// The addresses that host-local has given out.
fn given(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory.join("addresses/test")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("10.")).collect()
}

fn server(port: u16) -> Value {
    let script = "mkdir /www; echo here >/www/index.html; exec httpd -f -p 8080 -h /www";
    let mut spec = running(script);
    spec["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": port}]);
    spec
}

fn ip(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default()
}

fn runs(pod: Option<&Pod>) -> bool {
    pod.is_some_and(|pod| phase(pod) == "Running" && !ip(pod).is_empty())
}

/// Whether a connection comes about, sooner or later: the server may just be starting.
async fn is_reached(address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn plugins_connect_pods() {
    let Some(docker) = shared::docker().await else { return };
    let plugins = if Path::new(PLUGINS).join("bridge").exists() { Ok(()) } else { Err(format!("none in {PLUGINS}")) };
    if test_needs::need("containernetworking-plugins", plugins).is_none() {
        return;
    }
    let mut machine = Machine::<DockerRuntime>::on(docker);
    machine.node = format!("node-{}", std::process::id());
    let directory = machine.directory.path().to_owned();
    fs::create_dir(directory.join("conf")).unwrap();
    machine.network = Arc::new(network(&directory));

    // The node waits for a configuration, and no longer.
    let mut cluster = Cluster::without_pod_cidr(machine, &[]).await;
    let key = ObjectKey::new("", cluster.machine.node.as_str());
    cluster.nodes.until(&key, "the node to say why it is not ready", says_why).await;
    fs::write(directory.join("conf/10-test.conflist"), configuration(&directory).to_string()).unwrap();
    cluster.nodes.until(&key, "the node to be ready", |node| node.is_some_and(is_ready)).await;

    let one = cluster.create("one", server(HOST_PORT)).await;
    let pod = cluster.pods.until(&one, "the pod to run", runs).await.unwrap();
    let own = ip(&pod);
    assert!(own.starts_with("10.252.7."), "{own}");
    is_reached(&format!("{own}:8080")).await;
    is_reached(&format!("10.252.7.1:{HOST_PORT}")).await;

    // A restart connects nothing anew.
    cluster.crash().await;
    cluster.machine.network = Arc::new(network(&directory));
    let again = cluster.start_kubelet().await;
    let mut fetch = running(&format!("until wget -qO- http://{own}:8080; do sleep 0.1; done"));
    fetch["restartPolicy"] = json!("Never");
    let two = cluster.create("two", fetch).await;
    cluster.pods.until(&two, "the server to be reached", |pod| pod.is_some_and(|pod| phase(pod) == "Succeeded")).await;
    assert!(given(&directory).contains(&own));
    cluster.delete("two").await;
    cluster.delete("one").await;
    assert_eq!(given(&directory), [""; 0]);
    again.stop().await;
    cluster.stop().await;
    let _ = std::process::Command::new("ip").args(["link", "delete", BRIDGE]).status();
}

fn says_why(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
    let mut messages = conditions.into_iter().flatten().filter_map(|condition| condition.message.as_deref());
    messages.any(|message| message.contains("cni config uninitialized"))
}
