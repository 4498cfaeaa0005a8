//! The API over the runtime in memory.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use component::auth::{AlwaysAllow, Anonymous, Authenticators};
use futures::{SinkExt, StreamExt};
use tower::ServiceExt;

use super::*;
use crate::runtime::fake::FakeRuntime;
use crate::runtime::{ContainerConfig, PodIdentity, SandboxConfig};

/// One pod, `ns/web`, whose container `main` has printed two lines.
struct OnePod(PodEntry);

impl PodDirectory for OnePod {
    fn pods(&self) -> Vec<Arc<Pod>> {
        vec![Arc::clone(&self.0.pod)]
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<PodEntry> {
        ((namespace, name) == ("ns", "web")).then(|| self.0.clone())
    }
}

pub(super) async fn app(anonymous: Anonymous) -> Router {
    let runtime = FakeRuntime::default();
    runtime.add_image("image");
    let pod = PodIdentity { uid: "u".into(), namespace: "ns".into(), name: "web".into() };
    let sandbox = SandboxConfig { pod, ..SandboxConfig::default() };
    let sandbox_id = runtime.run_sandbox(&sandbox).await.unwrap().id;
    let container = ContainerConfig {
        name: "main".into(),
        image: "image".into(),
        command: ["sh", "-c", "echo one; echo two; sleep 9"].map(str::to_owned).to_vec(),
        ..ContainerConfig::default()
    };
    let id = runtime.create_container(&sandbox_id, &sandbox, &container).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    let pod = serde_json::json!({
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"containers": [{"name": "main"}, {"name": "waiting"}]},
        "status": {"containerStatuses": [{
            "name": "main", "image": "image", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": format!("docker://{id}"), "state": {"running": {}}
        }]},
    });
    let entry = PodEntry { pod: Arc::new(serde_json::from_value(pod).unwrap()), runtime_uid: "u".into() };
    let state = ServerState {
        node: "node".into(),
        runtime: Arc::new(runtime),
        pods: Arc::new(OnePod(entry)),
        local_volumes: Arc::default(),
        settings: serde_json::json!({"maxPods": 7}),
        daemon: Daemon::new(),
    };
    let authenticator = Arc::new(Authenticators::new(Vec::new(), anonymous));
    let access = Access { node: "node".into(), authenticator, authorizer: Arc::new(AlwaysAllow) };
    router(Arc::new(state), &Health::new(), Profiling::Served, access)
}

async fn get(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn answers_are_upstreams() {
    let app = app(Anonymous::Allowed).await;
    for (path, code, text) in [
        ("/healthz", 200, "ok"),
        ("/configz", 200, r#"{"kubeletconfig":{"maxPods":7}}"#),
        ("/containerLogs/ns/web/main", 200, "one\ntwo\n"),
        ("/containerLogs/ns/web/main?tailLines=1", 200, "two\n"),
        (
            "/containerLogs/ns/web/main?previous=true",
            400,
            "previous terminated container \"main\" in pod \"web\" not found",
        ),
        ("/containerLogs/ns/web/waiting", 400, "container \"waiting\" in pod \"web\" is not available"),
        ("/containerLogs/ns/web/other", 404, "container \"other\" not found in pod \"web\"\n"),
        ("/containerLogs/ns/other/main", 404, "pod \"other\" does not exist\n"),
        ("/exec/ns/web/main", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/ns/other/main?command=true&stdout=1", 404, "pod does not exist"),
        (
            "/exec/ns/web/main?command=true&stdout=1",
            400,
            "unable to upgrade connection: the request asks for no protocol known here",
        ),
        ("/exec/ns/web/waiting?command=true&stdout=1", 500, "container not found (\"waiting\")"),
    ] {
        assert_eq!(get(&app, path).await, (StatusCode::from_u16(code).unwrap(), text.to_owned()), "{path}");
    }
    let (_, running) = get(&app, "/runningpods/").await;
    assert!(running.contains(r#""uid":"u""#) && running.contains(r#""name":"main""#), "{running}");
    let (_, stats) = get(&app, "/stats/summary").await;
    assert!(stats.contains(r#""usageCoreNanoSeconds":1000000"#), "{stats}");
    let (_, pods) = get(&app, "/pods").await;
    assert!(pods.starts_with(r#"{"apiVersion":"v1","items":[{"#), "{pods}");
}

#[tokio::test]
async fn without_credentials_there_is_nothing() {
    let app = app(Anonymous::Refused).await;
    for path in ["/pods", "/healthz", "/metrics", "/exec/ns/web/main?command=true&stdout=1", "/nowhere"] {
        assert_eq!(get(&app, path).await, (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()), "{path}");
    }
}

/// What came out of a conversation: each channel's bytes.
async fn converse(client: &kube::Client, path: &str, input: &[&[u8]]) -> BTreeMap<u8, String> {
    let request = Request::builder().uri(path).body(Vec::new()).unwrap();
    let connection = client.connect(request).await.unwrap();
    assert!(connection.supports_stream_close());
    let (mut sink, messages) = connection.into_stream().split();
    for message in input {
        sink.send(message.to_vec().into()).await.unwrap();
    }
    let mut channels: BTreeMap<u8, String> = BTreeMap::new();
    let mut messages = messages.filter_map(|message| futures::future::ready(message.ok()));
    while let Some(message) = messages.next().await {
        let data = message.into_data();
        if let Some((channel, data)) = data.split_first() {
            channels.entry(*channel).or_default().push_str(std::str::from_utf8(data).unwrap());
        }
    }
    channels
}

#[tokio::test]
async fn a_command_is_executed_through_a_websocket_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = component::Daemon::new();
    let config = ListenConfig {
        address: ([127, 0, 0, 1], 0).into(),
        certificate: ServingCertificate::SelfMade {
            directory: dir.path().to_owned(),
            hosts: vec!["localhost".to_owned()],
        },
    };
    let address = listen(&config, app(Anonymous::Allowed).await, &daemon).await.unwrap();
    let mut to_kubelet = kube::Config::new(format!("https://{address}").parse().unwrap());
    to_kubelet.accept_invalid_certs = true;
    let client = kube::Client::try_from(to_kubelet).unwrap();

    let failing =
        "/exec/ns/web/main?command=sh&command=-c&command=echo+o;+echo+e+%3E%262;+cat;+exit+5&input=1&output=1&error=1";
    let channels = converse(&client, failing, &[b"\0typed\n", &[255, 0]]).await;
    assert_eq!((channels[&1].as_str(), channels[&2].as_str()), ("o\ntyped\n", "e\n"));
    let status: serde_json::Value = serde_json::from_str(&channels[&3]).unwrap();
    assert_eq!(
        (&status["reason"], &status["details"]["causes"][0]["message"]),
        (&"NonZeroExitCode".into(), &"5".into())
    );

    let good = "/exec/ns/web/main?command=echo&command=hi&stdout=true&tty=true";
    let channels = converse(&client, good, &[b"\x04{\"Width\":80,\"Height\":24}"]).await;
    assert_eq!((channels[&1].as_str(), channels[&3].contains("Success")), ("hi\n", true));

    let error =
        client.connect(Request::get("/exec/ns/web/waiting?command=true&stdout=1").body(Vec::new()).unwrap()).await;
    assert!(error.err().unwrap().to_string().contains("container not found (\"waiting\")"));
    daemon.shutdown.cancel();
}
