//! Every daemon is killed in turn; the workload does not notice, and the cluster recovers.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, process::Command, time::Duration};

use e2e::{Cluster, Storage, Traffic, enabled, get, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// As long as twenty pods take on two busy cores.
const MANY: Duration = Duration::from_secs(180);
const DAEMONS: &[&str] =
    &["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kube-dns"];

fn containers() -> BTreeSet<String> {
    let output = Command::new("docker")
        .args(["ps", "-q", "--no-trunc", "--filter", "label=io.kubernetes.pod.uid"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn no_daemon_is_indispensable() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up(Storage::Embedded);
    let ctl = cluster.ctl();
    ctl.run("create deployment web --image=ferrokube/demo:v1 --replicas=2");
    ctl.run("rollout status deployment/web --timeout=60s");
    ctl.run("expose deployment web --port=80 --target-port=8080 --cluster-ip=10.96.0.80");
    let address = "10.96.0.80:80";
    wait_for("the service", SOON, || get(address).is_ok());
    for daemon in DAEMONS {
        let before = containers();
        let traffic = Traffic::start(address);
        cluster.kill(daemon);
        wait_for("the API", SOON, || ctl.try_run("get nodes").status.success());
        // The cluster works again when a new pod runs, a rule is written and a name resolves.
        ctl.run(&format!("create deployment after-{daemon} --image=ferrokube/demo:v1"));
        ctl.run(&format!("rollout status deployment/after-{daemon} --timeout=60s"));
        ctl.run(&format!("expose deployment after-{daemon} --port=80 --target-port=8080 --cluster-ip=10.96.0.81"));
        wait_for("the new service", SOON, || get("10.96.0.81:80").is_ok());
        ctl.run(&format!("delete service,deployment after-{daemon}"));
        let seen = traffic.stop();
        assert!(seen.failures.is_empty(), "while {daemon} was down: {:?}", seen.failures);
        assert!(containers().is_superset(&before), "{daemon}: a container was restarted");
        wait_for("the new pod to go", SOON, || containers() == before);
    }
}

#[test]
fn killing_the_kubelet_ends_no_container() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up(Storage::Embedded);
    let ctl = cluster.ctl();
    ctl.run("create deployment many --image=ferrokube/demo:v1 --replicas=20");
    ctl.run(&format!("rollout status deployment/many --timeout={}s", MANY.as_secs()));
    let before = containers();
    for kill in 1..=12 {
        cluster.kill("kubelet");
        // When another pod has come and gone, the kubelet has long looked for what nobody owns.
        ctl.run("create deployment one-more --image=ferrokube/demo:v1");
        ctl.run("rollout status deployment/one-more --timeout=60s");
        assert!(containers().is_superset(&before), "kill {kill}: a container was ended");
        ctl.run("delete deployment one-more");
        wait_for("the other pod to go", MANY, || containers() == before);
    }
}
