//! Tokens of service accounts.

use std::{fs, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use component::jwt::SigningKey;
use kube::{Client, Config, config::AuthInfo};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::client::{Api, Reply};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// A server with a service account `sa`, and the account's uid.
async fn start(flags: &[&str]) -> (Api, String) {
    let api = Api::start_with(flags).await;
    let uid = create(&api, ACCOUNTS, &json!({"metadata": {"name": "sa"}})).await;
    (api, uid)
}

/// Creates an object and tells its uid.
async fn create(api: &Api, path: &str, object: &Value) -> String {
    api.post(path, object).await.ok()["metadata"]["uid"].as_str().unwrap().to_owned()
}

async fn create_pod(api: &Api, name: &str, account: &str) -> String {
    let spec = json!({"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]});
    create(api, PODS, &json!({"metadata": {"name": name}, "spec": spec})).await
}

async fn ask(api: &Api, spec: &Value) -> Reply {
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    api.post(&format!("{ACCOUNTS}/sa/token"), &asked).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn token(api: &Api, spec: &Value) -> String {
    text(&ask(api, spec).await.ok()["status"]["token"])
}

/// What a token says: its header and its claims.
fn said(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

/// The status of a review.
async fn review(api: &Api, token: &str, audiences: &[&str]) -> Value {
    let asked = json!({"spec": {"token": token, "audiences": audiences}});
    api.post("/apis/authentication.k8s.io/v1/tokenreviews", &asked).await.ok()["status"].clone()
}

async fn refusal(api: &Api, token: &str) -> String {
    let status = review(api, token, &[]).await;
    assert_eq!(status["authenticated"], Value::Null);
    text(&status["error"])
}

#[tokio::test]
async fn a_token_says_whose_it_is() {
    let (api, uid) = start(&[]).await;
    let answer = ask(&api, &json!({})).await;
    assert_eq!(answer.code, 201);
    let answer = answer.json();
    assert_eq!((&answer["kind"], &answer["metadata"]["name"]), (&json!("TokenRequest"), &json!("sa")));
    assert_eq!(answer["spec"], json!({"audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": null}));
    let (header, claims) = said(&text(&answer["status"]["token"]));
    assert_eq!(header["alg"], "ES256");
    let times = ["exp", "iat", "nbf"].map(|name| claims[name].as_i64().unwrap());
    assert_eq!((times[0] - times[1], times[2]), (3600, times[1]));
    let expected = json!({
        "aud": [ISSUER], "exp": times[0], "iat": times[1], "iss": ISSUER, "jti": claims["jti"], "nbf": times[2],
        "sub": "system:serviceaccount:default:sa",
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "sa", "uid": uid}},
    });
    assert_eq!(claims, expected);
    let user = json!({
        "username": "system:serviceaccount:default:sa", "uid": uid,
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": [format!("JTI={}", text(&claims["jti"]))]},
    });
    let found = review(&api, &text(&answer["status"]["token"]), &[]).await;
    assert_eq!(found, json!({"authenticated": true, "audiences": [ISSUER], "user": user}));
}

#[tokio::test]
async fn a_token_opens_the_secure_port() {
    let (api, _) = start(&["--authorization-mode=AlwaysDeny"]).await;
    let mut config = Config::new(api.server.secure_url().parse().unwrap());
    config.accept_invalid_certs = true;
    let code = async |token: String| {
        let auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        let mut config = config.clone();
        config.auth_info = auth_info;
        let client = Client::try_from(config).unwrap();
        let request = http::Request::get("/api").body(kube::client::Body::empty()).unwrap();
        client.send(request).await.unwrap().status().as_u16()
    };
    let good = token(&api, &json!({})).await;
    let changed = format!("{}AAAA{}", &good[..good.len() - 8], &good[good.len() - 4..]);
    assert_eq!((code(good).await, code(changed).await), (403, 401));
    assert_eq!(code(token(&api, &json!({"audiences": ["vault"]})).await).await, 401, "it is for somebody else");
}

#[tokio::test]
async fn a_token_is_good_as_long_as_the_account() {
    let (api, uid) = start(&[]).await;
    let token = token(&api, &json!({})).await;
    api.delete(&format!("{ACCOUNTS}/sa")).await.ok();
    assert_eq!(refusal(&api, &token).await, "serviceaccounts \"sa\" not found");
    let again = create(&api, ACCOUNTS, &json!({"metadata": {"name": "sa"}})).await;
    let error = format!("service account UID ({again}) does not match claim ({uid})");
    assert_eq!(refusal(&api, &token).await, error, "another account of the same name");
}

#[tokio::test]
async fn a_token_is_bound_to_what_it_is_for() {
    let (api, _) = start(&[]).await;
    let node = create(&api, "/api/v1/nodes", &json!({"metadata": {"name": "n"}})).await;
    let pod = create_pod(&api, "p", "sa").await;
    let secret = create(&api, SECRETS, &json!({"metadata": {"name": "s"}})).await;
    let bind = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    api.post(&format!("{PODS}/p/binding"), &bind).await.ok();
    let bound = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "name": name});
    let cases = [
        ("Pod", "p", json!({"pod": {"name": "p", "uid": pod}, "node": {"name": "n", "uid": node}})),
        ("Node", "n", json!({"node": {"name": "n", "uid": node}})),
        ("Secret", "s", json!({"secret": {"name": "s", "uid": secret}})),
    ];
    let mut tokens = Vec::new();
    for (kind, name, expected) in cases {
        let token = token(&api, &json!({"boundObjectRef": bound(kind, name)})).await;
        let mut said = said(&token).1["kubernetes.io"].clone();
        said.as_object_mut().unwrap().retain(|name, _| expected.get(name).is_some());
        assert_eq!(said, expected);
        tokens.push(token);
    }
    // One that has not been looked at before: what was found good is so for a while.
    let fresh = token(&api, &json!({"boundObjectRef": bound("Pod", "p")})).await;
    let extra = review(&api, &tokens[0], &[]).await["user"]["extra"].clone();
    for (key, value) in [("pod-name", "p"), ("pod-uid", &pod), ("node-name", "n"), ("node-uid", &node)] {
        assert_eq!(extra[format!("authentication.kubernetes.io/{key}")], json!([value]));
    }
    api.delete_with(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.ok();
    api.delete(&format!("{SECRETS}/s")).await.ok();
    api.delete("/api/v1/nodes/n").await.ok();
    for token in [&fresh, &tokens[1], &tokens[2]] {
        assert_eq!(refusal(&api, token).await, "service account token has been invalidated");
    }
}

#[tokio::test]
async fn a_token_is_not_bound_to_something_else() {
    let (api, _) = start(&[]).await;
    create(&api, ACCOUNTS, &json!({"metadata": {"name": "other"}})).await;
    create_pod(&api, "theirs", "other").await;
    let uid = create_pod(&api, "mine", "sa").await;
    let cases = [
        (json!({"kind": "Pod", "name": "theirs"}), 400, "cannot bind token for serviceaccount \"sa\" to pod running with different serviceaccount name.".to_owned()),
        (json!({"kind": "Pod", "name": "none"}), 404, "pods \"none\" not found".to_owned()),
        (json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r"}), 400, "cannot bind token to object of type apps/v1, Kind=ReplicaSet".to_owned()),
        (json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "r"}), 400, "cannot bind token to object of type /v1, Kind=ConfigMap".to_owned()),
        (json!({"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": "x"}), 409, "Operation cannot be fulfilled on Pod \"mine\": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated".to_owned()),
    ];
    for (reference, code, message) in cases {
        let failure = ask(&api, &json!({"boundObjectRef": reference})).await.failure();
        assert_eq!((failure.0, failure.2), (code, message));
    }
    ask(&api, &json!({"boundObjectRef": {"kind": "Pod", "name": "mine", "uid": uid}})).await.ok();
    let missing = api.post(&format!("{ACCOUNTS}/none/token"), &json!({})).await.failure();
    assert_eq!((missing.0, missing.2.as_str()), (404, "serviceaccounts \"none\" not found"));
    let named = json!({"metadata": {"name": "other"}});
    let failure = api.post(&format!("{ACCOUNTS}/sa/token"), &named).await.failure();
    assert_eq!(failure.0, 422);
    assert_eq!(
        failure.2,
        "TokenRequest.authentication.k8s.io \"sa\" is invalid: metadata.name: Invalid value: \"other\": must match the service account name if specified"
    );
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_may() {
    let (api, _) = start(&["--service-account-max-token-expiration=2h", "--api-audiences=api,second"]).await;
    for (seconds, detail) in [(599, "less than 10 minutes"), ((1_i64 << 32) + 1, "larger than 2^32 seconds")] {
        let failure = ask(&api, &json!({"expirationSeconds": seconds})).await.failure();
        let message = format!(
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration {detail}"
        );
        assert_eq!((failure.0, failure.2), (422, message));
    }
    let long = ask(&api, &json!({"expirationSeconds": 7201})).await;
    let warning = long.headers["warning"].to_str().unwrap().to_owned();
    assert_eq!(warning, "299 - \"requested expiration of 7201 seconds shortened to 7200 seconds\"");
    let long = long.ok();
    assert_eq!(
        long["spec"],
        json!({"expirationSeconds": 7200, "audiences": ["api", "second"], "boundObjectRef": null})
    );
    // What pods get without having asked lives on for a year, and says from when on that should not be needed.
    create_pod(&api, "p", "sa").await;
    let spec = json!({"expirationSeconds": 3607, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}});
    let mut foreign = spec.clone();
    foreign["audiences"] = json!(["api", "vault"]);
    for (spec, life, warns) in [(&spec, 365 * 86400, true), (&foreign, 3607, false)] {
        let answer = ask(&api, spec).await.ok();
        let claims = said(&text(&answer["status"]["token"])).1;
        let issued = claims["iat"].as_i64().unwrap();
        assert_eq!(claims["exp"], issued + life);
        assert_eq!(claims["kubernetes.io"]["warnafter"] == json!(issued + 3607), warns);
        assert_eq!(answer["spec"]["expirationSeconds"], 3607, "as if nothing had happened");
    }
}

#[tokio::test]
async fn a_token_is_for_those_it_names() {
    let (api, _) =
        start(&["--service-account-issuer=https://a.example", "--service-account-issuer=https://b.example"]).await;
    let token = token(&api, &json!({"audiences": ["vault", "https://b.example"]})).await;
    assert_eq!(said(&token).1["iss"], "https://a.example");
    let audiences = async |asked: &[&str]| review(&api, &token, asked).await["audiences"].clone();
    assert_eq!(audiences(&[]).await, json!(["https://b.example"]));
    assert_eq!(audiences(&["x", "vault"]).await, json!(["vault"]));
    let refused = review(&api, &token, &["x"]).await;
    let error = "token audiences [\"vault\" \"https://b.example\"] is invalid for the target audiences [\"x\"]";
    assert_eq!(refused["error"], error);
}

/// Writes a key pair; the private half is at the path.
fn write_key(path: &Path) -> SigningKey {
    let pem = KeyPair::generate().unwrap().serialize_pem();
    fs::write(path, &pem).unwrap();
    SigningKey::parse(pem.as_bytes()).unwrap()
}

#[tokio::test]
async fn tokens_in_secrets_are_good_as_long_as_they_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let key = write_key(&path);
    let (api, uid) = start(&[&format!("--service-account-key-file={}", path.display())]).await;
    let claims = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:sa",
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/secret.name": "s",
        "kubernetes.io/serviceaccount/service-account.name": "sa",
        "kubernetes.io/serviceaccount/service-account.uid": uid,
    });
    let token = key.sign(&claims).unwrap();
    assert_eq!(refusal(&api, &token).await, "Token has been invalidated");
    let annotations = json!({"kubernetes.io/service-account.name": "sa"});
    let mut secret = json!({
        "metadata": {"name": "s", "annotations": annotations},
        "type": "kubernetes.io/service-account-token", "stringData": {"token": "another"},
    });
    create(&api, SECRETS, &secret).await;
    assert_eq!(refusal(&api, &token).await, "Token does not match server's copy");
    secret["stringData"]["token"] = json!(token);
    secret["metadata"]["labels"] = json!({"kubernetes.io/legacy-token-invalid-since": "2024-01-01"});
    api.put(&format!("{SECRETS}/s"), &secret).await.ok();
    assert!(refusal(&api, &token).await.contains("has been marked invalid"));
    secret["metadata"]["labels"] = json!({});
    api.put(&format!("{SECRETS}/s"), &secret).await.ok();
    let mut forged = claims.clone();
    forged["sub"] = json!("system:serviceaccount:kube-system:sa");
    assert_eq!(refusal(&api, &key.sign(&forged).unwrap()).await, "sub claim is invalid");
    let user = review(&api, &token, &[]).await["user"].clone();
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(user, json!({"username": "system:serviceaccount:default:sa", "uid": uid, "groups": groups}));
    let noted = api.get(&format!("{SECRETS}/s")).await.ok();
    let day = text(&noted["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"]);
    assert_eq!(day.len(), "2026-01-31".len());
}

#[tokio::test]
async fn others_find_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let key = write_key(&path);
    let (api, _) = start(&[&format!("--service-account-signing-key-file={}", path.display())]).await;
    let configuration = api.get("/.well-known/openid-configuration").await;
    assert_eq!(configuration.headers["cache-control"], "public, max-age=3600");
    let configuration = configuration.ok();
    let keys_url = text(&configuration["jwks_uri"]);
    assert!(keys_url.starts_with("https://192.0.2.1:") && keys_url.ends_with("/openid/v1/jwks"), "{keys_url}");
    let expected = json!({
        "issuer": ISSUER, "jwks_uri": keys_url, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    });
    assert_eq!(configuration, expected);
    let keys = async || {
        let answer = api.get("/openid/v1/jwks").await;
        assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
        let keys = answer.ok()["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| text(&key["kid"])).collect::<Vec<_>>()
    };
    assert_eq!(keys().await, [key.public().id()]);
    let old = token(&api, &json!({})).await;
    assert_eq!(said(&old).0, json!({"alg": "ES256", "kid": key.public().id()}));
    // A new key takes the place of the old one without a restart.
    let new = write_key(&path);
    while keys().await != [new.public().id()] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(said(&token(&api, &json!({})).await).0["kid"], new.public().id());
    assert_eq!(refusal(&api, &old).await, "invalid signature, no keys found");
    for nothing in ["/openid", "/openid/v1/jwks/", "/.well-known", "/.well-known/other"] {
        assert_eq!(api.get(nothing).await.code, 404, "{nothing}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_no_url_is_not_discovered() {
    let (api, _) = start(&["--service-account-issuer=api"]).await;
    assert_eq!(api.get("/openid/v1/jwks").await.code, 404);
    assert_eq!(review(&api, &token(&api, &json!({})).await, &[]).await["audiences"], json!(["api"]));
}
