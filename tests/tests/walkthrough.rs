//! The tour of the README, with each stock kubectl and with ctl.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

use e2e::{Client, Cluster, Machine, Storage, Traffic, enabled, get, strangers, wait_for};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_workload_with_every_client() {
    if !enabled() {
        return;
    }
    Cluster::down();
    let before = Machine::look();
    let cluster = Cluster::up(Storage::Embedded);
    println!("hack/local-up took {:?}", cluster.start_time);
    strangers_get_nothing(&cluster);
    let idle = Machine::look();
    let kubectls = cluster.kubectls();
    // Without one, ctl alone takes the tour.
    let _ = test_needs::need("a kubectl", kubectls.first().ok_or("there is none on the path"));
    if let Some(newest) = kubectls.last() {
        who_may(newest);
    }
    for client in kubectls.first().into_iter().chain(kubectls.last()).cloned().chain([cluster.ctl()]) {
        workload(&cluster, &client);
        wait_for("every container of a pod to go", SOON, || Machine::look().containers() == idle.containers());
        wait_for("every rule of the service to go", SOON, || Machine::look().rules() == idle.rules());
    }
    drop(cluster);
    assert_eq!(Machine::look(), before, "hack/local-down leaves nothing");
    Cluster::down();
}

/// Only health is anybody's, where upstream opens it, and the API server's version; what is reached from this machine only
/// may show metrics and its configuration, too, where upstream's does.
fn strangers_get_nothing(cluster: &Cluster) {
    const HEALTH: &[&str] = &["/healthz", "/livez", "/readyz", "/ready"];
    const METRICS: &[&str] = &["/configz", "/metrics", "/proxyMode"];
    const PLAIN: &[&str] = &["kube-proxy", "kube-dns"];
    let ports = strangers::ports(cluster);
    let daemons: BTreeSet<&str> = ports.iter().map(|port| port.daemon.as_str()).collect();
    assert_eq!(daemons.len(), 6, "every daemon has a port: {daemons:?}");
    let schemes =
        |port| ["http", "https"].into_iter().filter(move |scheme| strangers::ask(scheme, port, "/").is_some());
    for (port, scheme) in ports.iter().flat_map(|port| schemes(port).map(move |scheme| (port, scheme))) {
        for path in strangers::PATHS {
            let metrics = port.local && PLAIN.contains(&port.daemon.as_str()) && METRICS.contains(path);
            let health = HEALTH.contains(path) || (port.daemon == "kube-apiserver" && *path == "/version");
            let code = strangers::ask(scheme, port, path);
            let refused = matches!(code, None | Some(400..=499));
            assert!(refused || health || metrics, "{port} answers {path} over {scheme} with {code:?}");
        }
    }
}

/// What the server says of the administrator, and of somebody as whom the administrator acts.
fn who_may(client: &Client) {
    assert_eq!(client.run("auth can-i create pods").trim(), "yes");
    assert!(client.run("auth can-i --list").contains("*.*"));
    let whoami = client.run("auth whoami");
    assert!(whoami.contains("kubernetes-admin") && whoami.contains("system:masters"), "{whoami}");
    let other = client.run("auth whoami --as=ann --as-group=ops");
    assert!(other.contains("ann") && other.contains("ops") && !other.contains("kubernetes-admin"), "{other}");
}

fn workload(cluster: &Cluster, client: &Client) {
    println!("with {}", client.name());
    client.run("create deployment web --image=ferrokube/demo:v1");
    client.run("rollout status deployment/web --timeout=60s");
    client.run("expose deployment web --port=80 --target-port=8080");
    client.run("expose deployment web --name=web-node --type=NodePort --port=80 --target-port=8080");
    let cluster_ip = format!("{}:80", field(client, "service/web", "clusterIP"));
    let node_port = format!("{}:{}", cluster.node_ip(), field(client, "service/web-node", "nodePort"));
    for address in [&cluster_ip, &node_port] {
        wait_for(address, SOON, || get(address).is_ok());
        assert!(get(address).unwrap().contains("v1"));
    }
    scale(client, &cluster_ip);
    roll(client, &cluster_ip);
    look_inside(client);
    if client.name() != "ctl" {
        reach(client);
    }
    client.run("delete service web web-node");
    client.run("delete deployment web");
}

fn scale(client: &Client, address: &str) {
    client.run("scale deployment/web --replicas=4");
    client.run("rollout status deployment/web --timeout=60s");
    let mut names = BTreeSet::new();
    wait_for("four pods to answer", SOON, || {
        names.extend(get(address).ok());
        names.len() == 4
    });
}

fn roll(client: &Client, address: &str) {
    let traffic = Traffic::start(address);
    client.run("set image deployment/web demo=ferrokube/demo:v2");
    client.run("rollout status deployment/web --timeout=120s");
    wait_for("version 2 to answer", SOON, || get(address).is_ok_and(|answer| answer.contains("v2")));
    client.run("rollout undo deployment/web");
    client.run("rollout status deployment/web --timeout=120s");
    wait_for("version 1 to answer", SOON, || get(address).is_ok_and(|answer| answer.contains("v1")));
    let seen = traffic.stop();
    assert!(
        seen.failures.is_empty(),
        "{} of {} requests failed: {:?}",
        seen.failures.len(),
        seen.answered,
        seen.failures
    );
    let history = client.run("rollout history deployment/web");
    assert!(history.contains("REVISION") && history.contains('3'), "{history}");
}

fn look_inside(client: &Client) {
    let pods = || client.run("get pods -l app=web -o name");
    wait_for("the old version's pods to go", SOON, || pods().lines().count() == 4);
    let pods = pods();
    let pod = pods.lines().next().unwrap();
    assert!(client.run("get pods -o wide").contains("Running"));
    wait_for("a log", SOON, || !client.run(&format!("logs {pod} --tail=5")).is_empty());
    assert!(client.run(&format!("describe {pod}")).contains("Scheduled"));
    let inside = client.run(&format!("exec {pod} -- wget -qO- http://web.default.svc.cluster.local"));
    assert!(inside.contains("v1"), "{inside}");
    let failed = client.try_run(&format!("exec {pod} -- false"));
    assert!(!failed.status.success());
    assert!(in_shell(client, pod, "echo from-inside-$((6*7))").contains("from-inside-42"));
    as_service_account(client, pod);
}

/// What a script says that a shell in a pod runs.
fn in_shell(client: &Client, pod: &str, script: &str) -> String {
    let mut shell = client.command(&format!("exec -i {pod} -- sh"));
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(format!("{script}\nexit\n").as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Without having asked for anything a pod has what a client in it needs, and the server knows whose pod asks.
fn as_service_account(client: &Client, pod: &str) {
    let script = "cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace ca.crt; echo
        curl -s --cacert ca.crt -H \"Authorization: Bearer $(cat token)\" https://kubernetes.default.svc/api";
    let said = in_shell(client, pod, script);
    for words in ["default", "BEGIN CERTIFICATE", "APIVersions"] {
        assert!(said.contains(words), "{said}");
    }
}

/// Pods through the API server: ports, what they serve, their main process, their files. Old clients do this over SPDY, new
/// ones over WebSockets.
fn reach(client: &Client) {
    let pods = client.run("get pods -l app=web -o name");
    let pod = pods.lines().next().unwrap().trim_start_matches("pod/");
    forward(client, pod);
    for path in ["services/web:80", "services/http:web:80", &format!("pods/{pod}:8080")] {
        let page = client.run(&format!("get --raw /api/v1/namespaces/default/{path}/proxy/"));
        assert!(page.contains("v1"), "{path}: {page}");
    }
    let nodes = client.run("get nodes -o name");
    let node = nodes.trim().trim_start_matches("node/");
    assert_eq!(client.run(&format!("get --raw /api/v1/nodes/{node}/proxy/healthz")), "ok");
    assert!(client.run(&format!("get --raw /api/v1/nodes/{node}/proxy/stats/summary")).contains(pod));
    // By the path of old, too; it is compressed.
    let profile = format!("get --raw /api/v1/proxy/nodes/{node}:10250/debug/pprof/profile?seconds=1");
    assert!(client.run(&profile).starts_with('\u{1f}'));
    attach(client);
    copy(client, pod);
}

/// Forwards a port for two connections.
fn forward(client: &Client, pod: &str) {
    let mut forward = client.command(&format!("port-forward {pod} :8080"));
    let mut forward = forward.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(forward.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let address = said.split_whitespace().nth(2).unwrap_or_else(|| panic!("{said}")).to_owned();
    let answers = [get(&address), get(&address)];
    forward.kill().unwrap();
    forward.wait().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.contains("v1"))), "{answers:?}");
}

/// Talks with the main process of a pod that is made for it.
fn attach(client: &Client) {
    let run = "run talk --rm -i --restart=Never --image=ferrokube/demo:v1 --image-pull-policy=Never --command -- cat";
    let mut talk = client.command(run);
    let mut talk = talk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    talk.stdin.take().unwrap().write_all(b"heard\n").unwrap();
    let output = talk.wait_with_output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("heard"), "{output:?}");
}

/// Copies a file there and back.
fn copy(client: &Client, pod: &str) {
    let here = std::env::temp_dir().join(format!("ferrokube-copy-{}", std::process::id()));
    let back = here.with_extension("back");
    std::fs::write(&here, "there and back\n".repeat(10_000)).unwrap();
    client.run(&format!("cp {} {pod}:/tmp/copy", here.display()));
    client.run(&format!("cp {pod}:/tmp/copy {}", back.display()));
    let same = std::fs::read(&here).unwrap() == std::fs::read(&back).unwrap();
    std::fs::remove_file(here).unwrap();
    std::fs::remove_file(back).unwrap();
    assert!(same);
}

/// The value of a field of an object, from its JSON.
fn field(client: &Client, object: &str, name: &str) -> String {
    let json = client.run(&format!("get {object} -o json"));
    let after = json.split_once(&format!("{name:?}: ")).unwrap_or_else(|| panic!("{object} has no {name}: {json}")).1;
    after.split([',', '\n']).next().unwrap().trim().trim_matches('"').to_owned()
}
