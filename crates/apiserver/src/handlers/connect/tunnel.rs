//! Upgraded connections (`exec`, `attach`): once the kubelet has agreed, bytes go both ways and nobody here reads them.

use api_types::StatusError;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{
    client::{Address, KubeletClient},
    passed_on, refusal, unreachable,
};
use crate::{
    catalogue::{Answer, Request},
    serving::Body,
};

/// Headers that belong to the agreement about the upgrade.
const PASSED_ON: &[&str] = &[
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "x-stream-protocol-version",
];

/// Opens a tunnel between the client and the kubelet.
pub(super) async fn open(kubelet: &KubeletClient, mut request: Request, address: &Address, path: &str) -> Answer {
    if !request.headers().contains_key(header::UPGRADE) {
        return Err(StatusError::bad_request("Upgrade request required"));
    }
    let headers = passed_on_headers(request.headers());
    let method = if request.method() == Method::POST { Method::POST } else { Method::GET };
    let mut response = kubelet.send(address, method, path, headers).await.map_err(|error| unreachable(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if response.status().is_success() {
            return Ok(Response::new(passed_on(response.into_body())));
        }
        return Err(refusal(response).await);
    }
    let server = hyper::upgrade::on(&mut response);
    let client = hyper::upgrade::on(&mut request.http);
    let daemon = kubelet.daemon();
    let shutdown = daemon.shutdown.clone();
    daemon.spawn(async move {
        shutdown.run_until_cancelled(copy(client, server)).await;
    });
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = passed_on_headers(response.headers());
    if let Some(accept) = response.headers().get(header::SEC_WEBSOCKET_ACCEPT) {
        answer.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
    }
    Ok(answer)
}

fn passed_on_headers(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in PASSED_ON {
        let name = HeaderName::from_static(name);
        for value in headers.get_all(&name) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

async fn copy(client: OnUpgrade, server: OnUpgrade) {
    let (client, server) = match tokio::try_join!(client, server) {
        Ok(both) => both,
        Err(error) => return tracing::debug!("upgrade: {error}"),
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        tracing::debug!("tunnel: {error}");
    }
}
