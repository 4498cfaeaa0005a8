//! How a kubelet that has a bootstrap token only comes to certificates, and keeps them.

use std::path::Path;
use std::sync::Arc;

use api_types::certificates::CertificateSigningRequestCondition;
use api_types::core::{Node, Pod};
use api_types::k8s_openapi::ByteString;
use api_types::meta::ObjectMeta;
use apiserver::testing::TestServer;
use component::Daemon;
use component::informer::ObjectKey;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use rcgen::CertificateSigningRequestParams;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Authority;
use crate::node::{IMAGE, Machine, NODE, PATIENCE, Watcher, is_ready, phase};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

#[derive(Debug, Clone, Deserialize)]
struct Request {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    request: ByteString,
    signer_name: String,
    username: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<CertificateSigningRequestCondition>,
}

component::slim_resource!(Request => api_types::certificates::CertificateSigningRequest);

/// Approves and signs whatever is asked for: the first client certificate by `old`, for a life that is nearly over, and
/// everything else by `new`.
struct Signer {
    client: Client,
    old: Authority,
    new: Arc<Authority>,
}

impl Signer {
    fn run(self, daemon: &Daemon) {
        let watcher = Watcher::<Request>::new(&self.client, daemon);
        let mut is_first = true;
        daemon.spawn_until_shutdown(async move {
            loop {
                for request in watcher.list().iter().filter(|request| request.status.conditions.is_empty()) {
                    let is_first = request.spec.signer_name == CLIENT && std::mem::take(&mut is_first);
                    self.sign(request, is_first).await;
                }
                watcher.news().await;
            }
        });
    }

    async fn sign(&self, request: &Request, is_first: bool) {
        let expected = if is_first { "system:bootstrap:abc123".to_owned() } else { format!("system:node:{NODE}") };
        assert_eq!(request.spec.username, expected);
        let pem = String::from_utf8(request.spec.request.0.clone()).unwrap();
        let mut asked = CertificateSigningRequestParams::from_pem(&pem).unwrap();
        let now = rcgen::date_time_ymd(1970, 1, 1) + std::time::UNIX_EPOCH.elapsed().unwrap();
        let minute = std::time::Duration::from_secs(60);
        asked.params.not_before = now - minute * 100;
        asked.params.not_after = now + minute * if is_first { 2 } else { 10_000 };
        let authority = if is_first { &self.old } else { &*self.new };
        let certificate = ByteString(asked.signed_by(&authority.0).unwrap().pem().into_bytes());
        let approved = json!([{"type": "Approved", "status": "True", "reason": "Test", "message": "by a test"}]);
        let name = request.metadata.name.as_deref().unwrap();
        for (door, status) in [
            ("approval", json!({"conditions": approved})),
            ("status", json!({"conditions": approved, "certificate": certificate})),
        ] {
            let path = format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/{door}");
            let patch = json!({"status": status}).to_string().into_bytes();
            let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
            self.client.request::<Value>(request.body(patch).unwrap()).await.unwrap();
        }
    }
}

async fn admit_bootstrappers(client: &Client) {
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abc123", "namespace": "kube-system"},
        "stringData": {
            "token-id": "abc123", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        },
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "asks"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers"}],
    });
    for (path, object) in [
        ("/api/v1/namespaces/kube-system/secrets", token),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", role),
    ] {
        let request = http::Request::post(path).header("content-type", "application/json");
        client.request::<Value>(request.body(object.to_string().into_bytes()).unwrap()).await.unwrap();
    }
}

fn bootstrap_kubeconfig(url: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": url, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "u", "user": {"token": "abc123.0123456789abcdef"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    })
    .to_string()
}

/// The node is registered, and runs a pod called `name`.
async fn runs_a_pod(client: &Client, daemon: &Daemon, name: &str) {
    let nodes = Watcher::<Node>::new(client, daemon);
    let key = ObjectKey::new("", NODE);
    nodes.until(&key, "the node to be registered", |node| node.is_some()).await;
    let patch = json!({"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}});
    Api::<Node>::all(client.clone()).patch(NODE, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    nodes.until(&key, "the node to be ready", |node| node.is_some_and(is_ready)).await;
    let spec = json!({
        "nodeName": NODE, "automountServiceAccountToken": false, "containers": [{"name": "c", "image": IMAGE, "command": ["run"]}],
    });
    let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    Api::<Pod>::default_namespaced(client.clone()).create(&PostParams::default(), &pod).await.unwrap();
    let pods = Watcher::<Pod>::new(client, daemon);
    let running = |pod: Option<&Pod>| pod.is_some_and(|pod| phase(pod) == "Running");
    pods.until(&ObjectKey::new("default", name), "the pod to run", running).await;
}

/// What the kubelet's API answers a client that believes `authority` only, as soon as it answers.
async fn answers(address: std::net::SocketAddr, authority: &Authority) -> u16 {
    let mut config = Config::new(format!("https://{address}").parse().unwrap());
    let der = x509_parser::pem::parse_x509_pem(authority.1.as_bytes()).unwrap().1.contents;
    config.root_cert = Some(vec![der]);
    config.auth_info = authority.client("root", "system:masters");
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let asking = async {
        loop {
            let request = http::Request::get("/pods").body(kube::client::Body::empty()).unwrap();
            if let Ok(response) = client.send(request).await {
                return response.status().as_u16();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the kubelet has a serving certificate")
}

fn leads_to(link: &Path, prefix: &str) -> bool {
    let target = std::fs::read_link(link).unwrap();
    target.parent() == link.parent() && target.file_name().unwrap().to_str().unwrap().starts_with(prefix)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_joins_by_a_token_and_replaces_its_certificates() {
    let machine = Machine::new();
    let path = |name: &str| machine.directory.path().join(name);
    let (old, new) = (Authority::new(), Arc::new(Authority::new()));
    std::fs::write(path("ca.crt"), format!("{}{}", old.1, new.1)).unwrap();
    let ca = format!("--client-ca-file={}", path("ca.crt").display());
    let server =
        TestServer::start_with(&["--authorization-mode=Node,RBAC", "--enable-bootstrap-token-auth", &ca]).await;
    let (client, daemon) = (server.client(), Daemon::new());
    admit_bootstrappers(&client).await;
    Signer { client: client.clone(), old, new: Arc::clone(&new) }.run(&daemon);
    let (own, begin) = (path("kubelet.conf"), path("bootstrap-kubelet.conf"));
    std::fs::write(&begin, bootstrap_kubeconfig(&server.secure_url())).unwrap();
    let flags = [
        format!("--kubeconfig={}", own.display()),
        format!("--bootstrap-kubeconfig={}", begin.display()),
        "--rotate-certificates".to_owned(),
        "--rotate-server-certificates".to_owned(),
        ca,
    ];
    let kubelet = machine.start(&flags).await;
    runs_a_pod(&client, &daemon, "first").await;
    assert_eq!(answers(kubelet.address, &new).await, 200);
    assert!(leads_to(&path("pki/kubelet-server-current.pem"), "kubelet-server-2"));
    // By now the first certificate was replaced, because it was nearly over; who shows it is refused from now on.
    std::fs::write(path("ca.crt"), &new.1).unwrap();
    runs_a_pod(&client, &daemon, "second").await;
    let current = path("pki/kubelet-client-current.pem");
    assert!(leads_to(&current, "kubelet-client-2"));
    assert!(std::fs::read_to_string(&own).unwrap().contains(current.to_str().unwrap()));
    kubelet.stop().await;
    // The token is needed once.
    std::fs::remove_file(&begin).unwrap();
    let kubelet = machine.start(&flags).await;
    runs_a_pod(&client, &daemon, "third").await;
    kubelet.stop().await;
    daemon.shutdown.cancel();
    server.stop().await;
}
