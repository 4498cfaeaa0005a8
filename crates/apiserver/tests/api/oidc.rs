//! Tokens of OpenID Connect providers.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Router, routing::get};
use component::{
    Daemon,
    jwt::{PublicKey, SigningKey, key_set},
    serve::{self, certificates},
};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::client::Api;

/// A provider on a port of its own.
struct Provider {
    url: String,
    keys: Arc<Mutex<Vec<PublicKey>>>,
    daemon: Daemon,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

fn new_key() -> SigningKey {
    SigningKey::parse(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap()
}

impl Provider {
    async fn start(directory: &Path) -> Self {
        component::daemon::install_crypto_provider();
        let certificate = certificates::read_or_make(directory, "provider", &["127.0.0.1".to_owned()]).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/realm", listener.local_addr().unwrap());
        let keys: Arc<Mutex<Vec<PublicKey>>> = Arc::default();
        let (published, issuer) = (keys.clone(), url.clone());
        let discovery =
            move || async move { json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string() };
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/keys", get(move || async move { key_set(&published.lock().unwrap()).unwrap() }));
        let daemon = Daemon::new();
        serve::spawn(listener, Some(serve::tls::server_config(certificate).unwrap()), router, &daemon);
        Self { url, keys, daemon }
    }

    fn claims(&self, more: &Value) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"iss": self.url, "aud": "me", "exp": now + 60, "sub": "ann", "roles": ["ops"]});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }
}

async fn review(api: &Api, token: &str) -> Value {
    let asked = json!({"spec": {"token": token}});
    api.post("/apis/authentication.k8s.io/v1/tokenreviews", &asked).await.ok()["status"].clone()
}

#[tokio::test]
async fn a_providers_tokens_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let provider = Provider::start(directory.path()).await;
    let ca = directory.path().join("provider.crt");
    let flags = [
        format!("--oidc-issuer-url={}", provider.url),
        "--oidc-client-id=me".to_owned(),
        format!("--oidc-ca-file={}", ca.display()),
        "--oidc-username-prefix=oidc:".to_owned(),
        "--oidc-groups-claim=roles".to_owned(),
        "--oidc-signing-algs=ES256".to_owned(),
    ];
    let api = Api::start_with(&flags.each_ref().map(String::as_str)).await;
    let (key, stranger) = (new_key(), new_key());
    provider.keys.lock().unwrap().push(key.public().clone());
    let good = review(&api, &key.sign(&provider.claims(&json!({}))).unwrap()).await;
    assert_eq!(good["user"], json!({"username": "oidc:ann", "groups": ["ops", "system:authenticated"]}), "{good}");
    assert_eq!(good["authenticated"], true);
    let wrong = [
        (&stranger, json!({}), "no keys found"),
        (&key, json!({"aud": "you"}), "expected audience"),
        (&key, json!({"exp": 1}), "expired"),
        (&key, json!({"iss": "https://other.example"}), "invalid bearer token"),
    ];
    for (key, changes, words) in wrong {
        let refused = review(&api, &key.sign(&provider.claims(&changes)).unwrap()).await;
        let error = refused["error"].as_str().unwrap_or_default();
        assert!(error.contains(words) && refused["authenticated"] != true, "{changes}: {refused}");
    }
}

#[tokio::test]
async fn a_file_names_providers() {
    let directory = tempfile::tempdir().unwrap();
    let provider = Provider::start(directory.path()).await;
    let file = directory.path().join("authentication.yaml");
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": provider.url, "audiences": ["me"],
                "certificateAuthority": fs::read_to_string(directory.path().join("provider.crt")).unwrap(),
            },
            "claimValidationRules": [{"claim": "hd", "requiredValue": "example.com"}],
            "claimMappings": {"username": {"claim": "sub", "prefix": ""}, "uid": {"claim": "sub"}},
        }],
    });
    fs::write(&file, config.to_string()).unwrap();
    let api = Api::start_with(&[&format!("--authentication-config={}", file.display())]).await;
    let key = new_key();
    provider.keys.lock().unwrap().push(key.public().clone());
    let good = review(&api, &key.sign(&provider.claims(&json!({"hd": "example.com"}))).unwrap()).await;
    assert_eq!(good["user"], json!({"username": "ann", "uid": "ann", "groups": ["system:authenticated"]}), "{good}");
    let refused = review(&api, &key.sign(&provider.claims(&json!({}))).unwrap()).await;
    assert!(refused["error"].as_str().unwrap().contains("required claim hd not present"), "{refused}");
}

#[tokio::test]
async fn a_provider_that_tells_too_much_is_not_listened_to() {
    let directory = tempfile::tempdir().unwrap();
    let provider = Provider::start(directory.path()).await;
    let ca = format!("--oidc-ca-file={}", directory.path().join("provider.crt").display());
    let issuer = format!("--oidc-issuer-url={}", provider.url);
    let api = Api::start_with(&[&issuer, &ca, "--oidc-client-id=me", "--oidc-signing-algs=ES256"]).await;
    let key = new_key();
    *provider.keys.lock().unwrap() = vec![key.public().clone(); 10_000];
    let refused = review(&api, &key.sign(&provider.claims(&json!({}))).unwrap()).await;
    assert!(refused["error"].as_str().unwrap_or_default().contains("length limit exceeded"), "{refused}");
}
