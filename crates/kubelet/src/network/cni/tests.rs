//! Plugins that are shell scripts, which note what they were told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::runtime::SandboxState;

/// A node with plugins, and a process that stands for a sandbox.
struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// With these plugins: a name, and a script. `$CNI_COMMAND` and the rest are noted first, then what is read.
    fn with(plugins: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["conf", "bin"] {
            fs::create_dir(directory.path().join(folder)).unwrap();
        }
        let node = Self { directory };
        for (name, script) in plugins {
            let log = node.path("log");
            let note = format!(
                "echo \"{name} $CNI_COMMAND $CNI_CONTAINERID ${{CNI_NETNS:+in}} $CNI_IFNAME\" >>{0}; cat >>{0}; echo >>{0}",
                log.display()
            );
            node.install(name, &format!("{note}\n{script}"));
        }
        node
    }

    fn install(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, plugins: &Value) {
        let list = json!({"name": "net", "cniVersion": "1.0.0", "plugins": plugins});
        fs::write(self.path("conf/10-net.conflist"), list.to_string()).unwrap();
    }

    fn network(&self) -> Cni {
        let config =
            CniConfig { configurations: self.path("conf"), plugins: vec![self.path("bin")], state: self.path("state") };
        Cni::new(config).unwrap()
    }

    /// What plugins noted since the last time: what they were asked, and what they read.
    fn noted(&self) -> Vec<(String, Value)> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        let lines: Vec<&str> = log.lines().collect();
        let pairs = lines.chunks(2).map(|pair| (pair[0].to_owned(), serde_json::from_str(pair[1]).unwrap()));
        pairs.collect()
    }
}

fn sandbox(pid: u32) -> SandboxStatus {
    SandboxStatus {
        id: "box".into(),
        attempt: 0,
        state: SandboxState::Ready,
        created_at: jiff::Timestamp::now(),
        pid: Some(pid),
        host_network: false,
        runtime_ips: Vec::new(),
        labels: Default::default(),
        annotations: Default::default(),
    }
}

fn pod() -> PodIdentity {
    PodIdentity { uid: "u".into(), namespace: "ns".into(), name: "web".into() }
}

const GIVES: &str = r#"echo '{"cniVersion":"1.0.0","ips":[{"address":"10.7.0.2/24"},{"address":"fd00::2/64"}]}'"#;
/// Answers as it was told that the plugin before did.
const PASSES: &str = r#"[ $CNI_COMMAND = DEL ] || echo '{"ips":[{"address":"10.7.0.2/24"}],"dns":{}}'"#;

fn own_pid() -> u32 {
    std::process::id()
}

#[tokio::test]
async fn plugins_are_asked_in_turn_and_back() {
    let node = Node::with(&[("first", GIVES), ("second", PASSES)]);
    let network = node.network();
    assert_eq!(network.ready().await.unwrap_err().to_string(), UNCONFIGURED);
    node.configure(&json!([{"type": "first"}, {"type": "second", "capabilities": {"portMappings": true}}]));
    network.ready().await.unwrap();

    let port = HostPort { host_ip: None, host_port: 80, container_port: 8080, protocol: crate::network::Protocol::Tcp };
    let sandbox = sandbox(own_pid());
    let given = network.set_up(&pod(), &sandbox, &[port]).await.unwrap();
    assert_eq!(given, ["10.7.0.2".parse::<IpAddr>().unwrap()]);
    let noted = node.noted();
    let asked: Vec<&str> = noted.iter().map(|(asked, _)| asked.as_str()).collect();
    assert_eq!(asked, ["first ADD box in eth0", "second ADD box in eth0"]);
    let (first, second) = (&noted[0].1, &noted[1].1);
    assert_eq!(first, &json!({"type": "first", "name": "net", "cniVersion": "1.0.0"}));
    assert_eq!(second["prevResult"]["ips"][1]["address"], "fd00::2/64");
    let mapping = json!([{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]);
    assert_eq!(second["runtimeConfig"]["portMappings"], mapping);

    // Neither another call nor a restart asks again, and what is taken back is what was given.
    assert_eq!(network.set_up(&pod(), &sandbox, &[]).await.unwrap(), given);
    node.configure(&json!([{"type": "other"}]));
    let again = node.network();
    assert_eq!(again.pod_ips(&sandbox).await.unwrap(), given);
    assert_eq!(again.connected().await, [SandboxId::from("box")]);
    assert!(node.noted().is_empty());
    again.tear_down(&sandbox.id).await.unwrap();
    again.tear_down(&sandbox.id).await.unwrap();
    let noted = node.noted();
    let asked: Vec<&str> = noted.iter().map(|(asked, _)| asked.as_str()).collect();
    assert_eq!(asked, ["second DEL box in eth0", "first DEL box in eth0"]);
    assert_eq!(noted[1].1["prevResult"], json!({"ips": [{"address": "10.7.0.2/24"}], "dns": {}}));
    assert!(again.connected().await.is_empty());
}

#[tokio::test]
async fn what_fails_is_taken_back_before_it_is_tried_again() {
    let fails =
        r#"[ $CNI_COMMAND = DEL ] && exit; echo '{"code":100,"msg":"no room","details":"in 10.0.0.0/8"}'; exit 1"#;
    let node = Node::with(&[("good", GIVES), ("bad", fails), ("mute", "exit 3"), ("loud", "echo why >&2; exit 3")]);
    let network = node.network();
    let sandbox = sandbox(own_pid());
    for (plugin, why) in [
        ("bad", "plugin type=\"bad\" failed (add): no room; in 10.0.0.0/8"),
        ("mute", "plugin type=\"mute\" failed (add): netplugin failed with no error message: exit status: 3"),
        ("loud", "plugin type=\"loud\" failed (add): netplugin failed: \"why\""),
    ] {
        node.configure(&json!([{"type": "good"}, {"type": plugin}]));
        let error = network.set_up(&pod(), &sandbox, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), why);
        let _ = network.tear_down(&sandbox.id).await;
        // Who does not even undo keeps the sandbox waiting; an administrator may mend the plugin.
        node.install(plugin, "");
        network.tear_down(&sandbox.id).await.unwrap();
        assert!(network.connected().await.is_empty());
    }
    node.configure(&json!([{"type": "absent"}]));
    let error = network.set_up(&pod(), &sandbox, &[]).await.unwrap_err().to_string();
    assert!(error.contains("failed to find plugin \"absent\" in path ["), "{error}");

    // What was begun when the kubelet was ended is undone first.
    node.install("absent", "");
    node.noted();
    node.configure(&json!([{"type": "good"}]));
    network.set_up(&pod(), &sandbox, &[]).await.unwrap();
    assert_eq!(network.connected().await.len(), 1);
}

#[tokio::test]
async fn a_namespace_that_is_gone_is_not_taken_for_another() {
    let node = Node::with(&[("first", GIVES)]);
    node.configure(&json!([{"type": "first"}]));
    let network = node.network();
    let mut process = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let sandbox = sandbox(process.id());
    network.set_up(&pod(), &sandbox, &[]).await.unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    node.noted();
    network.tear_down(&sandbox.id).await.unwrap();
    assert_eq!(node.noted()[0].0, "first DEL box  eth0");
    let error = network.set_up(&pod(), &sandbox, &[]).await.unwrap_err();
    assert!(matches!(error, NetworkError::SandboxGone(_)), "{error}");
}

#[tokio::test]
async fn news_of_the_configuration_are_told() {
    let node = Node::with(&[]);
    let network = node.network();
    assert!(network.ready().await.is_err());
    node.configure(&json!([{"type": "first"}]));
    network.changed().await;
    network.ready().await.unwrap();
}

#[test]
fn addresses_are_found_in_every_version() {
    let of = |result: Value| addresses(&result).iter().map(ToString::to_string).collect::<Vec<_>>();
    let list = json!({"ips": [{"address": "10.0.0.2/16"}, {"address": "x"}, {"address": "10.0.0.2/16"}, {"address": "fd00::2/64"}]});
    assert_eq!(of(list), ["10.0.0.2", "fd00::2"]);
    assert_eq!(of(json!({"ip4": {"ip": "10.0.0.3/16"}, "ip6": {"ip": "fd00::3/64"}})), ["10.0.0.3", "fd00::3"]);
    assert!(of(json!({"ips": 3})).is_empty() && of(Value::Null).is_empty());
}
