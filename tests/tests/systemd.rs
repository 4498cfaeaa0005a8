//! The units of deploy/systemd: sound as systemd reads them, and at work under one that watches over them.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use e2e::{enabled, root, wait_for};

const SOON: Duration = Duration::from_secs(60);
const UNITS: [&str; 9] = [
    "etcd",
    "kube-apiserver",
    "kube-addons",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kube-dns",
    "flanneld",
];
/// What systemd starts again.
const DAEMONS: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kube-dns"];

/// An executable that does nothing.
fn stand_in(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn units_are_sound() {
    let analyze = Command::new("systemd-analyze").arg("--version").output();
    if test_needs::need("systemd-analyze", analyze).is_none() {
        return;
    }
    let machine = tempfile::tempdir().unwrap();
    let binaries = machine.path().join("binaries");
    for program in DAEMONS.iter().chain(&["flanneld", "ctl"]) {
        stand_in(&binaries.join(program));
    }
    stand_in(&machine.path().join("usr/bin/etcd"));
    // What units order themselves after is systemd's own.
    fs::create_dir_all(machine.path().join("lib/systemd")).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-r", "/lib/systemd/system"]).arg(machine.path().join("lib/systemd"));
    assert!(copy.status().unwrap().success());
    let mut install = Command::new(root().join("deploy/systemd/install"));
    install.arg("--root").arg(machine.path()).arg("--bin").arg(&binaries).arg("--etcd").args(UNITS);
    succeeds(&install.output().unwrap());
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(format!("--root={}", machine.path().display()));
    let units = UNITS.map(|unit| machine.path().join(format!("etc/systemd/system/{unit}.service")));
    succeeds(&verify.args(units).output().unwrap());
}

fn succeeds(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A machine with systemd, ended when dropped.
struct Machine;

impl Machine {
    fn up() -> Self {
        for action in ["down", "up"] {
            succeeds(&Command::new(root().join("hack/systemd-machine")).arg(action).output().unwrap());
        }
        Self
    }

    fn try_run(&self, script: &str) -> Output {
        let mut command = Command::new(root().join("hack/systemd-machine"));
        command.current_dir(root()).args(["exec", "bash", "-euc", script]);
        command.env("KUBECONFIG", "/etc/kubernetes/pki/admin.kubeconfig").output().unwrap()
    }

    fn run(&self, script: &str) -> String {
        succeeds(&self.try_run(script))
    }

    fn works(&self, script: &str) -> bool {
        self.try_run(script).status.success()
    }

    /// The process of a daemon that is at work.
    fn pid(&self, daemon: &str) -> Option<String> {
        let state = self.run(&format!("systemctl show -p ActiveState,MainPID --value {daemon}"));
        let (pid, active) = (state.lines().find(|line| line.parse::<u32>().is_ok())?, state.contains("active\n"));
        (active && pid != "0" && !state.contains("activating")).then(|| pid.to_owned())
    }

    fn comes_back(&self, daemon: &str, before: &str) {
        wait_for(&format!("another {daemon}"), SOON, || self.pid(daemon).is_some_and(|pid| pid != before));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.try_run("journalctl --no-pager -n 200 -u 'kube*'");
            eprintln!("{}", String::from_utf8_lossy(&log.stdout));
        }
        let _ = Command::new(root().join("hack/systemd-machine")).arg("down").output();
    }
}

#[test]
fn systemd_runs_a_cluster() {
    if !enabled() {
        return;
    }
    let machine = Machine::up();
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let profile = std::env::var("FERROKUBE_PROFILE").unwrap_or_else(|_| "release".to_owned());
    let folder = if profile == "dev" { "debug" } else { &profile };
    machine.run(&format!("deploy/systemd/install --bin {target}/{folder}"));
    machine.run("hack/demo-image/build");
    machine.run("ctl run web --image=ferrokube/demo:v1; ctl expose pod web --port=80 --target-port=8080 --cluster-ip=10.96.0.80");
    let serves = "docker run --rm --network host ferrokube/demo:v1 nslookup web.default.svc.cluster.local 10.96.0.10 &&
        curl -sf -m 2 http://10.96.0.80";
    wait_for("a service, by name and address", SOON, || machine.works(serves));

    for daemon in DAEMONS {
        let before = machine.pid(daemon).unwrap();
        machine.run(&format!("kill -9 {before}"));
        machine.comes_back(daemon, &before);
    }
    one_that_hangs_is_started_again(&machine);
    wait_for("the API", SOON, || machine.works("ctl get nodes"));
    machine.run("ctl run late --image=ferrokube/demo:v1");
    wait_for("another pod", SOON, || machine.run("ctl get pod late").contains("Running"));

    machine.run(&format!("systemctl stop {}", DAEMONS.join(" ")));
    for daemon in DAEMONS {
        let result = machine.run(&format!("systemctl show -p Result,ActiveState {daemon}"));
        assert!(result.contains("Result=success") && result.contains("ActiveState=inactive"), "{daemon}: {result}");
    }
    assert!(machine.run("docker ps").contains("k8s_"), "pods outlive the kubelet");
}

/// A process that is stopped says nothing, and systemd does not wait for it.
fn one_that_hangs_is_started_again(machine: &Machine) {
    let overrides = "/run/systemd/system/kube-scheduler.service.d";
    machine.run(&format!(
        "mkdir -p {overrides}; printf '[Service]\\nWatchdogSec=2\\nTimeoutAbortSec=1\\n' >{overrides}/soon.conf
        systemctl daemon-reload; systemctl restart kube-scheduler"
    ));
    let before = machine.pid("kube-scheduler").unwrap();
    machine.run(&format!("kill -STOP {before}"));
    machine.comes_back("kube-scheduler", &before);
    let log = machine.run("journalctl --no-pager -u kube-scheduler");
    assert!(log.contains("Watchdog timeout"), "{log}");
}
