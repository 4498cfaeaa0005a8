//! HTTP GET as probes and lifecycle hooks ask it: no certificate is verified, redirects on the same host are followed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Container, HTTPGetAction};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::check::{dial, port};

/// How much of a body is read, as upstream.
const BODY: usize = 10 * 1024;
/// How many redirects are followed, as Go's client.
const REDIRECTS: usize = 10;

/// What to ask.
#[derive(Debug, Clone)]
pub struct Request {
    /// `http` or `https`.
    scheme: Scheme,
    /// Where to connect.
    address: IpAddr,
    /// Where to connect.
    port: u16,
    /// Path and query, beginning with a slash.
    path: String,
    /// Headers, names as given.
    headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// What was answered.
struct Answer {
    status: http::StatusCode,
    location: Option<String>,
    /// Its beginning.
    body: Bytes,
}

/// What a server that is well has said.
#[derive(Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing remarkable.
    Well,
    /// To ask another host, which was not done.
    Elsewhere(String),
}

impl Request {
    /// The request that an action describes, to the pod's address unless the action names another.
    ///
    /// # Errors
    /// When the port or the host means nothing, in words for an event.
    pub fn from_action(action: &HTTPGetAction, container: &Container, pod: IpAddr) -> Result<Self, String> {
        let address = match action.host.as_deref() {
            None | Some("") => pod,
            Some("localhost") => IpAddr::from([127, 0, 0, 1]),
            Some(host) => host.parse().map_err(|_| format!("host {host:?} is not an address"))?,
        };
        let https = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let path = action.path.as_deref().unwrap_or("/");
        let headers = action.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        Ok(Self {
            scheme: if https { Scheme::Https } else { Scheme::Http },
            address,
            port: port(&action.port, container)?,
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            headers: headers.collect(),
        })
    }

    fn url(&self) -> String {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    fn authority(&self) -> String {
        std::net::SocketAddr::new(self.address, self.port).to_string()
    }

    /// The request that a redirect asks for, if it stays on the same host.
    fn redirected(&self, location: &str) -> Option<Self> {
        let path = match location.strip_prefix(&self.url()[..self.url().len() - self.path.len()]) {
            Some(rest) => rest,
            None => location,
        };
        path.starts_with('/').then(|| Self { path: path.to_owned(), ..self.clone() })
    }
}

/// Asks, and takes any answer for a success, as lifecycle hooks do.
///
/// # Errors
/// That there was no answer, in upstream's words.
pub async fn ask_once(request: &Request, timeout: Duration) -> Result<(), String> {
    answered(request, timeout).await.map(drop)
}

/// Asks; anything from 200 to 399 is a success.
///
/// # Errors
/// What was seen instead, in upstream's words.
pub async fn probe(request: &Request, timeout: Duration) -> Result<Health, String> {
    let answer = answered(request, timeout).await?;
    match answer.status.as_u16() {
        200..300 => Ok(Health::Well),
        300..400 => {
            let body = String::from_utf8_lossy(&answer.body);
            Ok(Health::Elsewhere(format!("Probe terminated redirects, Response body: {body}")))
        }
        code => Err(format!("HTTP probe failed with statuscode: {code}")),
    }
}

async fn answered(request: &Request, timeout: Duration) -> Result<Answer, String> {
    match tokio::time::timeout(timeout, follow(request.clone(), timeout)).await {
        Err(_) => Err(format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            request.url()
        )),
        Ok(answer) => answer.map_err(|error| format!("Get {:?}: {error}", request.url())),
    }
}

async fn follow(mut request: Request, timeout: Duration) -> Result<Answer, String> {
    for _ in 0..REDIRECTS {
        let answer = ask(&request, timeout).await?;
        let next = answer.location.as_deref().filter(|_| answer.status.is_redirection());
        match next.and_then(|location| request.redirected(location)) {
            Some(redirected) => request = redirected,
            None => return Ok(answer),
        }
    }
    Err(format!("stopped after {REDIRECTS} redirects"))
}

async fn ask(request: &Request, timeout: Duration) -> Result<Answer, String> {
    let stream = dial(request.address, request.port, timeout).await?;
    match request.scheme {
        Scheme::Http => send(stream, request).await,
        Scheme::Https => {
            let name = rustls::pki_types::ServerName::from(request.address);
            let stream = TlsConnector::from(tls_config()).connect(name, stream).await.map_err(|e| e.to_string())?;
            send(stream, request).await
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: &Request,
) -> Result<Answer, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let asked = build(request)?;
    let exchange = async {
        let response = sender.send_request(asked).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let location = response.headers().get(http::header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A server may mind a client that hangs up.
        let body = Limited::new(response.into_body(), BODY).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer { status, location, body })
    };
    tokio::select! {
        answer = exchange => answer,
        Err(error) = connection => Err(error.to_string()),
    }
}

fn build(request: &Request) -> Result<http::Request<Empty<Bytes>>, String> {
    let given = |name: &str| request.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    let mut builder = http::Request::get(&request.path);
    if !given("host") {
        builder = builder.header(http::header::HOST, request.authority());
    }
    if !given("user-agent") {
        builder = builder.header(http::header::USER_AGENT, "kube-probe/1.36");
    }
    if !given("accept") {
        builder = builder.header(http::header::ACCEPT, "*/*");
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder.header(http::header::CONNECTION, "close").body(Empty::new()).map_err(|error| error.to_string())
}

/// Trusts everybody: a pod's certificate proves nothing to the kubelet.
fn tls_config() -> Arc<rustls::ClientConfig> {
    static CONFIG: std::sync::LazyLock<Arc<rustls::ClientConfig>> = std::sync::LazyLock::new(|| {
        let config = component::serve::tls::client_config(None, None);
        Arc::new(config.expect("the provider supports the default versions"))
    });
    Arc::clone(&CONFIG)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection after the other with these texts.
    async fn serve(answers: Vec<&'static str>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    fn request(port: u16) -> Request {
        let action = HTTPGetAction { port: api_types::IntOrString::Int(i32::from(port)), ..HTTPGetAction::default() };
        Request::from_action(&action, &Container::default(), IpAddr::from([127, 0, 0, 1])).unwrap()
    }

    #[tokio::test]
    async fn status_codes_decide() {
        let cases = [
            (vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], Ok(Health::Well)),
            (
                vec!["HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 2\r\n\r\nno"],
                Ok(Health::Elsewhere("Probe terminated redirects, Response body: no".to_owned())),
            ),
            (
                vec![
                    "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
                    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                ],
                Ok(Health::Well),
            ),
            (
                vec![
                    "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
                    "HTTP/1.1 503 Oh\r\ncontent-length: 0\r\n\r\n",
                ],
                Err("HTTP probe failed with statuscode: 503".to_owned()),
            ),
            (
                vec!["HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"],
                Err("HTTP probe failed with statuscode: 500".to_owned()),
            ),
        ];
        for (answers, expected) in cases {
            let port = serve(answers.clone()).await;
            assert_eq!(probe(&request(port), Duration::from_secs(5)).await, expected, "{answers:?}");
        }
    }

    #[tokio::test]
    async fn refusals_are_told_in_gos_words() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = probe(&request(port), Duration::from_secs(5)).await.unwrap_err();
        let expected =
            format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(error, expected);
    }
}
