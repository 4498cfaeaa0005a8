//! Frames of SPDY/3.1 as they travel.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Names a stream; those that clients open are odd.
pub(crate) type StreamId = u32;

/// The longest frame that is no data, in bytes.
const CONTROL_MAX: usize = 64 << 10;
/// The most data that one frame carries when we send it.
pub(crate) const DATA_MAX: usize = 64 << 10;

const VERSION: u16 = 3;
const CONTROL: u32 = 1 << 31;
const FIN: u8 = 1;
/// What all frames begin with.
const HEAD: usize = 8;

mod kind {
    pub(crate) const SYN_STREAM: u16 = 1;
    pub(crate) const SYN_REPLY: u16 = 2;
    pub(crate) const RST_STREAM: u16 = 3;
    pub(crate) const SETTINGS: u16 = 4;
    pub(crate) const PING: u16 = 6;
    pub(crate) const GO_AWAY: u16 = 7;
    pub(crate) const HEADERS: u16 = 8;
    pub(crate) const WINDOW_UPDATE: u16 = 9;
}

/// Why a stream is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// It breaks the rules.
    ProtocolError = 1,
    /// There is none of this name.
    InvalidStream = 2,
    /// Not now.
    Refused = 3,
    /// There is one of this name.
    InUse = 8,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Everything is done.
    Done = 0,
    /// The other end breaks the rules.
    ProtocolError = 1,
}

/// A frame. Header blocks are packed, and every one has to be unpacked to understand the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A stream is opened.
    Open { id: StreamId, fin: bool, block: Bytes },
    /// A stream is accepted.
    Reply { id: StreamId, fin: bool, block: Bytes },
    /// A stream is ended at once.
    Reset { id: StreamId, status: u32 },
    /// Are you there?
    Ping { id: u32 },
    /// No more streams.
    GoAway { last: StreamId, status: u32 },
    /// More headers.
    Headers { id: StreamId, fin: bool, block: Bytes },
    /// More may be sent.
    WindowUpdate { id: StreamId, delta: u32 },
    /// A piece of data. A long frame arrives in several, of which the last may end the stream.
    Data { id: StreamId, fin: bool, data: Bytes },
    /// Of no concern.
    Other,
}

/// Bytes that are no SPDY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The version is another one.
    #[error("version {0} of SPDY")]
    Version(u16),
    /// A frame is too long, or too short for what it is.
    #[error("a frame of {length} bytes of kind {kind}")]
    Length { kind: u16, length: usize },
}

/// Reads frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The data frame that has not come to its end: its stream, whether it ends it, and how much is left.
    data: Option<(StreamId, bool, usize)>,
}

impl Decoder {
    /// The next frame, if enough has come.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some((id, fin, left)) = self.data {
            return Ok(self.data_piece(id, fin, left, buffer));
        }
        let Some(mut head) = buffer.get(..HEAD) else { return Ok(None) };
        let (first, second) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        if first & CONTROL == 0 {
            buffer.advance(HEAD);
            return Ok(self.data_piece(first, flags & FIN != 0, length, buffer));
        }
        let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if length > CONTROL_MAX {
            return Err(FrameError::Length { kind, length });
        }
        if buffer.len() < HEAD + length {
            return Ok(None);
        }
        buffer.advance(HEAD);
        let payload = buffer.split_to(length).freeze();
        control(kind, flags & FIN != 0, payload).map(Some)
    }

    fn data_piece(&mut self, id: StreamId, fin: bool, left: usize, buffer: &mut BytesMut) -> Option<Frame> {
        let data = buffer.split_to(left.min(buffer.len())).freeze();
        let left = left - data.len();
        self.data = (left > 0).then_some((id, fin, left));
        // Of a frame that goes on, nothing is not worth telling.
        (left == 0 || !data.is_empty()).then_some(Frame::Data { id, fin: fin && left == 0, data })
    }
}

fn control(kind: u16, fin: bool, mut payload: Bytes) -> Result<Frame, FrameError> {
    let length = payload.len();
    let least = match kind {
        kind::SYN_STREAM => 10,
        kind::SYN_REPLY | kind::HEADERS | kind::PING => 4,
        kind::RST_STREAM | kind::GO_AWAY | kind::WINDOW_UPDATE => 8,
        kind::SETTINGS => return Ok(Frame::Other),
        _ => return Ok(Frame::Other),
    };
    if length < least {
        return Err(FrameError::Length { kind, length });
    }
    let first = payload.get_u32();
    let id = first & !CONTROL;
    Ok(match kind {
        kind::SYN_STREAM => {
            // The stream that it belongs to, its priority and its slot say nothing here.
            payload.advance(6);
            Frame::Open { id, fin, block: payload }
        }
        kind::SYN_REPLY => Frame::Reply { id, fin, block: payload },
        kind::HEADERS => Frame::Headers { id, fin, block: payload },
        kind::PING => Frame::Ping { id: first },
        kind::RST_STREAM => Frame::Reset { id, status: payload.get_u32() },
        kind::GO_AWAY => Frame::GoAway { last: id, status: payload.get_u32() },
        _ => Frame::WindowUpdate { id, delta: payload.get_u32() & !CONTROL },
    })
}

impl Frame {
    /// Writes the frame, whose data or block is not longer than [`DATA_MAX`].
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Open { id, fin, block } => {
                write_head(out, kind::SYN_STREAM, *fin, 10 + block.len());
                out.put_u32(*id);
                out.put_slice(&[0; 6]);
                out.put_slice(block);
            }
            Self::Reply { id, fin, block } => write_block(out, kind::SYN_REPLY, *fin, *id, block),
            Self::Headers { id, fin, block } => write_block(out, kind::HEADERS, *fin, *id, block),
            Self::Reset { id, status } => write_pair(out, kind::RST_STREAM, *id, *status),
            Self::GoAway { last, status } => write_pair(out, kind::GO_AWAY, *last, *status),
            Self::WindowUpdate { id, delta } => write_pair(out, kind::WINDOW_UPDATE, *id, *delta),
            Self::Ping { id } => {
                write_head(out, kind::PING, false, 4);
                out.put_u32(*id);
            }
            Self::Data { id, fin, data } => {
                out.put_u32(*id);
                write_length(out, *fin, data.len());
                out.put_slice(data);
            }
            Self::Other => {}
        }
    }
}

fn write_head(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(VERSION | 0x8000);
    out.put_u16(kind);
    write_length(out, fin, length);
}

fn write_length(out: &mut BytesMut, fin: bool, length: usize) {
    out.put_u8(u8::from(fin));
    out.put_uint(length as u64, 3);
}

fn write_block(out: &mut BytesMut, kind: u16, fin: bool, id: StreamId, block: &Bytes) {
    write_head(out, kind, fin, 4 + block.len());
    out.put_u32(id);
    out.put_slice(block);
}

fn write_pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    write_head(out, kind, false, 8);
    out.put_u32(first);
    out.put_u32(second);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
        let (mut decoder, mut buffer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(frame) = decoder.next(&mut buffer)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_read_as_they_are_written() {
        let block = Bytes::from_static(b"block");
        let frames = [
            Frame::Open { id: 1, fin: false, block: block.clone() },
            Frame::Reply { id: 1, fin: true, block: block.clone() },
            Frame::Headers { id: 3, fin: false, block },
            Frame::Reset { id: 3, status: Reset::Refused as u32 },
            Frame::Ping { id: 7 },
            Frame::GoAway { last: 5, status: 0 },
            Frame::WindowUpdate { id: 1, delta: 9 },
            Frame::Data { id: 1, fin: true, data: Bytes::new() },
            Frame::Data { id: 1, fin: false, data: Bytes::from_static(b"data") },
        ];
        let mut out = BytesMut::new();
        frames.iter().for_each(|frame| frame.write(&mut out));
        assert_eq!(read(&[&out]).unwrap(), frames);
    }

    #[test]
    fn the_wire_is_that_of_the_protocol() {
        let mut out = BytesMut::new();
        Frame::Reset { id: 0x0102, status: 3 }.write(&mut out);
        Frame::Data { id: 5, fin: true, data: Bytes::from_static(b"x") }.write(&mut out);
        let expected = [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0, 0, 5, 1, 0, 0, 1, b'x'];
        assert_eq!(&out[..], expected);
    }

    #[test]
    fn data_need_not_be_collected() {
        let head = [0, 0, 0, 1, 1, 0, 0, 4];
        let data = |fin, data: &'static [u8]| Frame::Data { id: 1, fin, data: Bytes::from_static(data) };
        let frames = read(&[&head, b"ab", b"c", b"d"]).unwrap();
        assert_eq!(frames, [data(false, b"ab"), data(false, b"c"), data(true, b"d")]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(read(&[&[0x80, 2, 0, 1, 0, 0, 0, 0]]), Err(FrameError::Version(2)));
        let long = [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff];
        assert_eq!(read(&[&long]), Err(FrameError::Length { kind: 1, length: 0x00ff_ffff }));
        assert_eq!(read(&[&[0x80, 3, 0, 3, 0, 0, 0, 1, 9]]), Err(FrameError::Length { kind: 3, length: 1 }));
        assert_eq!(read(&[&[0x80, 3, 0, 99, 0, 0, 0, 1, 9]]), Ok(vec![Frame::Other]));
    }

    proptest! {
        /// Whatever comes, however it is cut, is understood the same way or refused.
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(0x80), Just(3), any::<u8>()], 0..200), size in 1usize..20) {
            let joined = |frames: Vec<Frame>| {
                let mut all: Vec<Frame> = Vec::new();
                for frame in frames {
                    match (all.last_mut(), frame) {
                        (Some(Frame::Data { id, fin: last, data: before }), Frame::Data { id: same, fin, data })
                            if *id == same && !*last =>
                        {
                            (*last, *before) = (fin, [&before[..], &data].concat().into());
                        }
                        (_, frame) => all.push(frame),
                    }
                }
                all
            };
            let whole = read(&[&bytes]).map(joined);
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(read(&pieces).map(joined), whole);
        }
    }

    #[test]
    fn fuzz_frames() {
        let block = Bytes::from_static(b"block");
        let frames = [
            Frame::Open { id: 1, fin: false, block: block.clone() },
            Frame::Reply { id: 1, fin: true, block },
            Frame::Reset { id: 3, status: Reset::Refused as u32 },
            Frame::Data { id: 1, fin: false, data: Bytes::from_static(b"data") },
        ];
        let mut written = BytesMut::new();
        frames.iter().for_each(|frame| frame.write(&mut written));
        test_needs::fuzz::fuzz("spdy-frames", &[&written], |bytes| {
            // What is understood is written so that it is understood in the same way.
            let Ok(frames) = read(&[bytes]) else { return };
            // What is passed over is not written.
            let frames: Vec<Frame> = frames.into_iter().filter(|frame| *frame != Frame::Other).collect();
            let mut again = BytesMut::new();
            frames.iter().for_each(|frame| frame.write(&mut again));
            assert_eq!(read(&[&again]), Ok(frames));
        });
    }
}
