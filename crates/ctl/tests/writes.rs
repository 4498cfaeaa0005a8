//! What the command writes, and above all what it does not, against the real API server.

#![allow(clippy::unwrap_used)]

use std::process::Output;

use api_types::core::Pod;
use apiserver::testing::TestServer;
use kube::{Api, Client, api::ListParams};
use serde_json::json;
use tokio::process::Command;

struct Fixture {
    server: TestServer,
    pods: Api<Pod>,
}

impl Fixture {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let client: Client = server.client();
        Self { server, pods: Api::default_namespaced(client) }
    }

    async fn ctl(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ctl"))
            .args(["--server", &self.server.url()])
            .args(arguments.split_whitespace())
            .env_remove("KUBECONFIG")
            .output()
            .await
            .unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    async fn done(&self, arguments: &str) -> String {
        let output = self.ctl(arguments).await;
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must be refused; its words.
    async fn refused(&self, arguments: &str) -> String {
        let output = self.ctl(arguments).await;
        assert!(!output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// What every write would change.
    async fn state(&self) -> serde_json::Value {
        let versions = self.pods.list(&ListParams::default()).await.unwrap();
        json!(versions.items)
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let cluster = Fixture::new().await;
    cluster.done("run a --image=x --labels=app=a --port=80").await;
    let before = cluster.state().await;
    for strategy in ["client", "server"] {
        let said = if strategy == "client" { "(dry run)" } else { "(server dry run)" };
        // kubectl's patch does not say that it is dry.
        let patched = cluster
            .done(&format!("patch pod a -p {{\"metadata\":{{\"labels\":{{\"x\":\"y\"}}}}}} --dry-run={strategy}"))
            .await;
        assert_eq!(patched, "pod/a patched\n");
        for command in [
            "run b --image=x",
            "expose pod a --port=80",
            "create deployment d --image=x",
            "label pod a x=y",
            "annotate pods --all x=y",
            "set image pod/a a=y",
            "delete pod a",
            "delete pods --all",
        ] {
            let printed = cluster.done(&format!("{command} --dry-run={strategy}")).await;
            assert!(printed.trim_end().ends_with(said), "{command}: {printed}");
        }
    }
    assert_eq!(cluster.state().await, before);
    assert_eq!(cluster.names().await, ["a"]);
    for absent in ["service a", "deployment d"] {
        cluster.refused(&format!("get {absent}")).await;
    }
}

#[tokio::test]
async fn a_dry_run_of_another_name_is_refused() {
    let cluster = Fixture::new().await;
    for command in ["run a --image=x", "create namespace n", "delete pods --all", "apply -f /dev/null"] {
        let words = cluster.refused(&format!("{command} --dry-run=Server")).await;
        assert!(words.contains("Must be \"none\", \"server\", or \"client\"."), "{words}");
    }
    let words = cluster.refused("run a --image=x -i --dry-run=server").await;
    assert!(words.contains("can't be used with attached containers options"), "{words}");
    assert!(cluster.names().await.is_empty());
}

#[tokio::test]
async fn a_deletion_that_says_two_things_deletes_nothing() {
    let cluster = Fixture::new().await;
    cluster.done("run a --image=x --labels=app=a").await;
    cluster.done("run b --image=x --labels=app=b").await;
    for (command, words) in [
        ("delete pods --all -l app=a", "setting 'all' parameter but found a non empty selector. "),
        ("delete pods --all --field-selector=metadata.name=a", "setting 'all' parameter"),
        ("delete pods b -l app=a", "name cannot be provided when a selector is specified"),
        ("delete pods b --all", "name cannot be provided when a selector is specified"),
        ("delete pods", "no name was specified"),
    ] {
        let said = cluster.refused(command).await;
        assert!(said.contains(words), "{command}: {said}");
    }
    assert_eq!(cluster.names().await, ["a", "b"]);
    cluster.done("delete pods -l app=a").await;
    assert_eq!(cluster.names().await, ["b"]);
}
