//! Ports that a client names beforehand, each with two channels of a WebSocket: data, and what goes wrong.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesUnordered, SplitSink};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use super::super::super::reply::Refusal;
use super::super::websocket::Coding;
use super::Target;

/// How many ports may be named: each has two channels, whose numbers are bytes.
const PORTS_MAX: usize = 100;
/// How many messages wait for a port.
const WAITING: usize = 1;
/// The largest message, in bytes: clients send what they read of a socket at a time.
pub(super) const MESSAGE_MAX: usize = 512 << 10;
/// How long a port may take nothing while something waits for it; then it is closed, because all ports share the client's
/// connection, and the end of that is seen only by reading it.
const STALLED: Duration = Duration::from_secs(60);
/// How much is read of a port at a time.
const READ: usize = 32 << 10;

/// The ports in a query.
pub(super) fn ports(query: &[(String, String)]) -> Result<Vec<u16>, Refusal> {
    let named = query.iter().filter(|(name, _)| name == "port").flat_map(|(_, ports)| ports.split(','));
    let ports: Vec<u16> = named
        .map(|port| {
            let number = port.parse().ok().filter(|number| *number != 0);
            number.ok_or_else(|| Refusal::bad_request(format!("invalid port {port:?}")))
        })
        .collect::<Result<_, _>>()?;
    match ports.len() {
        0 => Err(Refusal::bad_request("query parameter \"port\" is required")),
        1..=PORTS_MAX => Ok(ports),
        _ => Err(Refusal::bad_request(format!("more than {PORTS_MAX} ports"))),
    }
}

type Sink = Mutex<SplitSink<WebSocket, Message>>;

/// Serves the ports until the client is gone or all of them have ended.
pub(super) async fn talk(socket: WebSocket, coding: Coding, ports: Vec<u16>, target: Target) {
    let (sink, mut messages) = socket.split();
    let sink = Sink::new(sink);
    let mut inputs: HashMap<u8, mpsc::Sender<Bytes>> = HashMap::new();
    let mut forwards = FuturesUnordered::new();
    for (number, port) in (0_u8..).step_by(2).zip(ports) {
        let (sender, input) = mpsc::channel(WAITING);
        inputs.insert(number, sender);
        let channel = Channel { sink: &sink, coding, number, port };
        forwards.push(channel.forward(input, &target));
    }
    let until_gone = async {
        while let Some(Ok(message)) = messages.next().await {
            if let Some((number, data)) = coding.unpack(message)
                && let Some(input) = inputs.get(&number)
                && input.send_timeout(data, STALLED).await.is_err()
            {
                // Whoever takes no more has ended, or has to.
                inputs.remove(&number);
            }
        }
    };
    tokio::select! {
        () = until_gone => {}
        () = async { while forwards.next().await.is_some() {} } => {}
    }
    drop(forwards);
    let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
    // Whoever has gone does not want to hear of the end.
    let _ = sink.into_inner().send(Message::Close(Some(frame))).await;
}

/// One port.
struct Channel<'a> {
    sink: &'a Sink,
    coding: Coding,
    number: u8,
    port: u16,
}

impl Channel<'_> {
    async fn forward(self, input: mpsc::Receiver<Bytes>, target: &Target) {
        let port = Bytes::copy_from_slice(&self.port.to_le_bytes());
        // Tells the client which port the channels are of.
        if self.send(self.number, port.clone()).await.is_err() || self.send(self.number + 1, port).await.is_err() {
            return;
        }
        match target.connect(self.port).await {
            Ok(tcp) => {
                let (read, mut write) = tokio::io::split(tcp);
                let mut input = input;
                let to_pod = async {
                    while let Some(piece) = input.recv().await {
                        if write.write_all(&piece).await.is_err() {
                            break;
                        }
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = to_pod => {}
                    () = self.downwards(read) => {}
                }
            }
            // Where nobody listens, nobody misses it.
            Err(why) => drop(self.send(self.number + 1, why.into()).await),
        }
    }

    async fn downwards(&self, mut read: ReadHalf<TcpStream>) {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ);
            let more = matches!(read.read_buf(&mut buffer).await, Ok(read) if read > 0);
            if !more || self.send(self.number, buffer.split().freeze()).await.is_err() {
                return;
            }
        }
    }

    async fn send(&self, number: u8, data: Bytes) -> Result<(), axum::Error> {
        self.sink.lock().await.send(self.coding.pack(number, &data)).await
    }
}
