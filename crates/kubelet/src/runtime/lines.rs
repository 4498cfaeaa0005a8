//! Pure: records of a log, the lines that they make, and where the last lines begin.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;

use super::{LogOptions, OutputChunk, StdStream};

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) stream: StdStream,
    /// When it was written, in RFC 3339.
    pub(super) time: Bytes,
    /// A line, or a piece of one.
    pub(super) data: Bytes,
}

impl Record {
    /// Whether its line ends with it.
    pub(super) fn ends_line(&self) -> bool {
        self.data.ends_with(b"\n")
    }
}

/// Something of each stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OfBoth<T> {
    stdout: T,
    stderr: T,
}

impl<T> OfBoth<T> {
    fn of(&mut self, stream: StdStream) -> &mut T {
        match stream {
            StdStream::Stdout => &mut self.stdout,
            StdStream::Stderr => &mut self.stderr,
        }
    }
}

/// Where one is in a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// Before a line.
    #[default]
    Start,
    /// In a line that is shown.
    Shown,
    /// In a line that is not.
    Hidden,
}

/// Writes what is asked for of the records of a log.
pub(super) struct Lines {
    since: Option<Timestamp>,
    timestamps: bool,
    stream: Option<StdStream>,
    at: OfBoth<At>,
}

impl Lines {
    /// From the beginning of a log.
    pub(super) fn new(options: &LogOptions) -> Self {
        Self::from(options, OfBoth::default())
    }

    /// From somewhere in a log, where lines of these streams have begun that are not shown.
    pub(super) fn from(options: &LogOptions, open: OfBoth<bool>) -> Self {
        let at = |open| if open { At::Hidden } else { At::Start };
        let at = OfBoth { stdout: at(open.stdout), stderr: at(open.stderr) };
        Self { since: options.since, timestamps: options.timestamps, stream: options.stream, at }
    }

    /// What is shown of a record.
    pub(super) fn write(&mut self, record: Record) -> Option<OutputChunk> {
        if self.stream.is_some_and(|wanted| wanted != record.stream) {
            return None;
        }
        let begins = *self.at.of(record.stream) == At::Start;
        let shown = match *self.at.of(record.stream) {
            At::Start => self.is_wanted(&record),
            at => at == At::Shown,
        };
        *self.at.of(record.stream) = match (record.ends_line(), shown) {
            (true, _) => At::Start,
            (false, true) => At::Shown,
            (false, false) => At::Hidden,
        };
        shown.then(|| {
            let stamped = self.timestamps && begins;
            let data = if stamped { Bytes::from([&record.time[..], b" ", &record.data].concat()) } else { record.data };
            OutputChunk { stream: record.stream, data }
        })
    }

    /// Whether the line that a record begins was written late enough.
    fn is_wanted(&self, record: &Record) -> bool {
        let Some(since) = self.since else { return true };
        let time = std::str::from_utf8(&record.time).ok().and_then(|time| time.parse::<Timestamp>().ok());
        time.is_none_or(|time| time >= since)
    }
}

/// Where lines begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// How many records there are from there on.
    pub(super) records: u64,
    /// When the first of them was written.
    pub(super) time: Bytes,
    /// Streams of which a line has begun before.
    pub(super) open: OfBoth<bool>,
}

/// A beginning of a line.
struct Begin {
    /// The number of the record.
    record: u64,
    time: Bytes,
    open: OfBoth<bool>,
    /// Whether it is one: the first record that is seen of a stream may be a piece from the middle of a line.
    sure: bool,
}

/// Finds where the last lines of a log begin, in the last records of it.
///
/// Docker counts the records of both streams, whichever is wanted: all are seen, and counted so.
pub(super) struct Tail {
    lines: usize,
    /// The last beginnings: one more than lines are wanted, to know that there are more.
    begins: VecDeque<Begin>,
    records: u64,
    /// The stream whose lines count; both if none.
    stream: Option<StdStream>,
    open: OfBoth<bool>,
    /// Streams of which something has been seen.
    known: OfBoth<bool>,
}

impl Tail {
    pub(super) fn new(lines: u64, stream: Option<StdStream>) -> Self {
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        let (open, known) = (OfBoth::default(), OfBoth::default());
        Self { lines, begins: VecDeque::new(), records: 0, stream, open, known }
    }

    pub(super) fn see(&mut self, record: &Record) {
        let stream = record.stream;
        let counts = self.stream.is_none_or(|wanted| wanted == stream);
        if counts && !*self.open.of(stream) {
            let sure = *self.known.of(stream);
            self.begins.push_back(Begin {
                record: self.records,
                time: Bytes::copy_from_slice(&record.time),
                open: self.open,
                sure,
            });
        }
        *self.known.of(stream) = true;
        if self.begins.len() > self.lines.saturating_add(1) {
            self.begins.pop_front();
        }
        *self.open.of(stream) = !record.ends_line();
        self.records += 1;
    }

    /// Streams of which a line has begun and not ended.
    pub(super) fn open(&self) -> OfBoth<bool> {
        self.open
    }

    /// Where the last lines begin, as far as that is sure.
    pub(super) fn start(mut self) -> Option<Start> {
        let first = self.begins.len().checked_sub(self.lines)?;
        self.begins.range(first..).all(|begin| begin.sure).then(|| self.wanted()).flatten()
    }

    /// Where they begin when all records have been seen; `None` at the first of them.
    pub(super) fn start_in_all(mut self) -> Option<Start> {
        (self.begins.len() > self.lines).then(|| self.wanted()).flatten()
    }

    fn wanted(&mut self) -> Option<Start> {
        let at = self.begins.len().checked_sub(self.lines)?;
        let Begin { record, time, open, .. } = self.begins.remove(at)?;
        Some(Start { records: self.records - record, time, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `o` and `e` are the streams; a record in capitals ends its line; the time is its number.
    fn records(log: &str) -> Vec<Record> {
        let record = |(number, piece): (usize, &str)| {
            let (stream, text) = piece.split_at(1);
            let ends = text.chars().all(char::is_uppercase);
            let text = text.to_lowercase();
            Record {
                stream: if stream == "e" { StdStream::Stderr } else { StdStream::Stdout },
                time: format!("1970-01-01T00:00:{:02}Z", number + 1).into(),
                data: if ends { format!("{text}\n") } else { text }.into(),
            }
        };
        log.split(' ').filter(|piece| !piece.is_empty()).enumerate().map(record).collect()
    }

    fn shown(log: &str, options: &LogOptions) -> String {
        let mut lines = Lines::new(options);
        let chunks = records(log).into_iter().filter_map(|record| lines.write(record));
        chunks.map(|chunk| String::from_utf8(chunk.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_line_in_pieces_has_one_time() {
        let stamped = LogOptions { timestamps: true, ..LogOptions::default() };
        let expected = "1970-01-01T00:00:01Z a\n1970-01-01T00:00:02Z bbbbb\n1970-01-01T00:00:05Z c";
        assert_eq!(shown("oA obb obb oB oc", &stamped), expected);
        let expected = "1970-01-01T00:00:01Z a1970-01-01T00:00:02Z x\nb\n";
        assert_eq!(shown("oa eX oB", &stamped), expected);
    }

    #[test]
    fn a_line_is_as_old_as_its_beginning() {
        let since =
            |second| LogOptions { since: Some(Timestamp::from_second(second).unwrap()), ..LogOptions::default() };
        assert_eq!(shown("oA ob oB eX oC", &since(3)), "x\nc\n");
        assert_eq!(shown("oA ob oB eX oC", &since(2)), "bb\nx\nc\n");
        assert_eq!(shown("oA ob oB", &since(9)), "");
    }

    /// The last lines of a log, found in a window of its last records that grows until it suffices.
    fn tail(log: &str, lines: u64, stream: Option<StdStream>) -> String {
        let records = records(log);
        let mut window = 1;
        let start = loop {
            let mut tail = Tail::new(lines, stream);
            let first = records.len().saturating_sub(window);
            records[first..].iter().for_each(|record| tail.see(record));
            if first == 0 {
                break tail.start_in_all();
            }
            if let Some(start) = tail.start() {
                break Some(start);
            }
            window += 1;
        };
        let (first, open) = start.map_or((0, OfBoth::default()), |start| {
            let first = records.len() - usize::try_from(start.records).unwrap();
            assert_eq!(records[first].time, start.time);
            (first, start.open)
        });
        let mut lines = Lines::from(&LogOptions { stream, ..LogOptions::default() }, open);
        let chunks = records[first..].iter().filter_map(|record| lines.write(record.clone()));
        chunks.map(|chunk| String::from_utf8(chunk.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_last_lines_are_whole() {
        for (log, lines, expected) in [
            ("", 1, ""),
            ("oA", 1, "a\n"),
            ("oA oB oC", 2, "b\nc\n"),
            ("oA oB oC", 3, "a\nb\nc\n"),
            ("oA oB oC", 9, "a\nb\nc\n"),
            ("oA obb obb obb oB", 1, "bbbbbbb\n"),
            ("oA obb obb obb oB oC", 2, "bbbbbbb\nc\n"),
            ("oA oB oc oc", 2, "b\ncc"),
            ("oA ob eX oB eY", 2, "x\ny\n"),
            ("oA ob eX oB eY", 3, "bx\nb\ny\n"),
            ("oaa oaa oaa oaa", 1, "aaaaaaaa"),
            ("oA eb oC oD eB oE", 2, "d\ne\n"),
        ] {
            assert_eq!(tail(log, lines, None), expected, "the last {lines} of {log:?}");
        }
        for (log, lines, expected) in [
            ("oA oB eX", 1, "b\n"),
            ("oA obb ey eX obb oB eX eZ", 1, "bbbbb\n"),
            ("oA eX oB eX eX", 2, "a\nb\n"),
            ("eX eX", 1, ""),
        ] {
            assert_eq!(tail(log, lines, Some(StdStream::Stdout)), expected, "the last {lines} of {log:?}");
        }
    }
}
