//! `--audit-log-path`: a line an event.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Event,
    event::UserInfo,
    rotation::{Retention, RotatingFile},
};

/// How an event looks in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As an object.
    #[default]
    Json,
    /// As upstream once wrote it: the most important of it in words.
    Legacy,
}

/// Writes events to a file.
pub struct Log {
    format: Format,
    output: Mutex<Output>,
}

enum Output {
    File(RotatingFile),
    Standard,
}

impl Log {
    /// Appends to a file that only its owner may read; `-` is the standard output.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, format: Format, retention: Retention) -> io::Result<Self> {
        let output = match path == Path::new("-") {
            true => Output::Standard,
            false => Output::File(RotatingFile::open(path, retention)?),
        };
        Ok(Self { format, output: Mutex::new(output) })
    }

    /// An event as a line, its end included.
    pub(super) fn encode(&self, event: &Event<'_>) -> Result<Bytes, String> {
        let mut line = match self.format {
            Format::Json => serde_json::to_vec(event).map_err(|error| error.to_string())?,
            Format::Legacy => legacy(event).into_bytes(),
        };
        line.push(b'\n');
        Ok(line.into())
    }

    /// Writes lines.
    pub(super) fn write(&self, lines: &[Bytes]) -> Result<(), String> {
        let mut output = self.output.lock();
        let write = |line: &Bytes| match &mut *output {
            Output::File(file) => file.write(line),
            Output::Standard => io::stdout().lock().write_all(line),
        };
        lines.iter().try_for_each(write).map_err(|error| error.to_string())
    }
}

fn legacy(event: &Event<'_>) -> String {
    let some = |text: &'_ str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    let groups = |user: &UserInfo<'_>| {
        let quoted: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
        quoted.join(",")
    };
    let known = !event.user.username.is_empty();
    let acting = event.impersonated_user.as_ref();
    let namespace = event.object_ref.as_ref().map_or("", |object| &object.namespace);
    let response = event.response_status.as_ref().map_or("<deferred>".to_owned(), |status| status.code.to_string());
    let mut line = format!("{} AUDIT:", without_zeros(&event.request_received_timestamp));
    for (name, value) in [
        ("id", event.audit_id.to_owned()),
        ("stage", format!("{:?}", event.stage)),
        ("ip", event.source_ips.first().map_or("<unknown>".to_owned(), Clone::clone)),
        ("method", event.verb.to_owned()),
        ("user", some(event.user.username, "<none>")),
        ("groups", some(&if known { groups(&event.user) } else { String::new() }, "<none>")),
        ("as", acting.map_or("<self>".to_owned(), |user| user.username.to_owned())),
        ("asgroups", some(&acting.map(groups).unwrap_or_default(), "<lookup>")),
        ("user-agent", event.user_agent.to_owned()),
        ("namespace", some(namespace, "<none>")),
        ("uri", event.request_uri.to_owned()),
        ("response", response),
    ] {
        // Writing to a string does not fail.
        let _ = write!(line, " {name}={value:?}");
    }
    line
}

/// As Go writes a time with nanoseconds.
fn without_zeros(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let time = if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time };
    format!("{time}Z")
}
