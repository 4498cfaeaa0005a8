//! From a bootstrap token to a certificate that the API server believes.

use std::{path::Path, sync::Arc};

use api_types::{
    certificates::CertificateSigningRequest,
    core::{ConfigMap, Secret},
    jiff::{SignedDuration, Timestamp},
    k8s_openapi::ByteString,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::informer::{ObjectKey, Store};
use controller_manager::slim::CertificateSigningRequest as Request;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::AuthInfo,
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::harness::Cluster;

const TOKEN: &str = "abc123.0123456789abcdef";
const NODE: &str = "system:node:n";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// An authority in `ca.crt` and `ca.key`.
fn make_authority(directory: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "test-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(directory.join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(directory.join("ca.key"), key.serialize_pem()).unwrap();
}

/// A cluster that issues certificates which its API server believes.
async fn start(flags: &str) -> (Cluster, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    make_authority(directory.path());
    let [cert, key] = ["ca.crt", "ca.key"].map(|name| directory.path().join(name).display().to_string());
    let server =
        ["--authorization-mode=Node,RBAC", "--enable-bootstrap-token-auth", &format!("--client-ca-file={cert}")];
    let flags = format!("--cluster-signing-cert-file={cert} --cluster-signing-key-file={key} {flags}");
    (Cluster::start_beside(&server, &flags).await, directory)
}

fn request_pem(organization: &str, name: &str, key: &KeyPair) -> ByteString {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, name);
    ByteString(params.serialize_request(key).unwrap().pem().unwrap().into_bytes())
}

fn request(name: &str, signer: &str, pem: &ByteString, usages: &[&str]) -> CertificateSigningRequest {
    let spec = json!({"request": pem, "signerName": signer, "usages": usages});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

fn token(expiration: &str) -> Value {
    json!({
        "metadata": {"name": "bootstrap-token-abc123", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abc123", "token-secret": "0123456789abcdef", "expiration": expiration,
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
        },
    })
}

/// A client of the encrypted port.
fn client(cluster: &Cluster, credentials: AuthInfo) -> Client {
    let mut config = Config::new(cluster.secure_url().parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info = credentials;
    Client::try_from(config).unwrap()
}

fn by_certificate(certificate: &[u8], key: &KeyPair) -> AuthInfo {
    AuthInfo {
        client_certificate_data: Some(STANDARD.encode(certificate)),
        client_key_data: Some(STANDARD.encode(key.serialize_pem()).into()),
        ..AuthInfo::default()
    }
}

fn find(requests: &Store<Request>, name: &str) -> Option<Arc<Request>> {
    requests.get(&ObjectKey::new("", name))
}

fn certificate(requests: &Store<Request>, name: &str) -> Option<Vec<u8>> {
    find(requests, name).map(|request| request.status.certificate.0.clone()).filter(|pem| !pem.is_empty())
}

async fn issued(cluster: &Cluster, name: &str) -> Vec<u8> {
    let is_there = |requests: &Store<Request>| certificate(requests, name).is_some();
    cluster.until::<Request>("a certificate", is_there).await;
    certificate(cluster.informers.of().store(), name).unwrap()
}

async fn approve(cluster: &Cluster, name: &str) {
    let requests: Api<CertificateSigningRequest> = Api::all(cluster.client.clone());
    let condition = json!([{"type": "Approved", "status": "True", "reason": "KubectlApprove", "message": "by a test"}]);
    let patch = Patch::Merge(json!({"status": {"conditions": condition}}));
    requests.patch_approval(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn who(client: &Client) -> Value {
    let body = br#"{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}"#.to_vec();
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    client.request::<Value>(request).await.unwrap()["status"]["userInfo"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_with_a_bootstrap_token_gets_a_certificate() {
    let (cluster, _directory) = start("").await;
    cluster.create::<Secret>(token("")).await;
    let binding = |name: &str, role: &str, group: &str| {
        json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        })
    };
    let bootstrappers = "system:bootstrappers";
    let asks = binding("asks", "system:node-bootstrapper", bootstrappers);
    cluster.create::<api_types::rbac::ClusterRoleBinding>(asks).await;
    let gets = binding("gets", "system:certificates.k8s.io:certificatesigningrequests:nodeclient", bootstrappers);
    cluster.create::<api_types::rbac::ClusterRoleBinding>(gets).await;
    let bootstrapping = client(&cluster, AuthInfo { token: Some(TOKEN.to_owned().into()), ..AuthInfo::default() });
    assert_eq!(who(&bootstrapping).await["username"], "system:bootstrap:abc123");
    let requests: Api<CertificateSigningRequest> = Api::all(bootstrapping);
    let key = KeyPair::generate().unwrap();
    let pem = request_pem("system:nodes", NODE, &key);
    let asked = request("csr", KUBELET_CLIENT, &pem, &["digital signature", "client auth"]);
    requests.create(&PostParams::default(), &asked).await.unwrap();
    let pem = issued(&cluster, "csr").await;
    let kubelet = client(&cluster, by_certificate(&pem, &key));
    let user = who(&kubelet).await;
    assert_eq!(user["username"], NODE);
    assert!(user["groups"].as_array().unwrap().contains(&json!("system:nodes")), "{user}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_signed_or_refused() {
    let (cluster, _directory) = start("--cluster-signing-duration=1h").await;
    let requests: Api<CertificateSigningRequest> = Api::all(cluster.client.clone());
    let key = KeyPair::generate().unwrap();
    let pem = request_pem("people", "jane", &key);
    let create = async |name: &str, signer: &str, usages: &[&str]| {
        requests.create(&PostParams::default(), &request(name, signer, &pem, usages)).await.unwrap();
        approve(&cluster, name).await;
    };
    create("good", CLIENT, &["client auth"]).await;
    create("bad", CLIENT, &["server auth"]).await;
    create("foreign", "example.com/own", &["client auth"]).await;
    let pem = issued(&cluster, "good").await;
    let jane = client(&cluster, by_certificate(&pem, &key));
    assert_eq!(who(&jane).await["username"], "jane");
    let refused = |requests: &Store<Request>| {
        let request = find(requests, "bad");
        let failed = request.as_ref().and_then(|request| request.condition("Failed"));
        let message = failed.and_then(|condition| condition.message.as_deref());
        message == Some("invalid usage for client certificate: server auth")
    };
    cluster.until::<Request>("a refusal", refused).await;
    assert_eq!(certificate(cluster.informers.of().store(), "foreign"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_signed_for_with_tokens_until_they_end() {
    let (cluster, _directory) = start("--controllers=*,bootstrapsigner,tokencleaner").await;
    let in_a_day = Timestamp::now() + SignedDuration::from_hours(24);
    cluster.create::<Secret>(token(&in_a_day.to_string())).await;
    let info =
        json!({"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "text"}});
    cluster.create::<ConfigMap>(info).await;
    let signature = |maps: &Store<ConfigMap>| {
        let info = maps.get(&ObjectKey::new("kube-public", "cluster-info"))?;
        info.data.as_ref()?.get("jws-kubeconfig-abc123").cloned()
    };
    cluster.until::<ConfigMap>("a signature", |maps| signature(maps).is_some_and(|jws| jws.contains(".."))).await;
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), "kube-system");
    let soon = Timestamp::now() + SignedDuration::from_secs(1);
    let patch = Patch::Merge(json!({"stringData": {"expiration": soon.to_string()}}));
    secrets.patch("bootstrap-token-abc123", &PatchParams::default(), &patch).await.unwrap();
    let key = ObjectKey::new("kube-system", "bootstrap-token-abc123");
    cluster.until::<Secret>("the token to go", |secrets| secrets.get(&key).is_none()).await;
    cluster.until::<ConfigMap>("its signature to go", |maps| signature(maps).is_none()).await;
}
