//! What is on the machine, to see that nothing is left.

use std::{collections::BTreeSet, process::Command};

/// Containers, links, rules, mounts and processes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    containers: BTreeSet<String>,
    links: BTreeSet<String>,
    rules: BTreeSet<String>,
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
}

/// The programs of a cluster.
pub(crate) const DAEMONS: &[&str] =
    &["kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet", "kube-proxy", "kube-dns"];

impl Machine {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        // The kernel cuts names to 15 bytes; what has ended but not been reaped is gone.
        let names: Vec<&str> = DAEMONS.iter().map(|daemon| &daemon[..daemon.len().min(15)]).collect();
        let daemons = format!("ps -eo stat=,comm= | grep -v ^Z | grep -owE '{}'", names.join("|"));
        Self {
            containers: lines("docker ps -aq --filter label=io.kubernetes.pod.uid"),
            links: lines("ip -o link | cut -d: -f2"),
            rules: lines("for t in nat filter mangle; do iptables-save -t $t; ip6tables-save -t $t; done | grep KUBE-"),
            mounts: lines("grep -E '/(kubelet|\\.local-cluster)/' /proc/mounts"),
            processes: lines(&daemons),
        }
    }

    /// Rules that speak of Kubernetes.
    #[must_use]
    pub fn rules(&self) -> &BTreeSet<String> {
        &self.rules
    }

    /// Containers of pods.
    #[must_use]
    pub fn containers(&self) -> &BTreeSet<String> {
        &self.containers
    }
}

fn lines(script: &str) -> BTreeSet<String> {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
