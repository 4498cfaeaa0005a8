//! Nodes, services and pods seen through the server. What is seen listens on this machine's own address, because nobody is
//! led to its loopback.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use component::{
    Daemon,
    serve::{self, certificates},
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::client::Api;

const NAMESPACE: &str = "/api/v1/namespaces/default";

/// This machine's address in its network; nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let address = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("198.51.100.1:9")?;
        Ok(socket.local_addr()?.ip())
    };
    test_needs::need("an address that is not loopback", address())
}

struct World {
    api: Api,
    daemon: Daemon,
    plain: SocketAddr,
    encrypted: SocketAddr,
}

impl Drop for World {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

async fn start() -> Option<World> {
    let own = own_address()?;
    let (api, daemon) = (Api::start().await, Daemon::new());
    let listener = TcpListener::bind((own, 0)).await.unwrap();
    let plain = listener.local_addr().unwrap();
    serve::spawn(listener, None, tower::service_fn(answer), &daemon);
    let listener = TcpListener::bind((own, 0)).await.unwrap();
    let encrypted = listener.local_addr().unwrap();
    let certificate = certificates::make("somebody", &["localhost".to_owned()]).unwrap();
    serve::spawn(listener, Some(serve::tls::server_config(certificate).unwrap()), tower::service_fn(answer), &daemon);
    let world = World { api, daemon, plain, encrypted };
    world.fill(own).await;
    Some(world)
}

impl World {
    async fn fill(&self, own: IpAddr) {
        let (plain, encrypted) = (self.plain.port(), self.encrypted.port());
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
        self.api.post("/api/v1/nodes", &node).await.ok();
        self.node_status(&own.to_string(), encrypted).await;
        let ports = json!([{"name": "web", "containerPort": plain}, {"name": "tls", "containerPort": encrypted}]);
        for name in ["p", "without-address"] {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
                "containers": [{"name": "c", "image": "i", "ports": ports}]}});
            self.api.post(&format!("{NAMESPACE}/pods"), &pod).await.ok();
        }
        self.pod_address(&own.to_string()).await;
        let ports = json!([{"name": "web", "port": 80, "targetPort": plain}, {"name": "tls", "port": 443}]);
        for name in ["s", "without-endpoints", "without-pods"] {
            let service =
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}});
            self.api.post(&format!("{NAMESPACE}/services"), &service).await.ok();
        }
        let ports = json!([{"name": "web", "port": plain}, {"name": "tls", "port": encrypted}]);
        let of_pod = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        for (name, reference) in [("s", of_pod), ("without-pods", Value::Null)] {
            let subset = json!({"addresses": [{"ip": own.to_string(), "targetRef": reference}], "ports": ports});
            let endpoints =
                json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": [subset]});
            self.api.post(&format!("{NAMESPACE}/endpoints"), &endpoints).await.ok();
        }
    }

    async fn node_status(&self, address: &str, port: u16) {
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        self.api.merge("/api/v1/nodes/n/status", &status).await.ok();
    }

    async fn pod_address(&self, address: &str) {
        let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}});
        self.api.merge(&format!("{NAMESPACE}/pods/p/status"), &status).await.ok();
    }

    /// What the other end was asked.
    async fn asked(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
        let reply = self.api.raw(method, path, headers, body.into()).await;
        assert_eq!(reply.code, 200, "{}", String::from_utf8_lossy(&reply.bytes));
        reply.json()
    }
}

/// Tells what it was asked.
async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().path_and_query().unwrap().to_string();
    let builder = Response::builder();
    if request.headers().contains_key(header::UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        if target.ends_with("/refused") {
            return Ok(builder.status(StatusCode::FORBIDDEN).body("not you".into()).unwrap());
        }
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            stream.write_all(format!("{target}\n").as_bytes()).await.unwrap();
            let (mut read, mut write) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let response = builder.status(101).header("connection", "Upgrade").header("upgrade", "something");
        return Ok(response.body(Full::default()).unwrap());
    }
    Ok(match request.uri().path() {
        "/redirect" => builder.status(302).header("location", "/there/?a=b").body(Full::default()).unwrap(),
        "/page" => {
            let builder = builder.header("content-type", "text/html; charset=utf-8");
            builder.body("<a href=\"/there\">there</a>".into()).unwrap()
        }
        "/cross" => {
            let builder = builder.header("access-control-allow-origin", "*").header("x-mine", "1");
            builder.status(418).body("tea".into()).unwrap()
        }
        _ => {
            let (head, body) = request.into_parts();
            let headers: serde_json::Map<String, Value> =
                head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
            let body = body.collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            let told = json!({"method": head.method.as_str(), "target": target, "headers": headers, "body": body});
            Response::new(told.to_string().into())
        }
    })
}

#[tokio::test]
async fn every_method_goes_through_with_query_headers_and_body() {
    let Some(world) = start().await else { return };
    let path = format!("{NAMESPACE}/pods/p/proxy/a/../b%20c/?x=1%202&y");
    let headers = [
        ("x-mine", "1"),
        ("connection", "x-hop"),
        ("x-hop", "2"),
        ("x-forwarded-for", "192.0.2.9"),
        ("x-remote-user", "ann"),
    ];
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let asked = world.asked(method.parse().unwrap(), &path, &headers, "said").await;
        assert_eq!((&asked["method"], &asked["target"]), (&method.into(), &"/b%20c/?x=1%202&y".into()));
        assert_eq!(asked["body"], "said", "{method}");
        let seen = &asked["headers"];
        assert_eq!((&seen["x-mine"], &seen["x-hop"], &seen["connection"]), (&"1".into(), &Value::Null, &Value::Null));
        assert_eq!((&seen["x-forwarded-for"], &seen["x-remote-user"]), (&"192.0.2.9, 127.0.0.1".into(), &Value::Null));
        assert_eq!(seen["x-forwarded-uri"], format!("{NAMESPACE}/pods/p/proxy/b%20c/"));
        assert_eq!(seen["host"], world.api.server.address().to_string());
    }
    let head = world.api.raw(Method::HEAD, &path, &[], Vec::new()).await;
    assert_eq!((head.code, head.bytes.len()), (200, 0));
    let trace = world.api.raw(Method::TRACE, &path, &[], Vec::new()).await;
    assert_eq!(trace.code, 405);
}

#[tokio::test]
async fn ports_are_found_by_name_and_number() {
    let Some(world) = start().await else { return };
    let (plain, encrypted) = (world.plain.port(), world.encrypted.port());
    for place in [
        "pods/p".to_owned(),
        format!("pods/p:{plain}"),
        "pods/p:web".to_owned(),
        "pods/http:p:web".to_owned(),
        "pods/https:p:tls".to_owned(),
        format!("pods/https%3Ap:{encrypted}"),
        "services/s:web".to_owned(),
        "services/s:80".to_owned(),
        "services/https:s:443".to_owned(),
        "services/https:s:tls".to_owned(),
    ] {
        let asked = world.asked(Method::GET, &format!("{NAMESPACE}/{place}/proxy/x"), &[], "").await;
        assert_eq!(asked["target"], "/x", "{place}");
    }
    for place in ["n".to_owned(), format!("n:{encrypted}"), format!("n:{plain}"), format!("http:n:{plain}")] {
        let asked = world.asked(Method::GET, &format!("/api/v1/nodes/{place}/proxy/healthz"), &[], "").await;
        assert_eq!(asked["target"], "/healthz", "{place}");
    }
}

#[tokio::test]
async fn old_paths_lead_there_with_a_warning() {
    let Some(world) = start().await else { return };
    for (old, now) in [
        ("/api/v1/proxy/namespaces/default/pods/p/x", format!("{NAMESPACE}/pods/p/proxy")),
        ("/api/v1/proxy/namespaces/default/services/s:80/x", format!("{NAMESPACE}/services/s:80/proxy")),
        ("/api/v1/proxy/nodes/n/x", "/api/v1/nodes/n/proxy".to_owned()),
    ] {
        let reply = world.api.get(old).await;
        assert_eq!((reply.code, reply.json()["target"].clone()), (200, "/x".into()), "{old}");
        let warning = reply.headers[header::WARNING].to_str().unwrap();
        assert!(warning.starts_with("299 - ") && warning.contains(&format!("use {now}\"")), "{warning}");
    }
}

#[tokio::test]
async fn answers_are_fitted_to_the_place_where_they_are_seen() {
    let Some(world) = start().await else { return };
    let proxy = format!("{NAMESPACE}/services/s:web/proxy");
    let slash = world.api.get(&format!("{proxy}?a=b")).await;
    assert_eq!((slash.code, &slash.headers[header::LOCATION]), (301, &format!("{proxy}/?a=b").parse().unwrap()));
    assert_eq!(world.asked(Method::POST, &proxy, &[], "").await["target"], "/");
    let redirect = world.api.get(&format!("{proxy}/redirect")).await;
    let location = format!("{proxy}/there/?a=b").parse().unwrap();
    assert_eq!((redirect.code, &redirect.headers[header::LOCATION]), (302, &location));
    let page = world.api.get(&format!("{proxy}/page")).await;
    let expected = format!("<a href=\"{proxy}/there\">there</a>");
    assert_eq!(String::from_utf8(page.bytes).unwrap(), expected);
    let cross = world.api.get(&format!("{proxy}/cross")).await;
    assert_eq!((cross.code, cross.bytes.as_slice()), (418, b"tea".as_slice()));
    assert_eq!(
        (cross.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN), &cross.headers["x-mine"]),
        (None, &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn what_cannot_be_reached_is_named() {
    let Some(world) = start().await else { return };
    let unavailable = |text: &str| (503, "ServiceUnavailable".to_owned(), text.to_owned());
    let bad = |text: &str| (400, "BadRequest".to_owned(), text.to_owned());
    let missing = |text: &str| (404, "NotFound".to_owned(), text.to_owned());
    let own = world.plain.ip();
    for (path, expected) in [
        (format!("{NAMESPACE}/pods/ftp:p:1/proxy/"), bad("invalid pod request \"ftp:p:1\"")),
        (format!("{NAMESPACE}/services/a:b:c:d/proxy/"), bad("invalid service request \"a:b:c:d\"")),
        ("/api/v1/nodes/:1/proxy/".to_owned(), bad("invalid node request \":1\"")),
        (format!("{NAMESPACE}/pods/p/proxy/?dryRun=All"), bad("dryRun is not supported")),
        (format!("{NAMESPACE}/pods/without-address/proxy/"), bad("address not allowed")),
        (format!("{NAMESPACE}/pods/absent:80/proxy/"), missing("pods \"absent\" not found")),
        (format!("{NAMESPACE}/services/absent:80/proxy/"), missing("services \"absent\" not found")),
        (format!("{NAMESPACE}/services/without-endpoints/proxy/"), missing("services \"without-endpoints\" not found")),
        ("/api/v1/nodes/absent/proxy/".to_owned(), missing("nodes \"absent\" not found")),
        (format!("{NAMESPACE}/services/s:81/proxy/"), unavailable("no service port 81 found for service \"s\"")),
        (format!("{NAMESPACE}/services/s/proxy/"), unavailable("no endpoints available for service \"s\"")),
        (
            format!("{NAMESPACE}/services/without-pods:web/proxy/"),
            unavailable("no endpoints available for service \"without-pods:web\""),
        ),
        (
            format!("{NAMESPACE}/pods/p:1/proxy/"),
            unavailable(&format!("error trying to reach service: dial tcp {own}:1: connect: connection refused")),
        ),
        (
            format!("{NAMESPACE}/pods/p:70000/proxy/"),
            unavailable("error trying to reach service: dial tcp: address 70000: invalid port"),
        ),
    ] {
        assert_eq!(world.api.get(&path).await.failure(), expected, "{path}");
    }
}

#[tokio::test]
async fn nobody_is_led_to_the_servers_own_loopback() {
    let Some(world) = start().await else { return };
    let loopback = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = loopback.local_addr().unwrap().port();
    let refused = (400, "BadRequest".to_owned(), "address not allowed".to_owned());
    for address in ["127.0.0.1", "localhost", "169.254.169.254", "::1"] {
        world.node_status(address, port).await;
        for place in ["n".to_owned(), format!("n:{port}")] {
            let path = format!("/api/v1/nodes/{place}/proxy/");
            assert_eq!(world.api.get(&path).await.failure(), refused, "{address}");
        }
    }
    for address in ["127.0.0.1", "169.254.169.254", "::1", "0.0.0.0"] {
        world.pod_address(address).await;
        assert_eq!(world.api.get(&format!("{NAMESPACE}/pods/p:{port}/proxy/")).await.failure(), refused, "{address}");
    }
}

/// Sends a request by hand, and gives the connection behind the head of the answer.
async fn by_hand(api: &Api, request: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(api.server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap().to_ascii_lowercase(), stream)
}

fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: something\r\n\r\n")
}

#[tokio::test]
async fn upgrades_are_tunnels() {
    let Some(world) = start().await else { return };
    for place in ["pods/p", "pods/https:p:tls", "services/s:web"] {
        let (head, mut tunnel) = by_hand(&world.api, &upgrade(&format!("{NAMESPACE}/{place}/proxy/a?b=c"))).await;
        assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: something\r\n"), "{head}");
        tunnel.write_all(b"hello").await.unwrap();
        let mut read = [0; 12];
        tunnel.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"/a?b=c\nhello", "{place}");
    }
    let (head, mut body) = by_hand(&world.api, &upgrade(&format!("{NAMESPACE}/pods/p/proxy/refused"))).await;
    assert!(head.starts_with("http/1.1 403"), "{head}");
    let mut text = vec![0; 7];
    body.read_exact(&mut text).await.unwrap();
    assert_eq!(text, b"not you");
}

#[tokio::test]
async fn who_never_answers_is_left_when_the_client_goes() {
    let Some(world) = start().await else { return };
    let listener = TcpListener::bind((world.plain.ip(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Notify::new());
    let noted = asked.clone();
    let left = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.unwrap();
        noted.notify_one();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let mut client = TcpStream::connect(world.api.server.address()).await.unwrap();
    let request = format!("POST {NAMESPACE}/pods/p:{port}/proxy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    asked.notified().await;
    // Others are served meanwhile.
    world.asked(Method::GET, &format!("{NAMESPACE}/pods/p/proxy/x"), &[], "").await;
    drop(client);
    tokio::time::timeout(Duration::from_secs(20), left).await.expect("the connection is closed").unwrap();
}

#[tokio::test]
async fn endless_headers_are_cut_off() {
    let Some(world) = start().await else { return };
    let listener = TcpListener::bind((world.plain.ip(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let written = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let line = format!("X-Filling: {}\r\n", "x".repeat(1000));
        let mut written = 0_usize;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(line.as_bytes()).await.is_ok() {
            written += line.len();
        }
        written
    });
    let failure = world.api.get(&format!("{NAMESPACE}/pods/p:{port}/proxy/")).await.failure();
    assert!(failure.0 == 503 && failure.2.starts_with("error trying to reach service: "), "{failure:?}");
    let written = tokio::time::timeout(Duration::from_secs(20), written).await.expect("the connection is closed");
    assert!(written.unwrap() < 64 << 20);
}

/// A body goes on piece by piece, in both directions, while the other is not complete.
#[tokio::test]
async fn bodies_are_not_collected() {
    let Some(world) = start().await else { return };
    let listener = TcpListener::bind((world.plain.ip(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"5\r\nfirst\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let path = format!("{NAMESPACE}/pods/p:{port}/proxy/");
    let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    let (head, mut body) = by_hand(&world.api, &request).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let mut read = [0; 7];
    body.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"2\r\nok\r\n");
}

#[tokio::test]
async fn discovery_tells_of_connections() {
    let api = Api::start().await;
    let resources = api.get("/api/v1").await.json();
    let all = resources["resources"].as_array().unwrap();
    let verbs = |name: &str| {
        let found = all.iter().find(|resource| resource["name"] == name).unwrap();
        (found["kind"].as_str().unwrap().to_owned(), found["verbs"].to_string())
    };
    for (name, kind) in [
        ("nodes/proxy", "NodeProxyOptions"),
        ("pods/proxy", "PodProxyOptions"),
        ("services/proxy", "ServiceProxyOptions"),
    ] {
        let every = r#"["create","delete","get","patch","update"]"#.to_owned();
        assert_eq!(verbs(name), (kind.to_owned(), every));
    }
    assert_eq!(verbs("pods/portforward"), ("PodPortForwardOptions".to_owned(), r#"["create","get"]"#.to_owned()));
}
