//! Records of Docker's log as they travel: each with its time, and at most 16 KiB of a line.

use bytes::{Buf, Bytes, BytesMut};

use super::{Record, StdStream};

/// How much of a line Docker puts into a record.
const PIECE: usize = 16 << 10;
/// The longest record that is taken: other programs may have written the log.
const RECORD_MAX: usize = 1 << 20;
/// The longest time that is taken for one.
const TIME_MAX: usize = 64;
/// What records begin with where there is no terminal: the stream, and the length.
const HEAD: usize = 8;

/// Bytes that are no log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("a record of {0} bytes")]
    TooLong(usize),
    #[error("a record without a time")]
    NoTime,
}

/// Reads records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// One after the other, with heads.
    Framed,
    /// As a terminal's log is sent: nothing but times and pieces of lines. A piece that does not end its line is as long as
    /// pieces are.
    Bare,
}

impl Records {
    pub(super) fn new(tty: bool) -> Self {
        if tty { Self::Bare } else { Self::Framed }
    }

    /// The next record, if enough has come.
    pub(super) fn next(self, buffer: &mut BytesMut) -> Result<Option<Record>, RecordError> {
        match self {
            Self::Framed => framed(buffer),
            Self::Bare => bare(buffer),
        }
    }

    /// What is left when nothing more comes.
    pub(super) fn last(self, buffer: &mut BytesMut) -> Option<Record> {
        let left = buffer.split().freeze();
        match self {
            Self::Framed => None,
            Self::Bare => record(StdStream::Stdout, left),
        }
    }
}

fn framed(buffer: &mut BytesMut) -> Result<Option<Record>, RecordError> {
    let Some(mut head) = buffer.get(..HEAD) else { return Ok(None) };
    let stream = if head.get_u8() == 2 { StdStream::Stderr } else { StdStream::Stdout };
    head.advance(3);
    let length = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
    if length > RECORD_MAX {
        return Err(RecordError::TooLong(length));
    }
    if buffer.len() < HEAD + length {
        return Ok(None);
    }
    buffer.advance(HEAD);
    record(stream, buffer.split_to(length).freeze()).map(Some).ok_or(RecordError::NoTime)
}

fn bare(buffer: &mut BytesMut) -> Result<Option<Record>, RecordError> {
    let Some(blank) = buffer.iter().take(TIME_MAX).position(|byte| *byte == b' ') else {
        return if buffer.len() < TIME_MAX { Ok(None) } else { Err(RecordError::NoTime) };
    };
    let data = &buffer[blank + 1..];
    let end = data.iter().take(PIECE).position(|byte| *byte == b'\n').map(|at| at + 1);
    match end.or((data.len() >= PIECE).then_some(PIECE)) {
        Some(length) => Ok(record(StdStream::Stdout, buffer.split_to(blank + 1 + length).freeze())),
        None => Ok(None),
    }
}

fn record(stream: StdStream, mut text: Bytes) -> Option<Record> {
    let blank = text.iter().take(TIME_MAX).position(|byte| *byte == b' ')?;
    let time = text.split_to(blank);
    text.advance(1);
    Some(Record { stream, time, data: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: Records, pieces: &[&[u8]]) -> Result<Vec<(bool, String, usize)>, RecordError> {
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(record) = records.next(&mut buffer)? {
                found.push(record);
            }
        }
        found.extend(records.last(&mut buffer));
        let describe = |record: Record| {
            let time = String::from_utf8(record.time.to_vec()).unwrap();
            (record.stream == StdStream::Stderr, time, record.data.len())
        };
        Ok(found.into_iter().map(describe).collect())
    }

    #[test]
    fn records_with_heads_are_read() {
        let log = b"\x01\0\0\0\0\0\0\x06t1 ab\n\x02\0\0\0\0\0\0\x04t2 c";
        let expected = vec![(false, "t1".into(), 3), (true, "t2".into(), 1)];
        for size in [1, 5, 100] {
            let pieces: Vec<&[u8]> = log.chunks(size).collect();
            assert_eq!(read(Records::Framed, &pieces).unwrap(), expected);
        }
        assert_eq!(read(Records::Framed, &[b"\x01\0\0\0\xff\0\0\0"]), Err(RecordError::TooLong(0xff00_0000)));
        assert_eq!(read(Records::Framed, &[b"\x01\0\0\0\0\0\0\x01x"]), Err(RecordError::NoTime));
    }

    #[test]
    fn a_terminals_records_are_as_long_as_they_may_be() {
        let long = [b"t1 ".as_slice(), &vec![b'x'; PIECE], b"t2 yy\r\nt3 z"].concat();
        let expected = vec![(false, "t1".into(), PIECE), (false, "t2".into(), 4), (false, "t3".into(), 1)];
        for size in [7, 1000, 100_000] {
            let pieces: Vec<&[u8]> = long.chunks(size).collect();
            assert_eq!(read(Records::Bare, &pieces).unwrap(), expected);
        }
        assert_eq!(read(Records::Bare, &[&[b'x'; 100]]), Err(RecordError::NoTime));
    }
}
