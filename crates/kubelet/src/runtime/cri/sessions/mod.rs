//! Sessions with the runtime's streaming server: each is a connection of its own, upgraded to SPDY/3.1, on which a stream
//! is opened for each of the process' streams, one for the size of its terminal, and one on which the server tells how
//! it ended.
//!
//! The streaming server knows WebSockets, too, on which the end of standard input cannot be told.

mod connection;
mod outcome;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::unfold;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::connection::{Channel, Out};
use super::{OutputChunk, Result, RuntimeError, Session, SessionControl, TerminalSize};
use crate::runtime::error::Source;

const OPERATION: &str = "hold a session";
const PROTOCOL: HeaderValue = HeaderValue::from_static("v4.channel.k8s.io");
/// How much input waits for the connection.
const INPUT: usize = 64 << 10;
/// The longest refusal that is read, in bytes.
const REFUSAL_MAX: usize = 16 << 10;
/// Chunks that wait for whoever reads them, and frames that wait for the connection.
const QUEUED: usize = 16;

/// Streams that are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

impl Wanted {
    fn channels(self) -> impl Iterator<Item = Channel> {
        let all = [
            (Channel::Error, true),
            (Channel::Stdin, self.stdin),
            (Channel::Stdout, self.stdout),
            (Channel::Stderr, self.stderr),
            (Channel::Resize, self.tty),
        ];
        all.into_iter().filter_map(|(channel, wanted)| wanted.then_some(channel))
    }
}

/// Begins the session that is held at this URL.
pub(super) async fn open(url: &str, wanted: Wanted) -> Result<Session> {
    let upgraded = upgrade(url).await?;
    let (out, frames) = mpsc::channel(QUEUED);
    let (chunks, received) = mpsc::channel(QUEUED);
    let (ended, outcome) = watch::channel(None);
    let channels: Vec<Channel> = wanted.channels().collect();
    let held = connection::hold(TokioIo::new(upgraded), channels, frames, chunks, ended);
    let held = AbortOnDropHandle::new(tokio::spawn(held));
    let stdin = wanted.stdin.then(|| {
        let (ours, theirs) = tokio::io::duplex(INPUT);
        let sending = AbortOnDropHandle::new(tokio::spawn(send_input(theirs, out.clone())));
        (ours, sending)
    });
    let (stdin, sending) = stdin.unzip();
    // Whoever has the output holds the connection.
    let output = unfold((received, (held, sending)), |(mut received, held)| async move {
        let chunk: Result<OutputChunk> = received.recv().await?;
        Some((chunk, (received, held)))
    });
    Ok(Session {
        stdin: stdin.map(|stdin| Box::pin(stdin) as _),
        output: output.boxed(),
        control: Box::new(Control { out, outcome, tty: wanted.tty }),
    })
}

async fn send_input(mut input: impl AsyncRead + Unpin, out: mpsc::Sender<Out>) {
    let mut buffer = bytes::BytesMut::new();
    loop {
        buffer.reserve(INPUT / 4);
        let read = input.read_buf(&mut buffer).await.unwrap_or(0);
        let piece =
            if read == 0 { Out::Finish(Channel::Stdin) } else { Out::Data(Channel::Stdin, buffer.split().freeze()) };
        if out.send(piece).await.is_err() || read == 0 {
            return;
        }
    }
}

struct Control {
    out: mpsc::Sender<Out>,
    outcome: watch::Receiver<Option<outcome::Outcome>>,
    tty: bool,
}

#[async_trait]
impl SessionControl for Control {
    async fn resize(&self, size: TerminalSize) -> Result<()> {
        if self.tty {
            let text = format!("{{\"Width\":{},\"Height\":{}}}", size.width, size.height);
            // Where the connection has ended, there is no terminal any more.
            let _ = self.out.send(Out::Data(Channel::Resize, text.into())).await;
        }
        Ok(())
    }

    async fn exit_code(&self) -> Result<i32> {
        let mut outcome = self.outcome.clone();
        let lost = |_| broken("the connection has ended before the process".into());
        let told = outcome.wait_for(Option::is_some).await.map_err(lost)?.clone();
        match told {
            Some(outcome::Outcome::Exited(code)) => Ok(code),
            Some(outcome::Outcome::Failed(message)) => Err(RuntimeError::Refused { operation: OPERATION, message }),
            None => Err(broken("the connection has ended before the process".into())),
        }
    }
}

fn broken(source: Source) -> RuntimeError {
    RuntimeError::Broken { operation: OPERATION, source }
}

/// Connects, and asks for SPDY.
async fn upgrade(url: &str) -> Result<Upgraded> {
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| broken(error.into()))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(broken(format!("the runtime's streaming server is at {url:?}, and not at an http URL").into()));
    };
    let address = (authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| RuntimeError::Unreachable(error.into()))?;
    let _ = stream.set_nodelay(true);
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| RuntimeError::Unreachable(error.into()))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1")
        .header("X-Stream-Protocol-Version", PROTOCOL)
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| broken(error.into()))?;
    let answer = sender.send_request(request).await.map_err(|error| RuntimeError::Unreachable(error.into()))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let code = answer.status();
        let body = Limited::new(answer.into_body(), REFUSAL_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let message = format!("{code}: {}", String::from_utf8_lossy(&body).trim());
        return Err(RuntimeError::Refused { operation: OPERATION, message });
    }
    hyper::upgrade::on(answer).await.map_err(|error| broken(error.into()))
}
