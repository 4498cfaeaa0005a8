//! Records of CRI's logs: a line of a file each, with a time, the stream, and whether the container's line ends with it.
//!
//! `2016-10-06T00:17:09.669794202Z stdout F The content of the log entry`

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};

use super::super::StdStream;
use crate::runtime::lines::{OfBoth, Record, Tail};

/// The longest record that is taken: other programs may have written the log.
const RECORD_MAX: usize = 1 << 20;
/// How much is read at a time on the way back.
const BLOCK: u64 = 64 << 10;
/// How many more records than lines are looked at first. Lines of more than one record are rare.
const MORE: u64 = 16;
/// What begins a record's tags when its line goes on.
const PARTIAL: &[u8] = b"P";

/// The next record, if enough has come; one that makes no sense is none.
pub(super) fn next(buffer: &mut BytesMut) -> io::Result<Option<Option<Record>>> {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(end) => Ok(Some(parse(buffer.split_to(end + 1).freeze()))),
        None if buffer.len() > RECORD_MAX => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record of more than {RECORD_MAX} bytes")))
        }
        None => Ok(None),
    }
}

/// A record, of which the line is given with its end.
fn parse(mut line: Bytes) -> Option<Record> {
    let word = |line: &mut Bytes| {
        let blank = line.iter().position(|byte| *byte == b' ')?;
        let word = line.split_to(blank);
        drop(line.split_to(1));
        Some(word)
    };
    let (time, stream, tags) = (word(&mut line)?, word(&mut line)?, word(&mut line)?);
    let stream = match &stream[..] {
        b"stdout" => StdStream::Stdout,
        b"stderr" => StdStream::Stderr,
        _ => return None,
    };
    let goes_on = tags.split(|byte| *byte == b':').next() == Some(PARTIAL);
    if goes_on {
        line.truncate(line.len().saturating_sub(1));
    }
    Some(Record { stream, time, data: line })
}

/// Where lines begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// In the file.
    pub(super) offset: u64,
    /// Streams of which a line has begun before.
    pub(super) open: OfBoth<bool>,
}

/// Where the last so many lines of what there is now begin; `None` when there are no more than that. Blocking.
pub(super) fn start_of_last(file: &File, lines: u64, stream: Option<StdStream>) -> io::Result<Option<Start>> {
    let end = last_line_ends(file)?;
    let mut window = lines.saturating_add(MORE);
    loop {
        let from = back(file, end, window)?;
        let mut tail = Tail::new(lines, stream);
        let mut offsets = Vec::new();
        each(file, from, end, |offset, record| {
            tail.see(record);
            offsets.push(offset);
        })?;
        let at = |start: crate::runtime::lines::Start| {
            let skipped = offsets.len().saturating_sub(usize::try_from(start.records).unwrap_or(usize::MAX));
            let offset = offsets.get(skipped).copied().unwrap_or(end);
            Start { offset, open: start.open }
        };
        if lines == 0 {
            return Ok(Some(Start { offset: end, open: tail.open() }));
        }
        if from == 0 {
            return Ok(tail.start_in_all().map(at));
        }
        if let Some(start) = tail.start() {
            return Ok(Some(at(start)));
        }
        window = window.saturating_mul(4);
    }
}

/// What comes after the last record may be the beginning of one.
fn last_line_ends(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = 0;
    lines_back(file, length, |newline| {
        end = newline + 1;
        false
    })?;
    Ok(end)
}

/// Where the last so many lines before `end` begin.
fn back(file: &File, end: u64, lines: u64) -> io::Result<u64> {
    let (mut begin, mut seen) = (0, 0);
    // The last byte before `end` ends the last of them.
    lines_back(file, end.saturating_sub(1), |newline| {
        seen += 1;
        let enough = seen >= lines;
        if enough {
            begin = newline + 1;
        }
        !enough
    })?;
    Ok(begin)
}

/// Tells of the ends of lines before `end`, the last first, until it has been enough.
fn lines_back(file: &File, end: u64, mut more: impl FnMut(u64) -> bool) -> io::Result<()> {
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    let mut end = end;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let block = &mut block[..usize::try_from(end - begin).unwrap_or(0)];
        file.read_exact_at(block, begin)?;
        let newlines = block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        for (at, _) in newlines {
            if !more(begin + at as u64) {
                return Ok(());
            }
        }
        end = begin;
    }
    Ok(())
}

/// Reads the records between two places, each with its own.
fn each(file: &File, from: u64, end: u64, mut take: impl FnMut(u64, &Record)) -> io::Result<()> {
    let (mut buffer, mut at, mut offset) = (BytesMut::new(), from, from);
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    while at < end {
        let wanted = usize::try_from((end - at).min(BLOCK)).unwrap_or(0);
        let read = file.read_at(&mut block[..wanted], at)?;
        if read == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&block[..read]);
        at += read as u64;
        loop {
            let before = buffer.len();
            let Some(record) = next(&mut buffer)? else { break };
            if let Some(record) = record {
                take(offset, &record);
            }
            offset += (before - buffer.len()) as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn records_are_read_or_passed_over() {
        let parsed =
            |line: &'static str| parse(Bytes::from_static(line.as_bytes())).map(|record| (record.stream, record.data));
        let full = |stream, text: &'static str| Some((stream, Bytes::from_static(text.as_bytes())));
        for (line, expected) in [
            ("t stdout F a b\n", full(StdStream::Stdout, "a b\n")),
            ("t stderr P a\n", full(StdStream::Stderr, "a")),
            ("t stderr P:x a\n", full(StdStream::Stderr, "a")),
            ("t stdout F \n", full(StdStream::Stdout, "\n")),
            ("t stdin F a\n", None),
            ("t stdout\n", None),
            ("\n", None),
        ] {
            assert_eq!(parsed(line), expected, "{line}");
        }
        let mut long = BytesMut::from(&vec![b'x'; RECORD_MAX + 1][..]);
        assert!(next(&mut long).is_err());
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let line = |number: usize| format!("2026-01-01T00:00:00Z stdout F {number} {}\n", "x".repeat(90));
        let all: Vec<String> = (0..5000).map(line).collect();
        file.write_all(all.concat().as_bytes()).unwrap();
        file.write_all(b"2026-01-01T00:00:00Z stdout F unfin").unwrap();
        for lines in [0, 1, 17, 700, 4999] {
            let expected: usize = all[..5000 - lines].iter().map(String::len).sum();
            let start = start_of_last(&file, lines as u64, None).unwrap().unwrap();
            assert_eq!(start.offset, expected as u64, "{lines}");
        }
        assert_eq!(start_of_last(&file, 5000, None).unwrap(), None);
    }
}
