//! A deployment of web servers on several nodes, its service, and those who ask it.

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{Client, Cluster, root, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// The deployment `web`, and the service of this name, on port 80 and on [`Web::NODE_PORT`].
#[derive(Debug)]
pub struct Web<'a> {
    /// Where it is.
    pub cluster: &'a Cluster,
    ctl: Client,
}

impl<'a> Web<'a> {
    /// The port of every node.
    pub const NODE_PORT: u16 = 30080;

    /// Makes them, and waits until there are servers on every node. They end as servers should: first they are no
    /// endpoints any more, then they finish what they have.
    ///
    /// # Panics
    /// When they do not start.
    #[must_use]
    pub fn deploy(cluster: &'a Cluster, replicas: usize) -> Self {
        let web = Self { cluster, ctl: cluster.ctl() };
        web.apply(&format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {{replicas: {replicas}, \
             strategy: {{rollingUpdate: {{maxUnavailable: 0}}}}, selector: {{matchLabels: {{app: web}}}}, \
             template: {{metadata: {{labels: {{app: web}}}}, spec: {{topologySpreadConstraints: [{{maxSkew: 1, \
             topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: web}}}}}}], \
             containers: [{{name: demo, image: \"ferrokube/demo:v1\", \
             readinessProbe: {{periodSeconds: 1, httpGet: {{path: /ready, port: 8080}}}}}}]}}}}}}}}"
        ));
        web.apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{type: NodePort, selector: {{app: web}}, \
             ports: [{{port: 80, targetPort: 8080, nodePort: {}}}]}}}}",
            Self::NODE_PORT
        ));
        web.ctl.run("rollout status deployment/web --timeout=120s");
        web
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn apply(&self, manifest: &str) {
        let file = std::env::temp_dir().join(format!("ferrokube-web-{}.yaml", std::process::id()));
        std::fs::write(&file, manifest).unwrap();
        self.ctl.run(&format!("apply -f {}", file.display()));
        std::fs::remove_file(file).unwrap();
    }

    /// What `ctl get WHAT` says of each, at a path.
    ///
    /// # Panics
    /// When the server does not tell.
    #[must_use]
    pub fn column(&self, what: &str, path: &str) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.ctl.run(&format!("get {what} -o json"))).unwrap();
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()).collect()
    }

    /// The nodes that have servers.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<String> {
        self.column("pods -l app=web", "/spec/nodeName").into_iter().collect()
    }

    /// Whether the node is ready, in the server's words.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn readiness(&self, node: &str) -> String {
        let node: Value = serde_json::from_str(&self.ctl.run(&format!("get node {node} -o json"))).unwrap();
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        ready.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits until every server reaches every other, every node, and the service by address and by name, and who is on no node
    /// the ports of these nodes.
    ///
    /// # Panics
    /// When somebody is not reached soon.
    pub fn everybody_is_reached(&self, when: &str, nodes: &[u8]) {
        let names = self.column("pods -l app=web", "/metadata/name");
        let addresses = self.column("pods -l app=web", "/status/podIP");
        let service: Value = serde_json::from_str(&self.ctl.run("get service web -o json")).unwrap();
        let service = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
        let of_nodes = nodes.iter().map(|node| format!("172.30.99.{node}:{}", Self::NODE_PORT));
        let others: Vec<String> =
            of_nodes.chain([service, "web".to_owned(), "web.default.svc.cluster.local".to_owned()]).collect();
        for name in &names {
            let reaches = |address: &str, expected: &str| {
                let ask = format!("exec {name} -- timeout 5 wget -qO- http://{address}");
                let reached = || {
                    let answer = self.ctl.try_run(&ask);
                    answer.status.success() && String::from_utf8_lossy(&answer.stdout).contains(expected)
                };
                wait_for(&format!("{when}: {name} reaches {address} ({expected})"), SOON, reached);
            };
            for (other, address) in names.iter().zip(&addresses) {
                reaches(&format!("{address}:8080"), other);
            }
            others.iter().for_each(|address| reaches(address, "web-"));
        }
        wait_for(&format!("{when}: the ports of nodes {nodes:?}"), SOON, || self.answers_outside(nodes));
    }

    /// Whether the nodes' ports answer who is on no node, time after time.
    #[must_use]
    pub fn answers_outside(&self, nodes: &[u8]) -> bool {
        let ask = |node: &u8| {
            self.cluster.node(&format!("outside exec curl -sf -m 5 http://172.30.99.{node}:{}", Self::NODE_PORT))
        };
        nodes.iter().all(|node| (0..6).all(|_| ask(node).status.success()))
    }
}

/// Who asks without end: a pod on each of some nodes, and somebody who is on no node.
#[derive(Debug)]
pub struct Askers<'a> {
    web: &'a Web<'a>,
    pods: Vec<String>,
    outside: Child,
    stop: std::path::PathBuf,
}

/// Asks every address in turn, until there is a file; tells of failures and at the end how many times it asked.
fn script(ask: &str, addresses: &str, stop: &str) -> String {
    format!(
        "n=0; while [ ! -e {stop} ]; do for a in {addresses}; do {ask} http://$a >/dev/null || echo failed: $a after $n; \
         n=$((n+1)); done; done; echo asked $n"
    )
}

impl<'a> Askers<'a> {
    /// Starts them: pods on these nodes, and from outside the ports of those.
    ///
    /// # Panics
    /// When a pod does not start.
    #[must_use]
    pub fn start(web: &'a Web<'a>, on: &[&str], ports_of: &[u8]) -> Self {
        let pods: Vec<String> = on.iter().map(|node| format!("asker-{node}")).collect();
        let asking = script("timeout 3 wget -qO-", "web web.default.svc.cluster.local", "/tmp/stop");
        for (pod, node) in pods.iter().zip(on) {
            web.apply(&format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {pod}}}, spec: {{nodeName: {node}, containers: \
                 [{{name: demo, image: \"ferrokube/demo:v1\", command: [/bin/sh, -c, '{asking}; sleep 600']}}]}}}}"
            ));
            let is_running = || web.ctl.run(&format!("get pod {pod}")).contains("Running");
            wait_for(&format!("{pod} to run"), SOON, is_running);
        }
        let stop = std::env::temp_dir().join(format!("ferrokube-stop-{}", std::process::id()));
        let _ = std::fs::remove_file(&stop);
        let ports: Vec<String> = ports_of.iter().map(|node| format!("172.30.99.{node}:{}", Web::NODE_PORT)).collect();
        let asking = script("curl -sf -m 3", &ports.join(" "), &stop.display().to_string());
        let mut outside = Command::new(root().join("hack/node"));
        outside.args(["outside", "exec", "sh", "-c", &asking]).stdout(Stdio::piped());
        Self { web, pods, outside: outside.spawn().unwrap(), stop }
    }

    /// Ends them: what failed, a line each, and how often they asked.
    ///
    /// # Panics
    /// When they cannot be ended.
    #[must_use]
    pub fn stop(self) -> (Vec<String>, u32) {
        std::fs::write(&self.stop, "").unwrap();
        let output = self.outside.wait_with_output().unwrap();
        std::fs::remove_file(&self.stop).unwrap();
        let mut texts = vec![("outside".to_owned(), String::from_utf8_lossy(&output.stdout).into_owned())];
        for pod in self.pods {
            self.web.ctl.run(&format!("exec {pod} -- touch /tmp/stop"));
            let log = || self.web.ctl.run(&format!("logs {pod}"));
            wait_for("an asker to end", SOON, || log().contains("asked"));
            texts.push((pod.clone(), log()));
            self.web.ctl.run(&format!("delete pod {pod} --grace-period=0 --force"));
        }
        let lines = texts.iter().flat_map(|(who, text)| text.lines().map(move |line| (who, line)));
        let failures = lines.clone().filter(|(_, line)| line.starts_with("failed"));
        let asked = lines.filter_map(|(_, line)| line.strip_prefix("asked ")?.parse::<u32>().ok());
        (failures.map(|(who, line)| format!("{who} {line}")).collect(), asked.sum())
    }
}
