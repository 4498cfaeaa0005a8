//! Who may use the kubelet's API, with the real API server as the judge.

use std::net::SocketAddr;

use apiserver::testing::TestServer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use kube::config::AuthInfo;
use kube::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::node::{Machine, NODE};

/// Makes certificates.
pub struct Authority(pub Issuer<'static, KeyPair>, pub String);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    pub fn client(&self, name: &str, group: &str) -> AuthInfo {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        AuthInfo {
            client_certificate_data: Some(STANDARD.encode(certificate.pem())),
            client_key_data: Some(STANDARD.encode(key.serialize_pem()).into()),
            ..AuthInfo::default()
        }
    }
}

fn token(text: &str) -> AuthInfo {
    AuthInfo { token: Some(text.to_owned().into()), ..AuthInfo::default() }
}

/// The answer to a GET: code and text.
async fn get(kubelet: SocketAddr, who: AuthInfo, path: &str) -> (u16, String) {
    let mut config = Config::new(format!("https://{kubelet}").parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info = who;
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    let response = Client::try_from(config).unwrap().send(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

/// An API server that knows the token `secret` of bob, and a kubelet that knows certificates of `authority` and
/// otherwise has its defaults.
async fn start(authority: &Authority, more: &[&str]) -> (TestServer, Machine, crate::node::Kubelet) {
    let machine = Machine::new();
    let (tokens, ca) = (machine.directory.path().join("tokens.csv"), machine.directory.path().join("ca.crt"));
    std::fs::write(&tokens, "secret,bob,1,\"dev\"\n").unwrap();
    std::fs::write(&ca, &authority.1).unwrap();
    let tokens = format!("--token-auth-file={}", tokens.display());
    let flags: Vec<&str> = std::iter::once(tokens.as_str()).chain(more.iter().copied()).collect();
    let server = TestServer::start_with(&flags).await;
    let flags = [format!("--api-servers={}", server.url()), format!("--client-ca-file={}", ca.display())];
    let kubelet = machine.start(&flags).await;
    (server, machine, kubelet)
}

#[tokio::test]
async fn whoever_the_api_server_knows_and_allows_is_let_in() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (server, _machine, kubelet) = start(&authority, &[]).await;
    for (who, code) in [
        (authority.client("ann", "ops"), 200),
        (token("secret"), 200),
        (stranger.client("ann", "system:masters"), 401),
        (token("wrong"), 401),
        (AuthInfo::default(), 401),
    ] {
        for path in ["/pods", "/healthz", "/metrics", "/stats/summary"] {
            assert_eq!(get(kubelet.address, who.clone(), path).await.0, code, "{path} {who:?}");
        }
    }
    kubelet.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn whoever_it_does_not_allow_is_told_so() {
    let authority = Authority::new();
    let (server, _machine, kubelet) = start(&authority, &["--authorization-mode=AlwaysDeny"]).await;
    let refused = |user: &str, tried: &str| {
        (403, format!("Forbidden (user={user}, verb=get, resource=nodes, subresource(s)=[{tried}])\n"))
    };
    for (who, name) in [(authority.client("ann", "ops"), "ann"), (token("secret"), "bob")] {
        for (path, tried) in [
            ("/pods", "pods proxy"),
            ("/healthz", "healthz proxy"),
            ("/stats/summary", "stats"),
            ("/metrics", "metrics"),
            ("/containerLogs/default/web/c", "proxy"),
        ] {
            assert_eq!(get(kubelet.address, who.clone(), path).await, refused(name, tried), "{path}");
        }
    }
    let master = authority.client("root", "system:masters");
    let (code, text) = get(kubelet.address, master, "/pods").await;
    assert_eq!((code, text.contains("PodList")), (200, true), "{NODE}: {text}");
    kubelet.stop().await;
    server.stop().await;
}
