//! A kubelet alone turns an empty machine into a cluster, out of manifests, and keeps it one.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use e2e::{Client, Cluster, Machine, enabled, get, root, wait_for};

const SOON: Duration = Duration::from_secs(60);
const CONTROL_PLANE: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const ADDRESS: &str = "10.96.0.80:80";

#[test]
fn a_kubelet_alone_makes_a_cluster() {
    if !enabled() {
        return;
    }
    Cluster::down();
    let before = Machine::look();
    let cluster = Cluster::up_with(&["--static-pods"]);
    println!("hack/local-up --static-pods took {:?}", cluster.start_time);
    let ctl = cluster.ctl();
    assert_eq!(processes(), BTreeSet::from(["kubelet".to_owned()]), "the rest are pods");
    wait_for("mirrors of all static pods", SOON, || {
        CONTROL_PLANE.iter().chain(&["kube-proxy"]).all(|pod| shown(&ctl, pod))
    });
    if let Some(client) = cluster.kubectls().last() {
        let healthy = client.run("get componentstatus --no-headers");
        assert_eq!(healthy.matches("Healthy").count(), 3, "{healthy}");
    }
    ctl.run("create deployment web --image=ferrokube/demo:v1 --replicas=2");
    ctl.run("expose deployment web --port=80 --target-port=8080 --cluster-ip=10.96.0.80");
    works(&ctl, "at first");

    killed_containers_come_back(&ctl);
    a_killed_kubelet_disturbs_nothing(&cluster, &ctl);
    an_api_server_comes_back_without_one(&cluster, &ctl);

    drop(cluster);
    assert_eq!(Machine::look(), before, "hack/local-down leaves nothing");
}

/// What runs on the machine by itself; Docker may have run before.
fn processes() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(".local-cluster/pids")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".supervisor") && name != "docker").collect()
}

/// Whether a static pod's mirror runs and is ready.
fn shown(ctl: &Client, pod: &str) -> bool {
    let output = ctl.try_run("get pods -n kube-system --no-headers");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().any(|line| line.starts_with(&format!("{pod}-")) && line.contains("1/1") && line.contains("Running"))
}

/// The container of a static pod, if it runs.
fn container(name: &str) -> Option<String> {
    let filters =
        [format!("label=io.kubernetes.container.name={name}"), "label=io.kubernetes.pod.namespace=kube-system".into()];
    let mut docker = Command::new("docker");
    docker.args(["ps", "-q", "--no-trunc"]).args(filters.iter().flat_map(|filter| ["--filter", filter]));
    let output = docker.output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// Everything that a new pod needs does its part: it is made, scheduled, run, and reached at the service's address.
fn works(ctl: &Client, when: &str) {
    wait_for(&format!("the API {when}"), SOON, || ctl.try_run("get nodes").status.success());
    ctl.run("rollout restart deployment/web");
    ctl.run("rollout status deployment/web --timeout=90s");
    wait_for(&format!("the service {when}"), SOON, || get(ADDRESS).is_ok());
}

fn killed_containers_come_back(ctl: &Client) {
    let all = || CONTROL_PLANE.iter().chain(&["kube-proxy"]).map(|name| container(name));
    let killed: Vec<String> = all().map(Option::unwrap).collect();
    for id in &killed {
        let output = Command::new("docker").args(["inspect", "-f", "{{.State.Pid}}", id]).output().unwrap();
        let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }
    wait_for("other containers", SOON, || all().zip(&killed).all(|(new, old)| new.is_some_and(|new| new != *old)));
    works(ctl, "after its containers were killed");
}

fn a_killed_kubelet_disturbs_nothing(cluster: &Cluster, ctl: &Client) {
    let before = CONTROL_PLANE.map(container);
    cluster.kill("kubelet");
    works(ctl, "after the kubelet was killed");
    assert_eq!(CONTROL_PLANE.map(container), before, "the same containers");
}

/// Without its manifest the API server goes. A kubelet that starts then finds none, keeps what runs, and starts an API server when
/// there is a manifest again.
fn an_api_server_comes_back_without_one(cluster: &Cluster, ctl: &Client) {
    let (manifest, aside) = (".local-cluster/manifests/kube-apiserver.yaml", ".local-cluster/kube-apiserver.yaml");
    let rename = |from: &str, to: &str| fs::rename(root().join(from), root().join(to)).unwrap();
    // The others end when they can no longer say that they lead.
    let proxy = container("kube-proxy");
    rename(manifest, aside);
    wait_for("the API server to end", SOON, || container("kube-apiserver").is_none());
    cluster.kill("kubelet");
    assert!(!ctl.try_run("get nodes").status.success(), "there is no API server");
    rename(aside, manifest);
    works(ctl, "after it was away");
    wait_for("the API server's mirror", SOON, || shown(ctl, "kube-apiserver"));
    assert_eq!(container("kube-proxy"), proxy, "the same container");
}
