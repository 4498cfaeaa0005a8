//! Connections that clients make as they go: for each a pair of streams, one for data and one for what goes wrong.

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::spdy::{Accepted, Input, Output, Reset, Stream};
use super::super::transport::Lost;
use super::Target;

/// How long the second stream of a pair may take to come after the first.
const PAIRING: Duration = Duration::from_secs(30);
/// How much is read of a port at a time.
const READ: usize = 32 << 10;

/// Which stream of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Error,
}

/// Half a pair.
struct Half {
    kind: Kind,
    port: u16,
    stream: Stream,
    came: Instant,
}

/// A connection that a client wants.
struct Pair {
    port: u16,
    data: Stream,
    error: Stream,
}

/// Serves pairs until the client is gone.
pub(super) async fn talk(mut accepted: Accepted, target: Target) {
    let mut halves: HashMap<String, Half> = HashMap::new();
    let mut forwards = FuturesUnordered::new();
    loop {
        let oldest = halves.values().map(|half| half.came).min();
        let overdue = async {
            match oldest {
                Some(came) => tokio::time::sleep_until(came + PAIRING).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stream = accepted.next() => {
                let Some(stream) = stream else { return };
                match pair(&mut halves, stream).await {
                    Ok(Some(pair)) => forwards.push(forward(pair, target.clone())),
                    Ok(None) => {}
                    Err(_) => return,
                }
            }
            Some(done) = forwards.next() => if let Err(error) = done { tracing::debug!("port forwarding: {error}") },
            () = overdue => for (_, half) in halves.extract_if(|_, half| half.came.elapsed() >= PAIRING) {
                let _ = half.stream.output.reset(Reset::Refused).await;
            },
        }
    }
}

/// The pair that a stream completes.
async fn pair(halves: &mut HashMap<String, Half>, stream: Stream) -> Result<Option<Pair>, Lost> {
    let Some((kind, port, request)) = read(&stream) else {
        stream.output.reset(Reset::Refused).await?;
        return Ok(None);
    };
    stream.output.reply().await?;
    match halves.remove(&request) {
        None => {
            halves.insert(request, Half { kind, port, stream, came: Instant::now() });
            Ok(None)
        }
        Some(half) if half.kind == kind || half.port != port => {
            half.stream.output.reset(Reset::ProtocolError).await?;
            stream.output.reset(Reset::ProtocolError).await?;
            Ok(None)
        }
        Some(half) => {
            let (data, error) = if kind == Kind::Data { (stream, half.stream) } else { (half.stream, stream) };
            Ok(Some(Pair { port, data, error }))
        }
    }
}

/// What a stream is, of which port, and for which connection; `None` when its headers make no sense.
fn read(stream: &Stream) -> Option<(Kind, u16, String)> {
    let kind = match stream.header("streamtype")? {
        "data" => Kind::Data,
        "error" => Kind::Error,
        _ => return None,
    };
    let port = stream.header("port")?.parse().ok().filter(|port| *port != 0)?;
    let request = match stream.header("requestid") {
        Some(request) => request.to_owned(),
        // Old clients open the stream for errors first, and the other right after it.
        None if kind == Kind::Error => stream.id().to_string(),
        None => stream.id().checked_sub(2)?.to_string(),
    };
    Some((kind, port, request))
}

async fn forward(pair: Pair, target: Target) -> Result<(), Lost> {
    let Pair { port, data, error } = pair;
    let Stream { input, output, .. } = data;
    match target.connect(port).await {
        Ok(tcp) => copy(tcp, input, &output).await,
        Err(why) => error.output.send(why.into()).await?,
    }
    output.finish().await?;
    error.output.finish().await
}

/// Copies both ways until the pod has ended its side, or the client has gone.
async fn copy(tcp: TcpStream, input: Input, output: &Output) {
    let (read, write) = tokio::io::split(tcp);
    let to_pod = async {
        if let Err(error) = upwards(input, write).await {
            tracing::debug!("port forwarding: {error}");
        }
        // What the pod still says is worth waiting for.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = to_pod => {}
        () = downwards(read, output) => {}
        () = output.gone() => {}
    }
}

async fn upwards(mut input: Input, mut write: WriteHalf<TcpStream>) -> std::io::Result<()> {
    while let Some(piece) = input.next().await {
        write.write_all(&piece).await?;
    }
    write.shutdown().await
}

async fn downwards(mut read: ReadHalf<TcpStream>, output: &Output) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        match read.read_buf(&mut buffer).await {
            Ok(0) => return,
            Ok(_) if output.send(buffer.split().freeze()).await.is_ok() => {}
            Ok(_) => return,
            Err(error) => return tracing::debug!("port forwarding: {error}"),
        }
    }
}
