//! Clients that are not ours, the official ones for Python and JavaScript, while the API server and etcd are killed.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use e2e::{Cluster, Storage, enabled, root};

/// A client's script, and where `hack/test` installs the client.
struct Script {
    program: &'static str,
    file: &'static str,
    installed: &'static str,
    /// Tells the program where that is.
    variable: &'static str,
}

const SCRIPTS: [Script; 2] = [
    Script { program: "python3", file: "check.py", installed: "python-client", variable: "PYTHONPATH" },
    Script { program: "node", file: "check.mjs", installed: "javascript-client", variable: "CLIENT" },
];

impl Script {
    fn installed(&self) -> Result<PathBuf, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let path = target.join("tools").join(self.installed);
        if path.is_dir() { Ok(path) } else { Err(format!("there is no {}", path.display())) }
    }

    /// Runs it and kills what it asks for.
    fn run(&self, cluster: &Cluster, kills: &str) {
        let Some(installed) = test_needs::need(self.installed, self.installed()) else { return };
        let mut child = Command::new(self.program)
            .arg(root().join("tests/clients").join(self.file))
            .arg(kills)
            .env("KUBECONFIG", cluster.kubeconfig())
            .env(self.variable, installed)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = child.stdin.take().unwrap();
        let mut passed = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            passed = line == "passed";
            if let Some(daemon) = line.strip_prefix("kill ") {
                cluster.kill(daemon);
                writeln!(answers, "done").unwrap();
            }
        }
        assert!(child.wait().unwrap().success() && passed, "{}", self.file);
    }
}

#[test]
fn other_peoples_clients_go_on_over_the_embedded_store() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up(Storage::Embedded);
    SCRIPTS.iter().for_each(|script| script.run(&cluster, "kube-apiserver,kube-apiserver"));
}

#[test]
fn other_peoples_clients_go_on_over_etcd() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up(Storage::Etcd);
    SCRIPTS.iter().for_each(|script| script.run(&cluster, "kube-apiserver,etcd,kube-apiserver"));
}
