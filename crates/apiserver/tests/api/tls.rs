//! TLS: who clients are, by certificate and by token.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{Client, Config, config::AuthInfo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::client::Api;

struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// A client of this name and group: its certificate and key, as a kubeconfig has them.
    fn client(&self, name: &str, group: &str) -> AuthInfo {
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

#[tokio::test]
async fn strangers_are_anonymous() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let api = start(directory.path(), &authority, &[]).await;
    assert_eq!(code(&api, AuthInfo::default()).await, 200);
}
