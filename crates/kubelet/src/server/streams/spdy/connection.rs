//! A connection on which a client opens streams.
//!
//! Nothing that comes is collected without bound: a stream holds a few pieces, and while they are not taken, nothing
//! more is read. What is sent waits for the connection, not for the client's window: the clients that there are
//! neither read nor grant windows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use component::CancellationToken;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::transport::Lost;
use super::frame::{DATA_MAX, Decoder, Farewell, Frame, FrameError, Reset, StreamId};
use super::headers::{HeaderError, Headers, Packer, Unpacker};

/// How many streams a client may have open.
const STREAMS_MAX: usize = 256;
/// How many pieces a stream holds that nobody has taken.
const PIECES: usize = 4;
/// How many frames wait to be sent, and how many streams to be accepted.
const WAITING: usize = 16;
/// How much is read at a time.
const READ: usize = 16 << 10;
/// After how many bytes the client is told that it may send as many again.
const WINDOW: u32 = 32 << 10;
/// A connection on which nothing is said for so long ends, as upstream's.
const IDLE: Duration = Duration::from_secs(4 * 60 * 60);
/// How long the client may take to end a connection that we have ended.
const LINGER: Duration = Duration::from_secs(5);

/// What ends a connection before its time.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("nothing has been said for {} s", IDLE.as_secs())]
    Idle,
}

/// What is to be sent.
enum Out {
    Frame(Frame),
    Reply(StreamId),
    Bye(Farewell),
}

/// What is known of an open stream.
struct Entry {
    /// Where its data goes; `None` once the client has ended its side.
    data: Option<mpsc::Sender<Bytes>>,
    /// Whether our side is open.
    ours: bool,
    /// Cancelled when the stream is gone before it came to its end.
    ended: CancellationToken,
}

type Table = Arc<Mutex<HashMap<StreamId, Entry>>>;

/// Streams as the client opens them.
pub(in super::super) struct Accepted {
    streams: mpsc::Receiver<Stream>,
    gone: CancellationToken,
}

impl Accepted {
    /// The next; `None` when the client is gone.
    pub(in super::super) async fn next(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }

    /// Cancelled when the client is gone.
    pub(in super::super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

/// A stream that the client has opened.
pub(in super::super) struct Stream {
    /// Its headers.
    pub(in super::super) headers: Headers,
    /// What comes.
    pub(in super::super) input: Input,
    /// What goes.
    pub(in super::super) output: Output,
}

impl Stream {
    /// The value of a header.
    pub(in super::super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Its number.
    pub(in super::super) fn id(&self) -> StreamId {
        self.output.id
    }
}

/// What comes on a stream.
pub(in super::super) struct Input {
    data: mpsc::Receiver<Bytes>,
    id: StreamId,
    out: mpsc::Sender<Out>,
    /// What has been taken since the client was last told.
    taken: u32,
}

impl Input {
    /// The next piece; `None` when there is no more.
    pub(in super::super) async fn next(&mut self) -> Option<Bytes> {
        let piece = self.data.recv().await?;
        self.taken = self.taken.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        if self.taken >= WINDOW {
            let delta = std::mem::take(&mut self.taken);
            // Where nobody can be told, nothing more will come.
            let _ = self.out.send(Out::Frame(Frame::WindowUpdate { id: self.id, delta })).await;
        }
        Some(piece)
    }
}

/// What goes on a stream.
#[derive(Clone)]
pub(in super::super) struct Output {
    id: StreamId,
    out: mpsc::Sender<Out>,
    table: Table,
    ended: CancellationToken,
}

impl Output {
    /// Tells the client that there is somebody.
    pub(in super::super) async fn reply(&self) -> Result<(), Lost> {
        self.put(Out::Reply(self.id)).await
    }

    /// Sends a piece.
    pub(in super::super) async fn send(&self, mut data: Bytes) -> Result<(), Lost> {
        while !data.is_empty() {
            if self.ended.is_cancelled() {
                return Err(Lost("the client has reset the stream".into()));
            }
            let piece = data.split_to(data.len().min(DATA_MAX));
            self.put(Out::Frame(Frame::Data { id: self.id, fin: false, data: piece })).await?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(in super::super) async fn finish(&self) -> Result<(), Lost> {
        let open = {
            let mut table = self.table.lock();
            let entry = table.get_mut(&self.id);
            let theirs = entry.as_ref().is_some_and(|entry| entry.data.is_some());
            let open = entry.is_some_and(|entry| std::mem::take(&mut entry.ours));
            if !theirs {
                table.remove(&self.id);
            }
            open
        };
        if !open {
            return Ok(());
        }
        self.put(Out::Frame(Frame::Data { id: self.id, fin: true, data: Bytes::new() })).await
    }

    /// Ends the stream at once.
    pub(in super::super) async fn reset(&self, why: Reset) -> Result<(), Lost> {
        self.table.lock().remove(&self.id);
        self.put(Out::Frame(Frame::Reset { id: self.id, status: why as u32 })).await
    }

    /// Waits until the stream is gone before it came to its end.
    pub(in super::super) async fn gone(&self) {
        self.ended.cancelled().await;
    }

    async fn put(&self, out: Out) -> Result<(), Lost> {
        self.out.send(out).await.map_err(|_| Lost("nothing can be sent any more".into()))
    }
}

/// Holds the connection until `talk` has ended or the client is gone.
pub(in super::super) async fn hold<I, F>(io: I, talk: impl FnOnce(Accepted) -> F)
where
    I: AsyncRead + AsyncWrite,
    F: Future<Output = ()>,
{
    let (read, write) = tokio::io::split(io);
    let (out, frames) = mpsc::channel(WAITING);
    let (accept, streams) = mpsc::channel(WAITING);
    let gone = CancellationToken::new();
    let mut reader = Reader {
        table: Table::default(),
        out: out.clone(),
        accept: Some(accept),
        unpacker: Unpacker::new(),
        last: 0,
        gone: gone.clone(),
    };
    let accepted = Accepted { streams, gone };
    let mut reading = std::pin::pin!(reader.run(read));
    let mut talking = std::pin::pin!(async {
        let talk = async {
            talk(accepted).await;
            // Where nobody listens, nobody misses it.
            let _ = out.send(Out::Bye(Farewell::Done)).await;
        };
        tokio::join!(talk, write_frames(write, frames));
    });
    // What the client still says is read and forgotten: otherwise the end could overtake what was sent before it.
    let _ = tokio::select! {
        () = &mut talking => timeout(LINGER, reading).await,
        () = &mut reading => timeout(LINGER, talking).await,
    };
}

async fn write_frames<I: AsyncWrite>(mut io: WriteHalf<I>, mut frames: mpsc::Receiver<Out>) {
    let Ok(mut packer) = Packer::new() else { return };
    let mut buffer = BytesMut::new();
    while let Some(mut next) = frames.recv().await {
        loop {
            let farewell = matches!(next, Out::Bye(_));
            let frame = match next {
                Out::Frame(frame) => frame,
                Out::Bye(why) => Frame::GoAway { last: 0, status: why as u32 },
                Out::Reply(id) => match packer.pack(&[]) {
                    Ok(block) => Frame::Reply { id, fin: false, block },
                    Err(_) => return,
                },
            };
            frame.write(&mut buffer);
            if farewell {
                // Whoever has gone does not want to hear of the end.
                let _ = io.write_all(&buffer).await;
                let _ = io.shutdown().await;
                return;
            }
            match frames.try_recv() {
                Ok(more) if buffer.len() < DATA_MAX => next = more,
                Ok(more) => {
                    if io.write_all(&buffer.split()).await.is_err() {
                        return;
                    }
                    next = more;
                }
                Err(_) => break,
            }
        }
        if io.write_all(&buffer.split()).await.is_err() || io.flush().await.is_err() {
            return;
        }
    }
}

/// Reads what the client says, and hands it on.
struct Reader {
    table: Table,
    out: mpsc::Sender<Out>,
    /// Where new streams go, as long as there can be some.
    accept: Option<mpsc::Sender<Stream>>,
    unpacker: Unpacker,
    /// The stream that was opened last.
    last: StreamId,
    gone: CancellationToken,
}

impl Reader {
    async fn run<I: AsyncRead>(&mut self, io: ReadHalf<I>) {
        if let Err(error) = self.read(io).await {
            tracing::debug!("a SPDY connection: {error}");
            if !matches!(error, Broken::Io(_)) {
                let _ = self.out.send(Out::Bye(Farewell::ProtocolError)).await;
            }
        }
        for (_, entry) in self.table.lock().drain() {
            entry.ended.cancel();
        }
        self.gone.cancel();
        // Whoever waits for streams is told that there will be none.
        self.accept = None;
    }

    async fn read<I: AsyncRead>(&mut self, mut io: ReadHalf<I>) -> Result<(), Broken> {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        loop {
            while let Some(frame) = decoder.next(&mut buffer)? {
                self.handle(frame).await?;
            }
            buffer.reserve(READ);
            let read = timeout(IDLE, io.read_buf(&mut buffer)).await.map_err(|_| Broken::Idle)??;
            if read == 0 {
                return Ok(());
            }
        }
    }

    async fn handle(&mut self, frame: Frame) -> Result<(), HeaderError> {
        match frame {
            Frame::Open { id, fin, block } => {
                let headers = self.unpacker.unpack(&block)?;
                self.open(id, fin, headers).await;
            }
            Frame::Reply { block, .. } | Frame::Headers { block, .. } => drop(self.unpacker.unpack(&block)?),
            Frame::Data { id, fin, data } => self.data(id, fin, data).await,
            Frame::Reset { id, .. } => {
                if let Some(entry) = self.table.lock().remove(&id) {
                    entry.ended.cancel();
                }
            }
            // Those that a client begins are odd; others are answers.
            Frame::Ping { id } if id % 2 == 1 => self.put(Frame::Ping { id }).await,
            Frame::Ping { .. } | Frame::GoAway { .. } | Frame::WindowUpdate { .. } | Frame::Other => {}
        }
        Ok(())
    }

    async fn open(&mut self, id: StreamId, fin: bool, headers: Headers) {
        if id.is_multiple_of(2) || id <= self.last {
            let why = if self.table.lock().contains_key(&id) { Reset::InUse } else { Reset::ProtocolError };
            return self.put(Frame::Reset { id, status: why as u32 }).await;
        }
        self.last = id;
        let ended = CancellationToken::new();
        let (sender, data) = mpsc::channel(PIECES);
        let taken = {
            let mut table = self.table.lock();
            let room = table.len() < STREAMS_MAX;
            if room {
                table.insert(id, Entry { data: (!fin).then_some(sender), ours: true, ended: ended.clone() });
            }
            room
        };
        let input = Input { data, id, out: self.out.clone(), taken: 0 };
        let output = Output { id, out: self.out.clone(), table: Arc::clone(&self.table), ended };
        let accepted = match &self.accept {
            Some(accept) if taken => accept.send(Stream { headers, input, output }).await.is_ok(),
            _ => false,
        };
        if !accepted {
            self.table.lock().remove(&id);
            self.put(Frame::Reset { id, status: Reset::Refused as u32 }).await;
        }
    }

    async fn data(&self, id: StreamId, fin: bool, data: Bytes) {
        let to = self.table.lock().get(&id).and_then(|entry| entry.data.clone());
        let Some(to) = to else {
            if id > self.last {
                self.put(Frame::Reset { id, status: Reset::InvalidStream as u32 }).await;
            }
            return;
        };
        if !data.is_empty() {
            // Whoever does not want it has gone.
            let _ = to.send(data).await;
        }
        if fin {
            let mut table = self.table.lock();
            let entry = table.get_mut(&id);
            let ours = entry.as_ref().is_some_and(|entry| entry.ours);
            if let Some(entry) = entry {
                entry.data = None;
            }
            if !ours {
                table.remove(&id);
            }
        }
    }

    async fn put(&self, frame: Frame) {
        // Where nobody listens, nobody misses it.
        let _ = self.out.send(Out::Frame(frame)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::super::testing::Client;
    use super::*;

    /// Serves every stream by sending back what comes.
    async fn echo(mut accepted: Accepted) {
        let mut streams = tokio::task::JoinSet::new();
        while let Some(mut stream) = accepted.next().await {
            streams.spawn(async move {
                if stream.header("streamtype") == Some("refused") {
                    return stream.output.reset(Reset::Refused).await.unwrap();
                }
                stream.output.reply().await.unwrap();
                while let Some(piece) = stream.input.next().await {
                    stream.output.send(piece).await.unwrap();
                }
                // The client may have reset it.
                let _ = stream.output.finish().await;
            });
        }
    }

    fn start() -> (Client<DuplexStream>, tokio::task::JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        (Client::new(ours), tokio::spawn(hold(theirs, echo)))
    }

    #[tokio::test]
    async fn streams_are_opened_and_talked_on() {
        let (mut client, held) = start();
        client.open(1, "a").await;
        client.open(3, "b").await;
        client.data(3, "three", false).await;
        client.data(1, "one", true).await;
        let read = client.read_until(|client| client.finished.contains(&1) && client.text(3) == "three").await;
        assert!(read, "{:?}", client.received);
        assert_eq!((client.text(1).as_str(), client.replied.as_slice()), ("one", [1, 3].as_slice()));
        client.send(Frame::Ping { id: 9 }).await;
        assert!(client.read_until(|client| client.pings == [9]).await);
        drop(client);
        held.await.unwrap();
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_reset() {
        let (mut client, _held) = start();
        client.open(5, "a").await;
        client.open(5, "again").await;
        client.open(3, "older").await;
        client.open(6, "even").await;
        client.data(7, "unknown", false).await;
        client.open(9, "refused").await;
        let all = |client: &Client<DuplexStream>| client.resets.len() == 5;
        assert!(client.read_until(all).await);
        client.resets.sort_unstable();
        assert_eq!(client.resets, [(3, 1), (5, 8), (6, 1), (7, 2), (9, 3)]);
        // Whose stream was opened first goes on.
        client.data(5, "x", true).await;
        assert!(client.read_until(|client| client.text(5) == "x").await);
    }

    #[tokio::test]
    async fn streams_without_number_are_bounded() {
        let (mut client, _held) = start();
        for id in 0..1000 {
            client.open(2 * id + 1, "a").await;
            client.send(Frame::Reset { id: 2 * id + 1, status: 5 }).await;
        }
        client.open(2001, "b").await;
        client.data(2001, "still there", true).await;
        assert!(client.read_until(|client| client.text(2001) == "still there").await);
        // More than may be open at a time are refused, and those that are open go on.
        for id in 1001..1001 + STREAMS_MAX as u32 + 1 {
            client.open(2 * id + 1, "c").await;
        }
        assert!(client.read_until(|client| !client.resets.is_empty()).await);
        assert_eq!(client.resets[0].1, Reset::Refused as u32);
        client.data(2003, "here", true).await;
        assert!(client.read_until(|client| client.text(2003) == "here").await);
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection() {
        let (mut client, held) = start();
        client.open(1, "a").await;
        client.raw(&[0x80, 9, 0, 1, 0, 0, 0, 0]).await;
        assert!(client.read_until(|client| client.farewell == Some(Farewell::ProtocolError as u32)).await);
        held.await.unwrap();
    }

    #[tokio::test]
    async fn who_takes_nothing_is_not_read_from() {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let silent = |mut accepted: Accepted| async move {
            let stream = accepted.next().await.unwrap();
            accepted.gone().cancelled().await;
            drop(stream);
        };
        let held = tokio::spawn(hold(theirs, silent));
        let mut client = Client::new(ours);
        client.open(1, "a").await;
        let much = "x".repeat(1 << 20);
        let flood = timeout(Duration::from_millis(200), client.data(1, &much, false)).await;
        assert!(flood.is_err(), "a megabyte that nobody takes has been read");
        drop(client);
        held.abort();
    }
}
