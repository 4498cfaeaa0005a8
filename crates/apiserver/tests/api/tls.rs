//! TLS: who clients are, by certificate and by token.

use std::{fs, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{Client, Config, config::AuthInfo};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use rustls::{SignatureScheme, client::ResolvesClientCert, pki_types::ServerName, sign::CertifiedKey};
use tokio::net::TcpStream;

use crate::client::Api;

pub struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.1
    }

    /// A client of this name and group: its certificate and key, as a kubeconfig has them.
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

async fn start(directory: &Path, authority: &Authority, more: &[&str]) -> Api {
    let (ca, tokens) = (directory.join("ca.crt"), directory.join("tokens.csv"));
    fs::write(&ca, &authority.1).unwrap();
    fs::write(&tokens, "secret,bob,1,\"ops,dev\"\n").unwrap();
    let flags = [format!("--client-ca-file={}", ca.display()), format!("--token-auth-file={}", tokens.display())];
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Api::start_with(&flags).await
}

/// The status of a GET over TLS by such a client.
async fn code(api: &Api, auth_info: AuthInfo) -> u16 {
    let mut config = Config::new(api.server.secure_url().parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info = auth_info;
    let client = Client::try_from(config).unwrap();
    let request = http::Request::get("/api/v1/namespaces/default").body(kube::client::Body::empty()).unwrap();
    client.send(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn clients_are_known_by_certificate_or_token() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let stranger = Authority::new();
    let token = |text: &str| AuthInfo { token: Some(text.to_owned().into()), ..AuthInfo::default() };
    let api = start(directory.path(), &authority, &["--anonymous-auth=false"]).await;
    assert_eq!(code(&api, authority.client("ann", "ops")).await, 200);
    assert_eq!(code(&api, stranger.client("ann", "ops")).await, 401, "a bad certificate is answered, not cut off");
    assert_eq!(code(&api, token("secret")).await, 200);
    assert_eq!(code(&api, token("wrong")).await, 401);
    assert_eq!(code(&api, AuthInfo::default()).await, 401);
    assert_eq!(api.get("/api/v1/namespaces/default").await.code, 200, "the plain port trusts everybody");
}

/// An answer over TLS to a client that presents nothing but these headers: code, reason, message.
pub async fn stranger(api: &Api, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let mut config = Config::new(api.server.secure_url().parse().unwrap());
    config.accept_invalid_certs = true;
    let client = Client::try_from(config).unwrap();
    let mut request = http::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.send(request.body(kube::client::Body::empty()).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let status: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    (code, text("reason"), text("message"))
}

#[tokio::test]
async fn strangers_get_nothing_where_everything_is_allowed() {
    for flags in [&[][..], &["--anonymous-auth=true"], &["--authorization-mode=AlwaysDeny,AlwaysAllow"]] {
        let api = Api::start_with(flags).await;
        for path in ["/api/v1/secrets", "/api", "/version", "/healthz", "/livez", "/readyz", "/metrics", "/nope", "/"] {
            let expected = (401, "Unauthorized".to_owned(), "Unauthorized".to_owned());
            assert_eq!(stranger(&api, path, &[]).await, expected, "{path} with {flags:?}");
        }
    }
}

#[tokio::test]
async fn strangers_are_anonymous() {
    let api = Api::start_with(&["--authorization-mode=AlwaysDeny"]).await;
    let refusal = |what: &str| {
        let message = format!("{what}: Everything is forbidden.");
        (403, "Forbidden".to_owned(), message)
    };
    assert_eq!(
        stranger(&api, "/healthz", &[]).await,
        refusal(r#"forbidden: User "system:anonymous" cannot get path "/healthz""#)
    );
    assert_eq!(
        stranger(&api, "/api/v1/secrets?fieldSelector=metadata.name%3Da", &[]).await,
        refusal(
            r#"secrets "a" is forbidden: User "system:anonymous" cannot list resource "secrets" in API group "" at the cluster scope"#
        )
    );
    let bad = stranger(&api, "/healthz", &[("authorization", "Bearer wrong")]).await;
    assert_eq!(bad.0, 401, "who presents something bad is not anonymous");
    assert_eq!(api.get("/healthz").await.code, 200, "the plain port's clients are masters");
}

#[tokio::test]
async fn clients_act_as_others() {
    let api = Api::start_with(&["--authorization-mode=AlwaysDeny"]).await;
    let code = async |headers: &[(&str, &str)]| {
        let reply = api.raw(http::Method::GET, "/api/v1/namespaces/default", headers, Vec::new()).await;
        if reply.code == 200 { (200, String::new()) } else { (reply.code, reply.failure().2) }
    };
    let (refused, why) = code(&[("impersonate-user", "ann")]).await;
    assert_eq!(refused, 403, "a master may act as ann, who may do nothing");
    assert!(why.starts_with(r#"namespaces "default" is forbidden: User "ann" cannot get resource"#), "{why}");
    let master = [("impersonate-user", "ann"), ("impersonate-group", "system:masters")];
    assert_eq!(code(&master).await.0, 200);
    let (bad, why) = code(&[("impersonate-group", "system:masters")]).await;
    assert_eq!(bad, 400);
    assert!(why.ends_with("without impersonating a user name"), "{why}");
}

/// Remembers whose certificates a server asks for, and has none.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<Vec<u8>>>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock() = authorities.iter().map(|name| name.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn clients_are_told_whose_certificates_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path(), &Authority::new(), &[]).await;
    let asked = Arc::new(Asked::default());
    let mut config = component::serve::tls::client_config(None, None).unwrap();
    config.client_auth_cert_resolver = asked.clone();
    let url = api.server.secure_url();
    let stream = TcpStream::connect(url.trim_start_matches("https://")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let names = asked.0.lock().clone();
    assert_eq!(names.len(), 1);
    assert!(names[0].ends_with(b"ca"), "{names:?}");
}
