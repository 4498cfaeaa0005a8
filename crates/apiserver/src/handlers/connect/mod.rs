//! Requests that are passed on: to the kubelet of a pod (`log`, `exec`, `attach`, `portforward`), and to whatever
//! a node, a service or a pod serves (`proxy`).

mod client;
mod hop;
mod log;
mod options;
mod proxy;
mod target;
pub mod tunnel;

use std::sync::Arc;

use api_types::{GroupResource, Object, StatusError, core, meta};
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture};
use http::StatusCode;
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper::body::Incoming;
use serde_json::Value;

pub use client::{KubeletClient, KubeletTls};
pub use log::Log;
pub use proxy::{Of, Proxy, forwarded_headers, keep_to_client};

use self::client::{Backend, Peer, Reach};
use super::{Answer, Call};
use crate::{
    catalogue::{Endpoint, Request},
    registry::{Door, Operation, Review, Target, Write, WriteOptions},
    request::Query,
    serving::{Body, BodyError},
};

/// `/exec`, `/attach` and `/portforward` of a pod.
pub struct Stream {
    /// The way to kubelets.
    pub kubelet: Arc<KubeletClient>,
    /// What is wanted of them.
    pub session: Session,
}

/// A session that a kubelet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// A command in a container.
    Exec,
    /// The main process of a container.
    Attach,
    /// Ports of a pod.
    PortForward,
}

impl Endpoint for Stream {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            options::refuse_dry_run(&request)?;
            review(call, &request).await?;
            let object = call.registry().get_object(call.rest, call.target()).await?;
            self.open(call, request, object.expect_ref("Pod")?).await
        })
    }
}

impl Stream {
    async fn open(&self, call: &Call<'_>, request: Request, pod: &core::Pod) -> Answer {
        let path = self.session.path(pod, &request.query)?;
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let node = target::node(pod)
            .ok_or_else(|| StatusError::bad_request(format!("pod {name} does not have a host assigned")))?;
        let backend = kubelet_of(&self.kubelet, call, node).await?;
        if !tunnel::is_upgrade(request.headers()) {
            return Err(StatusError::bad_request("Upgrade request required"));
        }
        let headers = tunnel::agreement(request.headers());
        tunnel::open(&self.kubelet, request, &backend, &path, headers).await
    }
}

impl Session {
    /// The kubelet's path for it.
    fn path(self, pod: &core::Pod, query: &Query) -> Result<String, StatusError> {
        let verb = match self {
            Self::PortForward => return Ok(target::port_forward_path(pod, query)),
            Self::Exec => "exec",
            Self::Attach => "attach",
        };
        let container = target::container(pod, query.get("container"))?;
        Ok(target::stream_path(verb, pod, &container, query))
    }
}

/// Asks admission whether it has anything against a connection, and gives the connection's options.
///
/// Reading logs is no connection to upstream's plugins; but it leads into the cluster like the others, and a plugin knows
/// the doors by their names.
async fn review(call: &Call<'_>, request: &Request) -> Result<Value, StatusError> {
    let door = Door {
        operation: Operation::Connect,
        row: &call.rest.row,
        subresource: &call.place.subresource,
        target: call.target(),
    };
    let (_, _, kind) = door.kind();
    let options = options::of(kind, &request.query, &call.place.rest)?;
    let write = Write::new(&request.user, WriteOptions::default());
    let mut review = Review::connection(door, &write, &options);
    call.registry().admit(&mut review).await?;
    call.registry().validate(&review).await?;
    Ok(options)
}

/// The kubelet of a node, for a request about something else than the node.
async fn kubelet_of(kubelet: &KubeletClient, call: &Call<'_>, node: &str) -> Result<Backend, StatusError> {
    let object = related(call, "nodes", Target { namespace: "", name: node }).await?;
    let address = kubelet.address(object.expect_ref("Node")?).map_err(plain)?;
    Ok(Backend { address, peer: Peer::Kubelet, reach: Reach::Anywhere })
}

/// An object of another resource than the request's. When there is none, upstream says so in terms of the request's
/// resource: `pods "node-1" not found`.
async fn related(call: &Call<'_>, plural: &str, target: Target<'_>) -> Result<Box<dyn Object>, StatusError> {
    let rest = call.registry().core(plural)?;
    let row = &call.rest.row;
    call.registry().get_object(&rest, target).await.map_err(|error| match error.code() {
        404 => StatusError::not_found(GroupResource::new(&row.group, &row.plural), target.name),
        _ => error,
    })
}

/// 500 without a reason, which is how upstream tells of errors that it has no name for.
fn plain(message: impl Into<String>) -> StatusError {
    StatusError::from(meta::Status {
        status: Some("Failure".into()),
        code: Some(500),
        message: Some(message.into()),
        ..meta::Status::default()
    })
}

/// The longest text of a kubelet's error that is passed on, in bytes.
const REFUSAL_MAX: usize = 50_000;

/// A kubelet's error in the kubelet's words.
async fn refusal(response: http::Response<Incoming>) -> StatusError {
    let code = response.status();
    let text = match Limited::new(response.into_body(), REFUSAL_MAX).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    match code {
        StatusCode::BAD_REQUEST => StatusError::bad_request(text),
        StatusCode::INTERNAL_SERVER_ERROR => StatusError::internal(text),
        code => StatusError::from(meta::Status {
            status: Some("Failure".into()),
            code: Some(code.as_u16().into()),
            reason: Some(reason(code).into()),
            message: Some(text),
            ..meta::Status::default()
        }),
    }
}

/// Upstream's reason for a code that another server answered with.
fn reason(code: StatusCode) -> &'static str {
    match code {
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::GATEWAY_TIMEOUT => "Timeout",
        _ => "Unknown",
    }
}

/// The pieces of an answer as they come.
fn pieces(body: Incoming) -> impl futures::Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    BodyStream::new(body).filter_map(|frame| async {
        match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(error.into())),
        }
    })
}

/// What another server answers, passed on as it comes.
pub fn passed_on(body: Incoming) -> Body {
    Body::stream(pieces(body))
}
