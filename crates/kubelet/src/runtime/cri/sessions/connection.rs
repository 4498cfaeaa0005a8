//! The client's end of a SPDY connection on which a session is held.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use super::outcome::Outcome;
use crate::runtime::{OutputChunk, Result, RuntimeError, StdStream};
use crate::spdy::frame::{DATA_MAX, Decoder, Frame, StreamId};
use crate::spdy::headers::{Packer, Unpacker};

/// How much is read at a time.
const READ: usize = 16 << 10;
/// The longest outcome that is kept, in bytes.
const OUTCOME_MAX: usize = 64 << 10;
/// Answers that wait to be sent.
const QUEUED: usize = 16;

/// A stream of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Error,
    Stdin,
    Stdout,
    Stderr,
    Resize,
}

impl Channel {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Resize => "resize",
        }
    }
}

/// What is to be sent.
pub(super) enum Out {
    /// A piece of data.
    Data(Channel, Bytes),
    /// No more will be sent.
    Finish(Channel),
}

/// Streams that a client opens have odd numbers.
fn stream_id(channels: &[Channel], channel: Channel) -> Option<StreamId> {
    let at = channels.iter().position(|open| *open == channel)?;
    Some(2 * StreamId::try_from(at).ok()? + 1)
}

/// Opens the channels, and holds the connection until the server has ended it or all streams that it writes to.
pub(super) async fn hold<I: AsyncRead + AsyncWrite>(
    io: I,
    channels: Vec<Channel>,
    out: mpsc::Receiver<Out>,
    chunks: mpsc::Sender<Result<OutputChunk>>,
    ended: watch::Sender<Option<Outcome>>,
) {
    let (read, write) = tokio::io::split(io);
    let (answers, answered) = mpsc::channel(QUEUED);
    let writing = write_frames(write, &channels, out, answered);
    let open = channels.iter().filter(|channel| matches!(channel, Channel::Error | Channel::Stdout | Channel::Stderr));
    let mut reader = Reader {
        open: open.filter_map(|channel| stream_id(&channels, *channel)).collect(),
        channels: channels.clone(),
        chunks,
        answers,
        unpacker: Unpacker::new(),
        outcome: Vec::new(),
        ended,
    };
    let reading = reader.run(read);
    tokio::pin!(writing, reading);
    tokio::select! {
        () = &mut reading => {}
        // What can no longer be written to may still be read from.
        () = &mut writing => reading.await,
    }
}

async fn write_frames<I: AsyncWrite>(
    mut io: WriteHalf<I>,
    channels: &[Channel],
    mut out: mpsc::Receiver<Out>,
    mut answers: mpsc::Receiver<Frame>,
) {
    let Some(mut buffer) = opening(channels) else { return };
    let mut talking = true;
    loop {
        if io.write_all(&buffer.split()).await.is_err() || io.flush().await.is_err() {
            return;
        }
        tokio::select! {
            next = out.recv(), if talking => match next {
                Some(Out::Data(channel, data)) => write_data(channels, channel, data, &mut buffer),
                Some(Out::Finish(channel)) => {
                    if let Some(id) = stream_id(channels, channel) {
                        Frame::Data { id, fin: true, data: Bytes::new() }.write(&mut buffer);
                    }
                }
                None => talking = false,
            },
            answer = answers.recv() => match answer {
                Some(answer) => answer.write(&mut buffer),
                None => return,
            },
        }
    }
}

fn write_data(channels: &[Channel], channel: Channel, mut data: Bytes, buffer: &mut BytesMut) {
    let Some(id) = stream_id(channels, channel) else { return };
    while !data.is_empty() {
        let piece = data.split_to(data.len().min(DATA_MAX));
        Frame::Data { id, fin: false, data: piece }.write(buffer);
    }
}

/// What opens the streams.
fn opening(channels: &[Channel]) -> Option<BytesMut> {
    let (mut packer, mut buffer) = (Packer::new().ok()?, BytesMut::new());
    for channel in channels {
        let block = packer.pack(&[("streamtype", channel.name())]).ok()?;
        let id = stream_id(channels, *channel)?;
        Frame::Open { id, fin: false, block }.write(&mut buffer);
    }
    Some(buffer)
}

struct Reader {
    channels: Vec<Channel>,
    /// Streams on which the server has not said that there is no more.
    open: BTreeSet<StreamId>,
    chunks: mpsc::Sender<Result<OutputChunk>>,
    answers: mpsc::Sender<Frame>,
    unpacker: Unpacker,
    /// What has come of the outcome.
    outcome: Vec<u8>,
    ended: watch::Sender<Option<Outcome>>,
}

impl Reader {
    async fn run<I: AsyncRead>(&mut self, mut io: ReadHalf<I>) {
        if let Err(error) = self.read(&mut io).await {
            let _ = self.chunks.send(Err(error)).await;
        }
        // A server that ends the connection without an outcome was interrupted.
        let told = Outcome::Failed("the connection has ended before the process".to_owned());
        self.ended.send_if_modified(|outcome| outcome.is_none() && outcome.replace(told).is_none());
    }

    async fn read<I: AsyncRead>(&mut self, io: &mut ReadHalf<I>) -> Result<()> {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        while !self.open.is_empty() {
            buffer.reserve(READ);
            let read = io.read_buf(&mut buffer).await.map_err(|error| broken(error.into()))?;
            if read == 0 {
                return Ok(());
            }
            while let Some(frame) = decoder.next(&mut buffer).map_err(|error| broken(error.into()))? {
                self.take(frame).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, frame: Frame) -> Result<()> {
        match frame {
            Frame::Reply { block, .. } | Frame::Headers { block, .. } | Frame::Open { block, .. } => {
                self.unpacker.unpack(&block).map_err(|error| broken(error.into()))?;
            }
            Frame::Data { id, fin, data } => {
                self.data(id, data).await;
                if fin {
                    self.finish(id);
                }
            }
            Frame::Reset { id, .. } => self.finish(id),
            // Those that a server begins are even; others are answers.
            Frame::Ping { id } if id % 2 == 0 => drop(self.answers.send(Frame::Ping { id }).await),
            Frame::Ping { .. } | Frame::GoAway { .. } | Frame::WindowUpdate { .. } | Frame::Other => {}
        }
        Ok(())
    }

    fn channel(&self, id: StreamId) -> Option<Channel> {
        self.channels.iter().copied().find(|channel| stream_id(&self.channels, *channel) == Some(id))
    }

    async fn data(&mut self, id: StreamId, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let stream = match self.channel(id) {
            Some(Channel::Stdout) => StdStream::Stdout,
            Some(Channel::Stderr) => StdStream::Stderr,
            Some(Channel::Error) => {
                let room = OUTCOME_MAX.saturating_sub(self.outcome.len()).min(data.len());
                return self.outcome.extend_from_slice(&data[..room]);
            }
            _ => return,
        };
        // Whoever does not want it has gone.
        let _ = self.chunks.send(Ok(OutputChunk { stream, data })).await;
    }

    fn finish(&mut self, id: StreamId) {
        if self.open.remove(&id) && self.channel(id) == Some(Channel::Error) {
            self.ended.send_replace(Some(Outcome::read(&self.outcome)));
        }
    }
}

fn broken(source: crate::runtime::error::Source) -> RuntimeError {
    RuntimeError::Broken { operation: super::OPERATION, source }
}
