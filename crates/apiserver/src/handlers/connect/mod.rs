//! Requests that are passed on to the kubelet of a pod: `log`, `exec`, `attach`.

mod client;
mod options;
mod target;
mod tunnel;

use std::sync::Arc;

use api_types::{Object, StatusError, core};
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper::body::Incoming;

pub use client::{KubeletClient, KubeletTls};

use super::{Answer, Call};
use crate::{
    catalogue::{Endpoint, Request},
    registry::{Door, Operation, Review, Target, Write, WriteOptions},
    serving::{Body, BodyError, respond},
};

/// `/log` of a pod.
pub struct Log {
    /// The way to kubelets.
    pub kubelet: Arc<KubeletClient>,
}

impl Endpoint for Log {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let object = reviewed(call, &request).await?;
            log(&self.kubelet, call, &request, object.expect_ref("Pod")?).await
        })
    }
}

/// `/exec` and `/attach` of a pod.
pub struct Stream {
    /// The way to kubelets.
    pub kubelet: Arc<KubeletClient>,
    /// What the kubelet calls it.
    pub verb: &'static str,
}

impl Endpoint for Stream {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let object = reviewed(call, &request).await?;
            self.open(call, request, object.expect_ref("Pod")?).await
        })
    }
}

/// What the connection leads to, once admission has nothing against it.
///
/// Reading logs is no connection to upstream's plugins; but it leads into the cluster like the others, and a plugin knows
/// the doors by their names.
async fn reviewed(call: &Call<'_>, request: &Request) -> Result<Box<dyn Object>, StatusError> {
    let door = Door {
        operation: Operation::Connect,
        row: &call.rest.row,
        subresource: &call.place.subresource,
        target: call.target(),
    };
    let (_, _, kind) = door.kind();
    let options = options::of(kind, &request.query)?;
    let write = Write::new(&request.user, WriteOptions::default());
    let mut review = Review::connection(door, &write, &options);
    call.registry().admit(&mut review).await?;
    call.registry().validate(&review).await?;
    call.registry().get_object(call.rest, call.target()).await
}

async fn log(kubelet: &KubeletClient, call: &Call<'_>, request: &Request, pod: &core::Pod) -> Answer {
    let container = target::container(pod, request.query.get("container"))?;
    let Some(node) = target::node(pod) else {
        // Nothing runs yet, so nothing has been logged.
        return Ok(respond::text(StatusCode::OK, Body::Empty));
    };
    let address = node_address(kubelet, call, node).await?;
    let path = target::log_path(pod, &container, &request.query);
    let response = kubelet.get(&address, &path).await.map_err(|error| unreachable(&error))?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
    let media_type = media_type.unwrap_or(HeaderValue::from_static("text/plain"));
    Ok(respond::with_type(StatusCode::OK, media_type, passed_on(response.into_body())))
}

impl Stream {
    async fn open(&self, call: &Call<'_>, request: Request, pod: &core::Pod) -> Answer {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let container = target::container(pod, request.query.get("container"))?;
        let node = target::node(pod)
            .ok_or_else(|| StatusError::bad_request(format!("pod {name} does not have a host assigned")))?;
        let address = node_address(&self.kubelet, call, node).await?;
        let path = target::stream_path(self.verb, pod, &container, &request.query);
        tunnel::open(&self.kubelet, request, &address, &path).await
    }
}

/// Where the kubelet of a node listens.
async fn node_address(kubelet: &KubeletClient, call: &Call<'_>, node: &str) -> Result<client::Address, StatusError> {
    let nodes = call.registry().core("nodes")?;
    let object = call.registry().get_object(&nodes, Target { namespace: "", name: node }).await?;
    let found = object.downcast_ref::<core::Node>().and_then(|node| kubelet.address(node));
    found.ok_or_else(|| StatusError::internal(format!("no preferred addresses found; known addresses: of node {node}")))
}

fn unreachable(error: &dyn std::fmt::Display) -> StatusError {
    StatusError::internal(error)
}

/// The longest text of a kubelet's error that is passed on, in bytes.
const REFUSAL_MAX: usize = 4096;

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
        code => StatusError::from(api_types::meta::Status {
            status: Some("Failure".into()),
            code: Some(code.as_u16().into()),
            reason: Some(if code == StatusCode::NOT_FOUND { "NotFound" } else { "Unknown" }.into()),
            message: Some(text),
            ..api_types::meta::Status::default()
        }),
    }
}

fn passed_on(body: Incoming) -> Body {
    Body::stream(BodyStream::new(body).filter_map(|frame| async {
        match frame {
            Ok(frame) => frame.into_data().ok().map(Ok::<Bytes, BodyError>),
            Err(error) => Some(Err(error.into())),
        }
    }))
}
