//! Other ways to say who one is, and files that change.

use std::{fs, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{Client, Config, config::AuthInfo};
use serde_json::{Value, json};

use crate::{client::Api, tls::Authority};

/// A client over TLS with these credentials.
fn client(api: &Api, auth_info: AuthInfo) -> Client {
    let mut config = Config::new(api.server.secure_url().parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info = auth_info;
    Client::try_from(config).unwrap()
}

/// Who the server takes a client for that sends these headers; `None` when it is a stranger.
async fn who(client: &Client, headers: &[(&str, &str)]) -> Option<Value> {
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let mut request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews");
    for (name, value) in headers.iter().chain(&[("content-type", "application/json")]) {
        request = request.header(*name, *value);
    }
    match client.request::<Value>(request.body(asked.into_bytes()).unwrap()).await {
        Ok(review) => Some(review["status"]["userInfo"].clone()),
        Err(kube::Error::Api(status)) if status.code == 401 => None,
        Err(error) => panic!("{error}"),
    }
}

fn token(text: &str) -> AuthInfo {
    AuthInfo { token: Some(text.to_owned().into()), ..AuthInfo::default() }
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

async fn start(flags: &[String]) -> Api {
    Api::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn a_proxy_says_for_whom_it_asks() {
    let directory = tempfile::tempdir().unwrap();
    let (own, proxies) = (Authority::new(), Authority::new());
    let (ca, proxy_ca) = (directory.path().join("ca.crt"), directory.path().join("proxy-ca.crt"));
    fs::write(&ca, own.pem()).unwrap();
    fs::write(&proxy_ca, proxies.pem()).unwrap();
    let api = start(&[
        flag("client-ca-file", &ca),
        flag("requestheader-client-ca-file", &proxy_ca),
        "--requestheader-allowed-names=front".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group,X-Groups".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
    ])
    .await;
    let headers = [
        ("x-remote-user", "ann"),
        ("x-remote-group", "ops"),
        ("x-groups", "dev"),
        ("x-remote-extra-acme.com%2fp", "q"),
    ];
    let front = client(&api, proxies.client("front", "x"));
    let ann = json!({
        "username": "ann", "groups": ["ops", "dev", "system:authenticated"], "extra": {"acme.com/p": ["q"]},
    });
    assert_eq!(who(&front, &headers).await, Some(ann));
    assert_eq!(who(&front, &[]).await, None, "it is nobody itself");
    let other = client(&api, proxies.client("other", "x"));
    assert_eq!(who(&other, &headers).await, None);
    let user = client(&api, own.client("bob", "ops"));
    assert_eq!(who(&user, &headers).await.unwrap()["username"], "bob", "users' headers mean nothing");
}

#[tokio::test]
async fn every_client_could_be_a_proxy_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.crt");
    fs::write(&ca, Authority::new().pem()).unwrap();
    let flags = ["kube-apiserver".to_owned(), flag("cert-dir", directory.path())].into_iter();
    let flags = flags.chain([flag("client-ca-file", &ca), flag("requestheader-client-ca-file", &ca)]);
    let Err(mistakes) = apiserver::Config::new(clap::Parser::parse_from(flags)) else { panic!("they were taken") };
    assert!(mistakes.to_string().contains("every client could name anybody"), "{mistakes}");
}

#[tokio::test]
async fn nodes_introduce_themselves() {
    let api = start(&["--enable-bootstrap-token-auth".into()]).await;
    let secret = json!({
        "metadata": {"name": "bootstrap-token-abc123"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abc123", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    });
    let newcomer = client(&api, token("abc123.0123456789abcdef"));
    assert_eq!(who(&newcomer, &[]).await, None);
    api.post("/api/v1/namespaces/kube-system/secrets", &secret).await.ok();
    let groups = ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"];
    let user = json!({"username": "system:bootstrap:abc123", "groups": groups});
    assert_eq!(who(&newcomer, &[]).await, Some(user));
    assert_eq!(who(&client(&api, token("abc123.0123456789abcdee")), &[]).await, None);
}

#[tokio::test]
async fn passwords_are_taken_where_they_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    fs::write(&file, "secret,ann,7,\"ops,dev\"\n").unwrap();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let api = start(&[flag("basic-auth-file", &file)]).await;
    let stranger = client(&api, AuthInfo::default());
    let ann = json!({"username": "ann", "uid": "7", "groups": ["ops", "dev", "system:authenticated"]});
    assert_eq!(who(&stranger, &[("authorization", &basic("ann:secret"))]).await, Some(ann));
    for wrong in ["ann:", "ann:Secret", "bob:secret", "ann", ":", ":secret"] {
        assert_eq!(who(&stranger, &[("authorization", &basic(wrong))]).await, None, "{wrong}");
    }
    let api = Api::start().await;
    let stranger = client(&api, AuthInfo::default());
    assert_eq!(who(&stranger, &[("authorization", &basic("ann:secret"))]).await, None);
}

/// Waits until a client is known as somebody, or not any more.
async fn until(client: &Client, name: Option<&str>) {
    while who(client, &[]).await.as_ref().map(|user| user["username"].as_str().unwrap().to_owned()).as_deref() != name {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let (ca, tokens) = (directory.path().join("ca.crt"), directory.path().join("tokens.csv"));
    fs::write(&ca, old.pem()).unwrap();
    fs::write(&tokens, "one,ann,1\n").unwrap();
    let api = start(&[flag("client-ca-file", &ca), flag("token-auth-file", &tokens)]).await;
    let (certificate, later) = (client(&api, old.client("bob", "x")), client(&api, new.client("eve", "x")));
    let other = client(&api, token("two"));
    until(&certificate, Some("bob")).await;
    assert_eq!((who(&later, &[]).await, who(&other, &[]).await), (None, None));
    fs::write(&ca, new.pem()).unwrap();
    fs::write(&tokens, "two,eva,2,\"more\"\n").unwrap();
    until(&later, Some("eve")).await;
    until(&certificate, None).await;
    until(&other, Some("eva")).await;
}

#[tokio::test]
async fn the_serving_certificate_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let files = [directory.path().join("tls.crt"), directory.path().join("tls.key")];
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files[0], made.cert.pem()).unwrap();
        fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    };
    let first = write();
    let api = start(&[flag("tls-cert-file", &files[0]), flag("tls-private-key-file", &files[1])]).await;
    let address = api.server.secure_url().trim_start_matches("https://").to_owned();
    let presented = async || {
        let tls = component::serve::tls::client_config(None, None).unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
        let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    assert_eq!(presented().await, first);
    let second = write();
    while presented().await != second {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn others_are_told_whom_the_server_believes() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, proxy_ca) = (directory.path().join("ca.crt"), directory.path().join("proxy-ca.crt"));
    fs::write(&ca, Authority::new().pem()).unwrap();
    fs::write(&proxy_ca, Authority::new().pem()).unwrap();
    let api = start(&[
        flag("client-ca-file", &ca),
        flag("requestheader-client-ca-file", &proxy_ca),
        "--requestheader-allowed-names=front".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
    ])
    .await;
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let map = loop {
        let answer = api.get(path).await;
        if answer.code == 200 {
            break answer.ok();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let expected = json!({
        "client-ca-file": fs::read_to_string(&ca).unwrap(),
        "requestheader-client-ca-file": fs::read_to_string(&proxy_ca).unwrap(),
        "requestheader-allowed-names": "[\"front\"]",
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-uid-headers": "[]",
        "requestheader-group-headers": "[]",
        "requestheader-extra-headers-prefix": "[]",
    });
    assert_eq!(map["data"], expected);
}
