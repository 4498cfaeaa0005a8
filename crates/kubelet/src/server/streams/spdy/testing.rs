//! A client for tests.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frame::{Decoder, Frame, StreamId};
use super::headers::{Packer, Unpacker};

/// What a client has sent and received.
pub(in super::super::super) struct Client<I> {
    io: I,
    packer: Packer,
    unpacker: Unpacker,
    decoder: Decoder,
    buffer: BytesMut,
    pub(in super::super::super) received: HashMap<StreamId, Vec<u8>>,
    pub(in super::super::super) replied: Vec<StreamId>,
    pub(in super::super::super) finished: Vec<StreamId>,
    pub(in super::super::super) resets: Vec<(StreamId, u32)>,
    pub(in super::super::super) pings: Vec<u32>,
    pub(in super::super::super) farewell: Option<u32>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Client<I> {
    pub(in super::super::super) fn new(io: I) -> Self {
        Self {
            io,
            packer: Packer::new().unwrap(),
            unpacker: Unpacker::new(),
            decoder: Decoder::default(),
            buffer: BytesMut::new(),
            received: HashMap::new(),
            replied: Vec::new(),
            finished: Vec::new(),
            resets: Vec::new(),
            pings: Vec::new(),
            farewell: None,
        }
    }

    pub(in super::super::super) async fn open(&mut self, id: StreamId, kind: &str) {
        self.open_with(id, &[("streamtype", kind)]).await;
    }

    pub(in super::super::super) async fn open_with(&mut self, id: StreamId, headers: &[(&str, &str)]) {
        let block = self.packer.pack(headers).unwrap();
        self.send(Frame::Open { id, fin: false, block }).await;
    }

    pub(in super::super::super) async fn data(&mut self, id: StreamId, text: &str, fin: bool) {
        self.send(Frame::Data { id, fin, data: Bytes::copy_from_slice(text.as_bytes()) }).await;
    }

    pub(in super::super::spdy) async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        frame.write(&mut out);
        self.raw(&out).await;
    }

    pub(in super::super::spdy) async fn raw(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub(in super::super::super) fn text(&self, id: StreamId) -> String {
        let bytes = self.received.get(&id).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Reads until something is so; `false` when the connection has ended before.
    pub(in super::super::super) async fn read_until(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        loop {
            while let Some(frame) = self.decoder.next(&mut self.buffer).unwrap() {
                self.note(frame);
            }
            if is_so(self) {
                return true;
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap_or_default() == 0 {
                return is_so(self);
            }
        }
    }

    fn note(&mut self, frame: Frame) {
        match frame {
            Frame::Reply { id, block, .. } => {
                self.unpacker.unpack(&block).unwrap();
                self.replied.push(id);
            }
            Frame::Data { id, fin, data } => {
                self.received.entry(id).or_default().extend_from_slice(&data);
                if fin {
                    self.finished.push(id);
                }
            }
            Frame::Reset { id, status } => self.resets.push((id, status)),
            Frame::Ping { id } => self.pings.push(id),
            Frame::GoAway { status, .. } => self.farewell = Some(status),
            _ => {}
        }
    }
}
