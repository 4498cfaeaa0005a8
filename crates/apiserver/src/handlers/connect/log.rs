//! `/log` of a pod: what the kubelet answers, over HTTP or a WebSocket.

use std::sync::Arc;

use api_types::StatusError;
use axum::extract::{
    FromRequestParts,
    ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use http::{HeaderValue, StatusCode, header, request::Parts};
use http_body_util::Empty;
use hyper::body::Incoming;

use super::{KubeletClient, client::Peer, kubelet_of, options, passed_on, pieces, plain, refusal, review, target};
use crate::{
    catalogue::{Answer, Call, Endpoint, Request},
    serving::{Body, respond},
};

/// `/log` of a pod.
pub struct Log {
    /// The way to kubelets.
    pub kubelet: Arc<KubeletClient>,
}

impl Endpoint for Log {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(self.log(call, request))
    }
}

impl Log {
    async fn log(&self, call: &Call<'_>, request: Request) -> Answer {
        let options = review(call, &request).await?;
        options::validate_log(&call.place.name, &options)?;
        let object = call.registry().get_object(call.rest, call.target()).await?;
        let pod = object.expect_ref("Pod")?;
        let container = target::container(pod, request.query.get("container"))?;
        let Some(node) = target::node(pod) else {
            // Nothing runs yet, so nothing has been logged.
            let mut nothing = http::Response::new(Body::Empty);
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            return Ok(nothing);
        };
        let mut backend = kubelet_of(&self.kubelet, call, node).await?;
        if options["insecureSkipTLSVerifyBackend"] == true {
            backend.peer = Peer::UnverifiedKubelet;
        }
        let path = target::log_path(pod, &container, &options);
        let asked = http::Request::get(&path).body(Empty::<Bytes>::new());
        let asked = asked.map_err(|error| plain(error.to_string()))?;
        let unreachable = |error| plain(format!("Get \"https://{}{path}\": {error}", backend.address));
        let response = self.kubelet.send(&backend, asked).await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let (head, body) = response.into_parts();
        if let Some(upgrade) = websocket(request).await {
            return over_websocket(upgrade?, body);
        }
        let media_type = head.headers.get(header::CONTENT_TYPE).cloned();
        let media_type = media_type.unwrap_or(HeaderValue::from_static("text/plain"));
        Ok(respond::with_type(StatusCode::OK, media_type, passed_on(body)))
    }
}

/// How a log is written in messages, by subprotocol; a client that names none gets bytes.
const PROTOCOLS: [&str; 2] = ["binary.k8s.io", BASE64];
const BASE64: &str = "base64.binary.k8s.io";

/// The handshake of a request for a WebSocket; `None` for any other.
async fn websocket(request: Request) -> Option<Result<WebSocketUpgrade, StatusError>> {
    let asked = request.headers().get(header::UPGRADE)?;
    if !asked.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return None;
    }
    let mut parts: Parts = request.http.into_parts().0;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|error| StatusError::bad_request(error.body_text()));
    Some(upgrade.map(|upgrade| upgrade.protocols(PROTOCOLS)))
}

fn over_websocket(upgrade: WebSocketUpgrade, log: Incoming) -> Answer {
    let base64 = upgrade.selected_protocol().is_some_and(|protocol| protocol.as_bytes() == BASE64.as_bytes());
    let answer = upgrade.on_upgrade(move |socket| write(socket, log, base64).boxed());
    let (head, _) = answer.into_parts();
    Ok(http::Response::from_parts(head, Body::Empty))
}

/// Sends the log, until it or the client has ended.
async fn write(socket: WebSocket, log: Incoming, base64: bool) {
    let (mut sink, mut messages) = socket.split();
    let message = move |data: Bytes| match base64 {
        true => Message::Text(STANDARD.encode(&data).into()),
        false => Message::Binary(data),
    };
    let written = async {
        // Tells the client that there is a log, however long nothing is logged.
        sink.send(message(Bytes::new())).await?;
        let mut pieces = std::pin::pin!(pieces(log));
        while let Some(Ok(piece)) = pieces.next().await {
            sink.send(message(piece)).await?;
        }
        let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
        sink.send(Message::Close(Some(frame))).await
    };
    // What the client says means nothing, but it has to be read to see it go.
    let gone = async { while let Some(Ok(_)) = messages.next().await {} };
    tokio::select! {
        result = written => if let Err(error) = result { tracing::debug!("a log over a WebSocket: {error}") },
        () = gone => {}
    }
}
