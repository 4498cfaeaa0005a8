//! One server behind this one: what comes for it is passed on, and what it answers is passed back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use component::{Daemon, auth::User, files::FromFiles};
use futures::future::BoxFuture;
use http::{HeaderMap, Request as HttpRequest, Response as HttpResponse, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Either, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::sign::CertifiedKey;

use super::identity;
use crate::{
    catalogue::{Answer, Forwarded, Request},
    handlers::connect::{forwarded_headers, keep_to_client, passed_on, tunnel},
    registry::admission::Handle,
    request::user::MASTERS,
    serving::{Response, respond},
    webhook::{Belief, Connector, Otherwise, Place, innermost, tls},
};

/// So many connections are kept when nobody is asking, and for so long.
const KEPT: usize = 32;
const KEPT_FOR: Duration = Duration::from_secs(90);
/// How much is read of an answer's head, in bytes.
const HEAD_MAX: usize = 256 << 10;
/// Through so many proxies a request goes at most: a server that is behind itself is found out.
const HOPS_MAX: usize = 8;

/// What is sent: what the client sends, or nothing.
type Outgoing = Either<Incoming, Empty<Bytes>>;

/// Where a server is, and how both ends know each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of its service.
    pub namespace: String,
    /// The service's name.
    pub name: String,
    /// The service's port.
    pub port: u16,
    /// Whose certificates it may have.
    pub belief: Belief,
}

/// How this server reaches those behind it.
#[derive(Clone)]
pub struct Means {
    /// What they are shown, so that they believe who asks.
    pub identity: Option<Arc<FromFiles<CertifiedKey>>>,
    /// Where a service is of which no endpoint is known.
    pub otherwise: Otherwise,
}

/// A server behind this one.
pub struct Remote {
    settings: Settings,
    /// `name.namespace.svc:port`.
    authority: String,
    client: Result<Client<Connector, Outgoing>, String>,
    available: AtomicBool,
    daemon: Daemon,
}

/// What a server says to a question of this one's own.
pub struct Said {
    /// The status.
    pub status: StatusCode,
    /// All that it says.
    pub body: Bytes,
}

impl Remote {
    /// The way to a server; nothing is connected yet.
    #[must_use]
    pub fn new(settings: Settings, means: &Means, registry: &Handle, daemon: &Daemon) -> Self {
        let Settings { namespace, name, port, belief } = &settings;
        let place =
            Place::Service { namespace: namespace.clone(), name: name.clone(), port: *port, path: String::new() };
        let connector =
            tls(belief, means.identity.clone()).and_then(|tls| Connector::new(&place, tls, registry, means.otherwise));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT_FOR).pool_max_idle_per_host(KEPT);
        builder.http1_max_buf_size(HEAD_MAX);
        Self {
            authority: format!("{name}.{namespace}.svc:{port}"),
            client: connector.map(|connector| builder.build(connector)),
            available: AtomicBool::new(false),
            daemon: daemon.clone(),
            settings,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether requests are passed on.
    pub fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Relaxed);
    }

    /// Asks on this server's own behalf; of the answer at most so many bytes are read.
    ///
    /// # Errors
    /// Why there is none, in words for people.
    pub async fn ask(&self, path: &str, headers: HeaderMap, most: usize) -> Result<Said, String> {
        let mut request = HttpRequest::new(Either::Right(Empty::new()));
        *request.uri_mut() = path.parse().map_err(|error| format!("{path}: {error}"))?;
        *request.headers_mut() = headers;
        let own = User { name: OWN_NAME.into(), groups: vec![MASTERS.into()], ..User::default() };
        identity::name(&own, request.headers_mut()).map_err(|error| error.to_string())?;
        let answer = self.send(request).await.map_err(|refused| refused.message)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|error| innermost(&*error))?;
        Ok(Said { status: head.status, body: body.to_bytes() })
    }

    /// The address of a path there, as people are told of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.authority)
    }

    async fn send(&self, mut request: HttpRequest<Outgoing>) -> Result<HttpResponse<Incoming>, Refused> {
        let client = self.client.as_ref().map_err(|why| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why))?;
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let uri = self.url(path).parse();
        *request.uri_mut() =
            uri.map_err(|error: http::uri::InvalidUri| Refused::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
        *request.version_mut() = http::Version::HTTP_11;
        let unreachable = |error: Error| {
            let why = format!("error trying to reach service: {}", innermost(&error));
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, &why)
        };
        client.request(request).await.map_err(unreachable)
    }

    async fn pass_on(&self, mut request: Request) -> Result<Response, Refused> {
        if !self.available.load(Ordering::Relaxed) {
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable"));
        }
        let upgrade = tunnel::is_upgrade(request.headers());
        let mut asked = HttpRequest::new(Either::Right(Empty::new()));
        *asked.method_mut() = request.method().clone();
        *asked.uri_mut() = request.http.uri().clone();
        *asked.headers_mut() = headers(&request, upgrade)?;
        if !upgrade {
            *asked.body_mut() = Either::Left(request.http.into_body());
            return Ok(answered(self.send(asked).await?));
        }
        let answer = self.send(asked).await?;
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(tunnel::join(&self.daemon, &mut request, answer)),
            _ => Ok(answered(answer)),
        }
    }
}

/// As which this server asks of its own accord.
const OWN_NAME: &str = "system:kube-aggregator";

impl Forwarded for Remote {
    fn forward(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(async move { Ok(self.pass_on(request).await.unwrap_or_else(Refused::told)) })
    }
}

/// What another server is told of a request besides the path.
fn headers(request: &Request, upgrade: bool) -> Result<HeaderMap, Refused> {
    let mut headers = forwarded_headers(request);
    let hops = headers.get("x-forwarded-for").map_or(0, |hops| hops.as_bytes().split(|byte| *byte == b',').count());
    if hops > HOPS_MAX {
        return Err(Refused::new(StatusCode::LOOP_DETECTED, "the request has come through too many proxies"));
    }
    // It is another server by another name.
    headers.remove(header::HOST);
    if upgrade {
        headers.extend(tunnel::agreement(request.headers()));
    }
    let bad = |error: http::Error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
    if let Ok(id) = request.id.parse() {
        headers.insert("audit-id", id);
    }
    identity::name(&request.user, &mut headers).map_err(bad)?;
    Ok(headers)
}

fn answered(answer: HttpResponse<Incoming>) -> Response {
    // Whoever answers must not lead clients elsewhere in this server's name.
    if answer.status().is_redirection() && answer.headers().contains_key(header::LOCATION) {
        let why = "the backend attempted to redirect this request, which is not permitted";
        return Refused::new(StatusCode::BAD_GATEWAY, why).told();
    }
    let (mut head, body) = answer.into_parts();
    keep_to_client(&mut head.headers);
    Response::from_parts(head, passed_on(body))
}

/// Why nothing is passed back, which clients are told in plain text, as upstream.
struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, message: &str) -> Self {
        Self { status, message: message.to_owned() }
    }

    fn told(self) -> Response {
        respond::text(self.status, format!("{}\n", self.message))
    }
}
