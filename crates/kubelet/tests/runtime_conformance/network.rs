//! kubenet with real pods, on a bridge and in a network of its own.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use futures::FutureExt;
use kubelet::network::kubenet::{Kubenet, KubenetConfig};
use kubelet::network::{HostPort, PodNetwork, Protocol};
use kubelet::runtime::{ContainerId, Runtime, SandboxConfig, SandboxStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{self, Harness, container, words};

const BRIDGE: &str = "cbrtest0";
const HOST_PORT: u16 = 30_999;
const SERVER: &str = "mkdir -p /www; echo hello from $HOSTNAME > /www/index.html; exec httpd -f -p 8080 -h /www";

struct Pod {
    sandbox: SandboxStatus,
    container: ContainerId,
    ip: IpAddr,
}

async fn pod(h: &Harness, network: &dyn PodNetwork, attempt: u32, ports: &[HostPort]) -> Pod {
    let config = SandboxConfig { attempt, hostname: format!("pod{attempt}"), ..h.sandbox.clone() };
    let sandbox = h.runtime.run_sandbox(&config).await.unwrap();
    let ips = network.set_up(&config.pod, &sandbox, ports).await.unwrap();
    assert_eq!(network.set_up(&config.pod, &sandbox, ports).await.unwrap(), ips, "setting up again changes nothing");
    let server = container(&format!("server{attempt}"), &["sh", "-c", SERVER]);
    let container = h.runtime.create_container(&sandbox.id, &config, &server).await.unwrap();
    h.runtime.start_container(&container).await.unwrap();
    Pod { sandbox, container, ip: ips[0] }
}

async fn inside(runtime: &dyn Runtime, pod: &Pod, script: &str) -> String {
    let command = words(&["sh", "-c", script]);
    let output = runtime.exec_sync(&pod.container, &command, Duration::from_secs(20)).await.unwrap();
    assert_eq!(output.exit_code, 0, "{script}: {output:?}");
    String::from_utf8(output.stdout.to_vec()).unwrap()
}

/// Waits for the server: it may just be starting.
fn fetch(address: impl std::fmt::Display) -> String {
    format!("until wget -q -O - http://{address}/index.html; do sleep 0.1; done")
}

async fn fetch_from_node(address: (IpAddr, u16)) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn kubenet(state_dir: &std::path::Path) -> Kubenet {
    let config = KubenetConfig {
        bridge: BRIDGE.into(),
        state_dir: state_dir.into(),
        cluster_cidrs: vec!["10.250.0.0/16".parse().unwrap()],
        mtu: None,
    };
    Kubenet::new(config).unwrap()
}

async fn pods_reach_each_other(h: &Harness, network: &Kubenet, state_dir: &std::path::Path) {
    assert_eq!(network.ready().await.unwrap_err().to_string(), "the node has no pod CIDR yet");
    let cidr = ["10.250.0.0/24".parse().unwrap()];
    for _ in 0..2 {
        network.set_pod_cidrs(&cidr).await.unwrap();
        network.ready().await.unwrap();
    }
    let port = HostPort { host_ip: None, host_port: HOST_PORT, container_port: 8080, protocol: Protocol::Tcp };
    let (a, b) = (pod(h, network, 0, std::slice::from_ref(&port)).await, pod(h, network, 1, &[]).await);
    assert_eq!((a.ip.to_string().as_str(), b.ip.to_string().as_str()), ("10.250.0.2", "10.250.0.3"));

    let runtime = &*h.runtime;
    assert_eq!(inside(runtime, &b, &fetch(format!("{}:8080", a.ip))).await, "hello from pod0\n");
    assert_eq!(inside(runtime, &a, &fetch(format!("{}:8080", b.ip))).await, "hello from pod1\n");
    inside(runtime, &a, &format!("ping -c 1 -W 2 {}", b.ip)).await;
    let hairpin = fetch(format!("10.250.0.1:{HOST_PORT}"));
    assert_eq!(inside(runtime, &a, &hairpin).await, "hello from pod0\n", "a pod reaches itself through the node");
    assert_eq!(inside(runtime, &b, &hairpin).await, "hello from pod0\n");
    assert!(fetch_from_node((a.ip, 8080)).await.contains("hello from pod0"));
    assert!(fetch_from_node(("127.0.0.1".parse().unwrap(), HOST_PORT)).await.contains("hello from pod0"));

    let restarted = kubenet(state_dir);
    restarted.set_pod_cidrs(&cidr).await.unwrap();
    assert_eq!(restarted.pod_ips(&a.sandbox).await.unwrap(), [a.ip]);
    shell(&format!("ip link del veth{}", &a.sandbox.id.as_str()[..8]));
    assert!(restarted.pod_ips(&a.sandbox).await.unwrap().is_empty(), "an address that leads nowhere");
    assert_eq!(restarted.set_up(&h.sandbox.pod, &a.sandbox, &[port]).await.unwrap(), [a.ip]);
    assert_eq!(inside(runtime, &b, &fetch(format!("{}:8080", a.ip))).await, "hello from pod0\n");
    let c = pod(h, &restarted, 2, &[]).await;
    assert_eq!(c.ip.to_string(), "10.250.0.4");
    assert_eq!(inside(runtime, &b, &fetch(format!("{}:8080", c.ip))).await, "hello from pod2\n");
    let connected = restarted.connected().await;
    assert!([&a, &b, &c].iter().all(|pod| connected.contains(&pod.sandbox.id)), "{connected:?}");
    restarted.tear_down(&c.sandbox.id).await.unwrap();
    assert!(!restarted.connected().await.contains(&c.sandbox.id));
    assert!(restarted.pod_ips(&c.sandbox).await.unwrap().is_empty());

    for _ in 0..2 {
        restarted.tear_down(&a.sandbox.id).await.unwrap();
        assert!(!shell("iptables-save -t nat").contains("10.250.0.2"), "host ports go with the pod");
    }
    assert_eq!(inside(runtime, &b, "ping -c 1 -W 2 10.250.0.1 > /dev/null; echo up").await, "up\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_each_other_themselves_and_the_node() {
    let Some(harness) = harness::docker().await else { return };
    let rules_before = shell("iptables-save | grep -vE '^#|^:'");
    harness::run(harness, |h| {
        async move {
            let state_dir = tempfile::tempdir().unwrap();
            let network = kubenet(state_dir.path());
            let story = std::panic::AssertUnwindSafe(pods_reach_each_other(h, &network, state_dir.path()));
            let told = story.catch_unwind().await;
            kubenet(state_dir.path()).destroy().await.unwrap();
            if let Err(panic) = told {
                std::panic::resume_unwind(panic);
            }
            assert_eq!(std::fs::read_dir(state_dir.path()).unwrap().count(), 0);
        }
        .boxed()
    })
    .await;
    assert_eq!(shell(&format!("ip -o link | grep {BRIDGE}")), "");
    let rules = shell("iptables-save | grep -vE '^#|^:'");
    let ours = |rules: &str| rules.lines().filter(|rule| rule.contains(BRIDGE) || rule.contains("10.250.0.")).count();
    assert_eq!((ours(&rules_before), ours(&rules)), (0, 0), "{rules}");
}
