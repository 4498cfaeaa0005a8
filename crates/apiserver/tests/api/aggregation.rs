//! Other servers behind this one: an extension server of the tests' own, with a certificate and an authority of its own.

use std::{fs, net::IpAddr, sync::Arc};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::serve::{Peer, tls::ClientAuthority};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{Api, Reply},
    tls::Authority,
    webhooks::server::{HookServer, own_address},
};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAME: &str = "v1alpha1.wardle.example.com";
const ROOT: &str = "/apis/wardle.example.com/v1alpha1";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What tells of the resources.
fn resources() -> Value {
    let resource = |name: &str, verbs: Value| json!({"name": name, "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": verbs});
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1alpha1",
           "resources": [resource("flunders", json!(["create", "list", "watch"])), resource("flunders/status", json!(["get"]))]})
}

/// An extension server.
struct Wardle {
    server: HookServer,
    /// Who signs the certificates by which it knows whom to believe.
    believed: Arc<Mutex<Option<String>>>,
}

impl Wardle {
    async fn start(address: IpAddr) -> Self {
        let believed: Arc<Mutex<Option<String>>> = Arc::default();
        let routes = Router::new()
            .route(ROOT, get(|| async { Json(resources()) }))
            .route(&format!("{ROOT}/namespaces/default/flunders"), any(flunders))
            .route(&format!("{ROOT}/upgrade"), get(upgraded))
            .route(&format!("{ROOT}/away"), get(|| async { Redirect::temporary("https://192.0.2.9/") }))
            .route(&format!("{ROOT}/head"), get(|| async { [(header::SERVER, "x".repeat(1 << 20))] }))
            .layer(Extension(believed.clone()));
        Self { server: HookServer::start_at(address, routes).await, believed }
    }
}

/// Watches end after two events; anything else is told what was asked.
async fn flunders(Extension(believed): Extension<Arc<Mutex<Option<String>>>>, request: Request) -> Response {
    if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
        let event = |name: &str| format!("{}\n", json!({"type": "ADDED", "object": {"metadata": {"name": name}}}));
        let events = [event("a"), event("b")].map(Ok::<_, std::io::Error>);
        return Body::from_stream(futures::stream::iter(events)).into_response();
    }
    let proxy = request.extensions().get::<Peer>().cloned();
    let authority = believed.lock().clone().map(|pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        ClientAuthority::new(chain.unwrap()).unwrap()
    });
    let proxy = authority.zip(proxy).and_then(|(authority, peer)| authority.verify(&peer).ok().flatten());
    let (head, body) = request.into_parts();
    let all = |name: &str| {
        let values = head.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    Json(json!({
        "method": head.method.as_str(), "uri": head.uri.to_string(), "body": String::from_utf8_lossy(&body),
        "proxy": proxy.map(|subject| subject.common_name), "user": all("x-remote-user"), "groups": all("x-remote-group"),
        "extra": all("x-remote-extra-scopes"), "authorization": all("authorization"), "host": all("host"),
        "audit": all("audit-id").len(), "type": all("content-type"),
    }))
    .into_response()
}

/// Says again what it hears.
async fn upgraded(mut request: Request) -> Response {
    if request.headers().get(header::UPGRADE).is_none_or(|value| value != "echo") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let user = request.headers()["x-remote-user"].to_str().unwrap().to_owned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(format!("{user} says ").as_bytes()).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn api_service(name: &str, more: &Value) -> Value {
    let (version, group) = name.split_once('.').unwrap();
    let mut spec = json!({"group": group, "version": version, "groupPriorityMinimum": 2000, "versionPriority": 200});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec})
}

/// An API service that leads to the service `hook` in `default`.
fn behind_hook(pem: &str) -> Value {
    let service = json!({"namespace": "default", "name": "hook", "port": 7443});
    api_service(NAME, &json!({"service": service, "caBundle": STANDARD.encode(pem)}))
}

/// The message of the condition, as soon as it has this reason.
async fn until(api: &Api, name: &str, reason: &str) -> String {
    let mut lines = api.watch(&format!("{SERVICES}?watch=true&fieldSelector=metadata.name={name}")).await;
    loop {
        let event = lines.next().await.expect("the watch goes on");
        let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let available = conditions.iter().find(|condition| condition["type"] == "Available");
        if let Some(condition) = available.filter(|condition| condition["reason"] == reason) {
            let expected = if ["Passed", "Local"].contains(&reason) { "True" } else { "False" };
            assert_eq!(condition["status"], expected);
            return condition["message"].as_str().unwrap().to_owned();
        }
    }
}

/// Asks again until the answer is as it is to be.
async fn until_answer(api: &Api, path: &str, is: impl Fn(&Reply) -> bool) -> Reply {
    loop {
        let reply = api.get(path).await;
        if is(&reply) {
            return reply;
        }
        tokio::task::yield_now().await;
    }
}

/// The same, of what discovery tells of all groups at once.
async fn until_told(api: &Api, is: impl Fn(&Value) -> bool) -> Value {
    loop {
        let told = api.accept("/apis", AGGREGATED).await.json();
        if is(&told) {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

fn hook_service() -> Value {
    json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"name": "web", "port": 7443, "targetPort": 1}]}})
}

fn slice(server: &HookServer) -> Value {
    let address = server.address();
    json!({"metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
           "ports": [{"name": "web", "port": address.port()}], "endpoints": [{"addresses": [address.ip().to_string()]}]})
}

/// A server that shows those behind it a certificate that they can verify.
async fn start(directory: &std::path::Path) -> Api {
    let proxies = Authority::new();
    let own = serde_json::to_value(proxies.client("aggregator", "x")).unwrap();
    let decoded = |name: &str| STANDARD.decode(own[name].as_str().unwrap()).unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let flags = [
        format!("--requestheader-client-ca-file={}", file("ca.crt", proxies.pem().as_bytes())),
        "--requestheader-allowed-names=aggregator".to_owned(),
        format!("--proxy-client-cert-file={}", file("proxy.crt", &decoded("client-certificate-data"))),
        format!("--proxy-client-key-file={}", file("proxy.key", &decoded("client-key-data"))),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Api::start_configured(&flags, |config| {
        let mut user = component::auth::User::authenticated("jane", "", vec!["ops".into()]);
        user.extra.insert("scopes".into(), vec!["a b".into()]);
        config.authentication.plain = user;
    })
    .await
}

#[tokio::test]
async fn an_extension_server_is_reached_behind_its_service() {
    let Some(address) = own_address() else { return };
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path()).await;
    let wardle = Wardle::start(address).await;
    let flunders = format!("{ROOT}/namespaces/default/flunders");
    assert_eq!(api.get(&flunders).await.code, 404);
    api.post(SERVICES, &behind_hook(&wardle.server.pem)).await.ok();
    let message = until(&api, NAME, "ServiceNotFound").await;
    assert_eq!(message, r#"service/hook in "default" is not present"#);
    let refused = api.get(&flunders).await;
    assert_eq!((refused.code, refused.bytes.as_slice()), (503, b"service unavailable\n".as_slice()));
    api.post("/api/v1/namespaces/default/services", &hook_service()).await.ok();
    until(&api, NAME, "EndpointsNotFound").await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    api.post(slices, &slice(&wardle.server)).await.ok();
    assert_eq!(until(&api, NAME, "Passed").await, "all checks passed");

    let map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let map = until_answer(&api, map, |reply| reply.code == 200).await.json();
    *wardle.believed.lock() = map["data"]["requestheader-client-ca-file"].as_str().map(str::to_owned);
    let headers = [("content-type", "text/x"), ("x-remote-user", "admin"), ("x-remote-group", "system:masters")];
    let asked = api.raw(http::Method::POST, &format!("{flunders}?dryRun=All"), &headers, b"body".to_vec()).await.ok();
    assert_eq!(
        asked,
        json!({
            "method": "POST", "uri": format!("{flunders}?dryRun=All"), "body": "body", "proxy": "aggregator",
            "user": ["jane"], "groups": ["ops", "system:authenticated"], "extra": ["a b"], "authorization": [],
            "host": ["hook.default.svc:7443"], "audit": 1, "type": ["text/x"],
        })
    );
    let mut watch = api.watch(&format!("{flunders}?watch=true")).await;
    assert_eq!(watch.event().await.1, "a");
    assert_eq!(watch.event().await.1, "b");
    assert!(watch.next().await.is_none());
    assert_eq!(upgrade(&api, &format!("{ROOT}/upgrade")).await, "jane says hello");
    let away = api.get(&format!("{ROOT}/away")).await;
    assert_eq!((away.code, away.headers.contains_key("location")), (502, false));
    assert_eq!(api.get(&format!("{ROOT}/head")).await.code, 503);

    api.delete(&format!("{slices}/hook-1")).await.ok();
    until(&api, NAME, "EndpointsNotFound").await;
    assert_eq!(api.get(&flunders).await.code, 503);
    api.delete(&format!("{SERVICES}/{NAME}")).await.ok();
    until_answer(&api, &flunders, |reply| reply.code == 404).await;
    assert!(!api.get("/apis").await.ok().to_string().contains("wardle"));
}

/// What an upgraded connection says.
async fn upgrade(api: &Api, path: &str) -> String {
    let mut stream = TcpStream::connect(api.server.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"says hello") {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "{}", String::from_utf8_lossy(&heard));
    }
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 101"), "{heard}");
    heard.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// An API service that leads to a server on this machine, by a name outside of the cluster.
async fn by_name(api: &Api, server: &HookServer) {
    let service = json!({"metadata": {"name": "hook"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    api.post("/api/v1/namespaces/default/services", &service).await.ok();
    let service = json!({"namespace": "default", "name": "hook", "port": server.address().port()});
    let bundle = STANDARD.encode(&server.pem);
    api.post(SERVICES, &api_service(NAME, &json!({"service": service, "caBundle": bundle}))).await.ok();
}

#[tokio::test]
async fn discovery_tells_of_other_servers_too() {
    let api = Api::start().await;
    let wardle = Wardle::start([127, 0, 0, 1].into()).await;
    by_name(&api, &wardle.server).await;
    until(&api, NAME, "Passed").await;
    let whole = until_told(&api, |told| told.to_string().contains("flunders")).await;
    let groups: Vec<&Value> =
        whole["items"].as_array().unwrap().iter().map(|group| &group["metadata"]["name"]).collect();
    assert_eq!(groups.last().unwrap(), &"wardle.example.com", "its priority is lower than all that is built in");
    let told = &whole["items"].as_array().unwrap().last().unwrap()["versions"][0];
    assert_eq!((&told["freshness"], &told["resources"][0]["verbs"][0]), (&json!("Current"), &json!("create")));
    assert_eq!(told["resources"][0]["subresources"][0]["subresource"], "status");
    assert_eq!(api.get("/apis/wardle.example.com").await.ok()["preferredVersion"]["version"], "v1alpha1");
    assert_eq!(api.get(ROOT).await.ok(), resources());

    let first = json!({"spec": {"groupPriorityMinimum": 20000}});
    api.merge(&format!("{SERVICES}/{NAME}"), &first).await.ok();
    until_told(&api, |told| told["items"][1]["metadata"]["name"] == "wardle.example.com").await;
    drop(wardle);
    until(&api, NAME, "FailedDiscoveryCheck").await;
    let stale = until_told(&api, |told| told.to_string().contains("Stale")).await;
    let told = &stale["items"][1]["versions"][0];
    assert_eq!(told["resources"][0]["resource"], "flunders", "what was known is still told");
    let metrics = String::from_utf8(api.get("/metrics").await.bytes).unwrap();
    assert!(metrics.contains(&format!("aggregator_unavailable_apiservice{{name=\"{NAME}\"}} 1")), "{metrics}");
    let counted = format!("aggregator_unavailable_apiservice_total{{name=\"{NAME}\",reason=\"FailedDiscoveryCheck\"}}");
    assert!(metrics.contains(&counted));
}

#[tokio::test]
async fn servers_prove_who_they_are_unless_nobody_asks() {
    let api = Api::start().await;
    let wardle = Wardle::start([127, 0, 0, 1].into()).await;
    by_name(&api, &wardle.server).await;
    until(&api, NAME, "Passed").await;
    let other = json!({"spec": {"caBundle": STANDARD.encode(Authority::new().pem())}});
    api.merge(&format!("{SERVICES}/{NAME}"), &other).await.ok();
    let message = until(&api, NAME, "FailedDiscoveryCheck").await;
    assert!(message.contains("x509: certificate signed by unknown authority"), "{message}");
    assert_eq!(api.get(&format!("{ROOT}/namespaces/default/flunders")).await.code, 503);
    let any = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}});
    api.merge(&format!("{SERVICES}/{NAME}"), &any).await.ok();
    until(&api, NAME, "Passed").await;
    let patch = json!({"status": {"conditions": [{"type": "Other", "status": "True"}]}});
    let status = format!("{SERVICES}/{NAME}/status");
    api.patch(&status, "application/strategic-merge-patch+json", &patch).await.ok();
    api.merge(&format!("{SERVICES}/{NAME}"), &json!({"spec": {"service": {"port": 1}}})).await.ok();
    until(&api, NAME, "FailedDiscoveryCheck").await;
    let conditions = api.get(&status).await.ok()["status"]["conditions"].clone();
    assert!(conditions.as_array().unwrap().iter().any(|condition| condition["type"] == "Other"), "{conditions}");
}

#[tokio::test]
async fn custom_groups_have_api_services_that_come_back() {
    let api = Api::start().await;
    let name = "v1.example.com";
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                 "versions": [{"name": "v1", "served": true, "storage": true,
                               "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    api.post(definitions, &definition).await.ok();
    assert_eq!(until(&api, name, "Local").await, "Local APIServices are always available");
    let made = api.get(&format!("{SERVICES}/{name}")).await.ok();
    assert_eq!(made["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "true");
    let spec = json!({"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100});
    assert_eq!(made["spec"], spec);
    api.delete(&format!("{SERVICES}/{name}")).await.ok();
    until_answer(&api, &format!("{SERVICES}/{name}"), |reply| {
        reply.code == 200 && reply.json()["metadata"]["uid"] != made["metadata"]["uid"]
    })
    .await;
    api.merge(&format!("{SERVICES}/{name}"), &json!({"spec": {"versionPriority": 7}})).await.ok();
    until_answer(&api, &format!("{SERVICES}/{name}"), |reply| reply.json()["spec"]["versionPriority"] == 100).await;

    // Who takes a group over has precedence over what is defined here, which is served again afterwards.
    let service = json!({"namespace": "default", "name": "none"});
    let label = json!({"metadata": {"labels": null}, "spec": {"service": service}});
    api.merge(&format!("{SERVICES}/{name}"), &label).await.ok();
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    until_answer(&api, widgets, |reply| reply.code == 503).await;
    api.delete(&format!("{SERVICES}/{name}")).await.ok();
    until_answer(&api, widgets, |reply| reply.code == 200).await;
    until(&api, name, "Local").await;
    api.delete(&format!("{definitions}/widgets.example.com")).await.ok();
    until_answer(&api, &format!("{SERVICES}/{name}"), |reply| reply.code == 404).await;
}

#[tokio::test]
async fn a_server_behind_itself_is_found_out() {
    let api = Api::start().await;
    let port: u16 = api.server.secure_url().rsplit(':').next().unwrap().parse().unwrap();
    let service = json!({"metadata": {"name": "self"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    api.post("/api/v1/namespaces/default/services", &service).await.ok();
    let service = json!({"namespace": "default", "name": "self", "port": port});
    let own = api_service(NAME, &json!({"service": service, "insecureSkipTLSVerify": true}));
    api.post(SERVICES, &own).await.ok();
    let message = until(&api, NAME, "FailedDiscoveryCheck").await;
    assert!(message.contains("bad status"), "{message}");
    assert_eq!(api.get("/version").await.code, 200);
}
