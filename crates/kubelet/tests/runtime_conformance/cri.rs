//! What only a runtime behind CRI does: networks through CNI, logs as files, and a daemon that comes and goes without its
//! containers.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kubelet::network::{HostPort, Protocol};
use kubelet::runtime::{EventKind, LogOptions, Runtime, SandboxConfig, SandboxState};

use super::containerd::Containerd;
use super::harness::{self, PATIENCE, container, words};

const FOREVER: &[&str] = &["sleep", "3600"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_have_addresses_and_ports_of_the_node() {
    let Some(harness) = harness::containerd().await else { return };
    harness::run(harness, |h| {
        async move {
            assert_eq!(h.runtime.info().await.unwrap().network_trouble, None);
            let host_port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
            let port = HostPort { host_ip: None, host_port, container_port: 8080, protocol: Protocol::Tcp };
            let first = SandboxConfig { host_ports: vec![port], ..h.sandbox.clone() };
            let sandbox = h.runtime.run_sandbox(&first).await.unwrap();
            let [ip] = sandbox.runtime_ips[..] else { panic!("{sandbox:?}") };
            let script = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www";
            let server = container("server", &["sh", "-c", script]);
            let server = h.runtime.create_container(&sandbox.id, &first, &server).await.unwrap();
            h.runtime.start_container(&server).await.unwrap();
            let second = SandboxConfig { attempt: 1, ..h.sandbox.clone() };
            let other = h.runtime.run_sandbox(&second).await.unwrap();
            assert_ne!(other.runtime_ips, sandbox.runtime_ips);
            let mut client = container("client", FOREVER);
            client.attempt = 1;
            let client = h.runtime.create_container(&other.id, &second, &client).await.unwrap();
            h.runtime.start_container(&client).await.unwrap();
            let fetch = format!("until wget -q -O - http://{ip}:8080/index.html; do sleep 0.1; done");
            let command = words(&["sh", "-c", &fetch]);
            let output = h.runtime.exec_sync(&client, &command, Duration::from_secs(30)).await.unwrap();
            assert_eq!(&output.stdout[..], b"hello\n");
            let node = ip.to_string().rsplit_once('.').map(|(net, _)| net.to_owned()).unwrap();
            assert!(node.starts_with("10.2"), "{node}");
            tokio::net::TcpStream::connect(("127.0.0.1", host_port)).await.unwrap();
            h.runtime.stop_sandbox(&sandbox.id).await.unwrap();
            tokio::net::TcpStream::connect(("127.0.0.1", host_port)).await.unwrap_err();
        }
        .boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_too_long_is_put_aside_while_it_is_followed() {
    let Some(daemon) = Containerd::start(harness::IMAGE, harness::busybox()).await else { return };
    let mut config = daemon.config();
    config.log_max_size = 100;
    config.log_max_files = 2;
    let runtime = std::sync::Arc::new(kubelet::runtime::cri::CriRuntime::new(config).unwrap());
    let harness = harness::on(runtime, daemon);
    harness::run(harness, |h| {
        async move {
            let sandbox = h.sandbox().await;
            let script = "n=0; while true; do echo line $n; n=$((n + 1)); sleep 0.05; done";
            let id = h.started(&sandbox, "main", &["sh", "-c", script]).await;
            let status = h.runtime.container_status(&id).await.unwrap();
            let log = status.log_path.unwrap();
            // What is known to run is rotated.
            h.runtime.list_pods().await.unwrap();
            let options = LogOptions { follow: true, ..LogOptions::default() };
            let mut lines = h.runtime.logs(&id, &options).await.unwrap();
            let directory = log.parent().unwrap().to_owned();
            let aside = || std::fs::read_dir(&directory).unwrap().count() > 1;
            let mut expected = 0;
            // What is followed goes over from one file to the next.
            let mut after = 0;
            while after < 5 {
                let chunk = lines.next().await.unwrap().unwrap();
                for line in std::str::from_utf8(&chunk.data).unwrap().lines() {
                    assert_eq!(line, format!("line {expected}"));
                    expected += 1;
                }
                after += u32::from(aside());
            }
            h.runtime.remove_container(&id).await.unwrap();
            assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        }
        .boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containerd_may_go_and_come_back_without_its_containers_noticing() {
    let Some(mut daemon) = Containerd::start(harness::IMAGE, harness::busybox()).await else { return };
    let runtime = daemon.runtime();
    let mut events = runtime.events();
    let mut until = async |wanted: EventKind| {
        let seen = async { while events.next().await.unwrap().kind != wanted {} };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("no {wanted:?} event"));
    };
    until(EventKind::Reconnected).await;
    let pod = kubelet::runtime::PodIdentity { uid: "late".into(), namespace: "ns".into(), name: "late".into() };
    let config = SandboxConfig { pod: pod.clone(), ..SandboxConfig::default() };
    let sandbox = runtime.run_sandbox(&config).await.unwrap();
    let id = runtime.create_container(&sandbox.id, &config, &container("main", FOREVER)).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    until(EventKind::Started).await;
    let before = runtime.pod(&pod.uid).await.unwrap();

    daemon.kill();
    let error = runtime.list_pods().await.unwrap_err();
    assert!(matches!(error, kubelet::runtime::RuntimeError::Unreachable(_)), "{error}");
    daemon.run();
    daemon.answers(&runtime).await;
    assert_eq!(runtime.list_pods().await.unwrap(), std::slice::from_ref(&before));
    assert_eq!(daemon.runtime().list_pods().await.unwrap(), [before]);
    let output = runtime.exec_sync(&id, &words(&["echo", "here"]), Duration::from_secs(30)).await.unwrap();
    assert_eq!(&output.stdout[..], b"here\n");
    // Nobody asks the runtime to end it: the kernel tells.
    let kubelet::runtime::ContainerState::Running { pid, .. } = runtime.container_status(&id).await.unwrap().state
    else {
        panic!("it runs")
    };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until(EventKind::Died).await;
    assert!(!runtime.container_status(&id).await.unwrap().state.is_running());
    runtime.remove_container(&id).await.unwrap();
    runtime.stop_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(runtime.pod(&pod.uid).await.unwrap().sandboxes[0].state, SandboxState::NotReady);
    runtime.remove_sandbox(&sandbox.id).await.unwrap();
}
