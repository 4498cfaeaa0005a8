//! The API over the runtime in memory.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
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

async fn app(anonymous: Anonymous) -> Router {
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
    let state = ServerState { node: "node".into(), runtime: Arc::new(runtime), pods: Arc::new(OnePod(entry)) };
    router(Arc::new(state), &Health::new(), Authentication { authority: None, anonymous })
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
            "/exec/ns/web/waiting?command=true&stdout=1",
            404,
            "unable to upgrade connection: container not found (\"waiting\")",
        ),
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
async fn without_credentials_there_is_only_health() {
    let app = app(Anonymous::Refused).await;
    assert_eq!(get(&app, "/pods").await, (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()));
    assert_eq!(get(&app, "/healthz").await.0, StatusCode::OK);
}
