//! A cluster on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use crate::Client;

/// Where the state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In the API server.
    Embedded,
    /// In an etcd server.
    Etcd,
}

/// Brought up by [`Cluster::up`], taken down when dropped.
#[derive(Debug)]
pub struct Cluster {
    /// How long `hack/local-up` took.
    pub start_time: Duration,
}

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

impl Cluster {
    /// Runs `hack/local-up`.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn up(storage: Storage) -> Self {
        Self::up_with(if storage == Storage::Etcd { &["--etcd"] } else { &[] })
    }

    /// Runs `hack/local-up` with these flags.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn up_with(flags: &[&str]) -> Self {
        Self::down();
        let start = Instant::now();
        let output = Command::new(root().join("hack/local-up")).args(flags).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "hack/local-up: {text}\n{}", logs());
        Self { start_time: start.elapsed() }
    }

    /// Runs `hack/local-down`.
    ///
    /// # Panics
    /// When it fails.
    pub fn down() {
        let output = Command::new(root().join("hack/local-down")).output().unwrap();
        assert!(output.status.success(), "hack/local-down: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        root().join(".local-cluster/kubeconfig")
    }

    /// `ctl`, as the administrator.
    #[must_use]
    pub fn ctl(&self) -> Client {
        Client::new(self.binary("ctl"), &self.kubeconfig())
    }

    /// Stock kubectls, oldest first.
    #[must_use]
    pub fn kubectls(&self) -> Vec<Client> {
        crate::client::kubectls().into_iter().map(|path| Client::new(path, &self.kubeconfig())).collect()
    }

    /// The path of one of our binaries.
    #[must_use]
    pub fn binary(&self, name: &str) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let profile = std::env::var("FERROKUBE_PROFILE").unwrap_or_else(|_| "release".to_owned());
        target.join(if profile == "dev" { "debug" } else { &profile }).join(name)
    }

    /// A daemon's process id.
    #[must_use]
    pub fn pid(&self, daemon: &str) -> String {
        let file = fs::read_to_string(root().join(".local-cluster/pids").join(daemon)).unwrap();
        file.split_whitespace().next().unwrap().to_owned()
    }

    /// Sends a signal to a daemon.
    pub fn signal(&self, daemon: &str, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid(daemon)]).status().unwrap();
        assert!(status.success(), "kill {signal} {daemon}");
    }

    /// Kills a daemon, and waits until it was started again.
    pub fn kill(&self, daemon: &str) {
        let before = self.pid(daemon);
        self.signal(daemon, "-KILL");
        crate::wait_for("the daemon's next start", Duration::from_secs(30), || self.pid(daemon) != before);
    }

    /// Ends a daemon until it is started.
    pub fn stop(&self, daemon: &str) {
        self.script(&format!("stop {daemon}"));
    }

    /// Starts a daemon that was ended.
    pub fn start(&self, daemon: &str) {
        self.script(&format!("start_daemon {daemon}"));
    }

    fn script(&self, command: &str) {
        let script = format!("cd {:?} && . hack/lib/env.sh && . hack/lib/daemons.sh && {command}", root());
        let status = Command::new("bash").args(["-euc", &script]).status().unwrap();
        assert!(status.success(), "{command}");
    }

    /// Runs `hack/node`.
    #[must_use]
    pub fn node(&self, arguments: &str) -> Output {
        Command::new(root().join("hack/node")).args(arguments.split(' ')).output().unwrap()
    }

    /// The node's address.
    #[must_use]
    pub fn node_ip(&self) -> String {
        fs::read_to_string(root().join(".local-cluster/node-ip")).unwrap().trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", logs());
        }
        let _ = Command::new(root().join("hack/local-down")).output();
    }
}

/// The end of every daemon's log, for a test that failed.
fn logs() -> String {
    let mut text = String::new();
    let Ok(entries) = fs::read_dir(root().join(".local-cluster/logs")) else { return text };
    for entry in entries.flatten() {
        let log = fs::read_to_string(entry.path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(25)..];
        text.push_str(&format!("--- {}\n{}\n", entry.path().display(), tail.join("\n")));
    }
    text
}
