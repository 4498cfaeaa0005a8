//! The gRPC health protocol, of which a probe needs one call with two small messages.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::check::dial;

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u8 = 1;
/// Far more than a health check's answer needs.
const ANSWER: usize = 4096;

/// Asks whether `service` (empty: the whole server) is serving.
///
/// # Errors
/// What was seen instead, in upstream's words.
pub(super) async fn probe(address: SocketAddr, service: Option<&str>, timeout: Duration) -> Result<(), String> {
    let late = format!("timeout: failed to connect service {address:?} within {timeout:?}: context deadline exceeded");
    let answer = tokio::time::timeout(timeout, ask(address, service.unwrap_or_default(), timeout)).await;
    let answer = answer.map_err(|_| late)??;
    match state(&answer) {
        Some(SERVING) => Ok(()),
        Some(other) => {
            let name = STATES.get(usize::from(other)).copied().unwrap_or("UNKNOWN");
            Err(format!("service unhealthy (responded with {name:?})"))
        }
        None => Err("error: health rpc failed: the answer makes no sense".to_owned()),
    }
}

async fn ask(address: SocketAddr, service: &str, timeout: Duration) -> Result<Bytes, String> {
    let stream = dial(address.ip(), address.port(), timeout).await?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let request = http::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .header(http::header::USER_AGENT, "kube-probe/1.36")
        .body(Full::new(question(service)))
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let failed = refusal(response.headers());
        let collected = Limited::new(response.into_body(), ANSWER).collect().await.map_err(|e| e.to_string())?;
        match failed.or_else(|| collected.trailers().and_then(refusal)) {
            Some(refused) => Err(refused),
            None => Ok(collected.to_bytes()),
        }
    };
    tokio::select! {
        answer = exchange => answer,
        Err(error) = connection => Err(error.to_string()),
    }
}

/// gRPC's own status, when it is not 0.
fn refusal(headers: &http::HeaderMap) -> Option<String> {
    let code = headers.get("grpc-status")?.to_str().ok()?;
    let message = headers.get("grpc-message").and_then(|message| message.to_str().ok()).unwrap_or_default();
    (code != "0").then(|| format!("error: health rpc failed: rpc error: code = {code} desc = {message}"))
}

/// A message is a flag byte, a length and the message: here field 1, the service's name.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

fn put_varint(message: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        message.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    message.put_u8(u8::try_from(value).unwrap_or(0));
}

/// Field 1 of the answer, a small enum; an empty message means 0.
fn state(answer: &[u8]) -> Option<u8> {
    match answer.get(5..)? {
        [] => Some(0),
        [0x08, state, ..] => Some(*state),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(question("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(question(&"x".repeat(200))[5..8], [0x0a, 0xc8, 1]);
        assert_eq!(state(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(state(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(state(&[0, 0]), None);
    }
}
