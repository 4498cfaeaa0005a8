//! The state in etcd: etcd stops for a while, and two API servers share it.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{Cluster, Storage, Traffic, enabled, get, root, wait_for};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn etcd_may_stop_for_a_while() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up(Storage::Etcd);
    let ctl = cluster.ctl();
    ctl.run("create deployment web --image=ferrokube/demo:v1 --replicas=2");
    ctl.run("rollout status deployment/web --timeout=60s");
    ctl.run("expose deployment web --port=80 --target-port=8080 --cluster-ip=10.96.0.80");
    wait_for("the service", SOON, || get("10.96.0.80:80").is_ok());
    let traffic = Traffic::start("10.96.0.80:80");
    cluster.stop("etcd");
    let started = std::time::Instant::now();
    wait_for("ten seconds without etcd", SOON, || {
        let write = ctl.try_run("create configmap while-away --from-literal=a=b");
        assert!(!write.status.success(), "a write cannot succeed without etcd");
        started.elapsed() > Duration::from_secs(10)
    });
    cluster.start("etcd");
    wait_for("a write", SOON, || ctl.try_run("create configmap back --from-literal=a=b").status.success());
    ctl.run("scale deployment/web --replicas=3");
    ctl.run("rollout status deployment/web --timeout=60s");
    let seen = traffic.stop();
    assert!(seen.failures.is_empty(), "{:?}", seen.failures);
    assert_eq!(ctl.run("get pods -l app=web -o name").lines().count(), 3);
}

#[test]
fn two_api_servers_share_one_etcd() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up(Storage::Etcd);
    let ctl = cluster.ctl();
    let pki = root().join(".local-cluster/pki");
    let file = |name: &str| pki.join(name).display().to_string();
    let mut second = Command::new(cluster.binary("kube-apiserver"))
        .args(["--etcd-servers", "http://127.0.0.1:2379", "--secure-port", "6444"])
        .args(["--service-cluster-ip-range", "10.96.0.0/16", "--advertise-address", &cluster.node_ip()])
        .args(["--tls-cert-file", &file("apiserver.crt"), "--tls-private-key-file", &file("apiserver.key")])
        .args(["--client-ca-file", &file("ca.crt")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let other = "--server https://127.0.0.1:6444";
    wait_for("the second API server", SOON, || ctl.try_run(&format!("{other} get nodes")).status.success());

    let mut watch = ctl.command(&format!("{other} get configmaps --watch -o name"));
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next().and_then(Result::ok);
    assert!(first.is_some(), "the watch begins with what is there");
    ctl.run("create configmap through-the-first --from-literal=a=b");
    assert!(ctl.run(&format!("{other} get configmaps -o name")).contains("through-the-first"), "a consistent list");
    let seen = lines.by_ref().map_while(Result::ok).find(|line| line.contains("through-the-first"));
    assert!(seen.is_some(), "a watch");

    for (server, name) in [("", "a"), (other, "b")] {
        ctl.run(&format!("{server} create service clusterip {name} --tcp=80"));
    }
    let taken = ctl.try_run(&format!("{other} create service clusterip c --tcp=80 --clusterip=10.96.0.10"));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("already allocated"));
    for process in [&mut watch, &mut second] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}
