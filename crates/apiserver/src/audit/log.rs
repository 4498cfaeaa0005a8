//! `--audit-log-path`: a line of JSON an event.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use parking_lot::Mutex;

use super::{Event, Sink};

/// Writes events to a file.
#[derive(Debug)]
pub struct Log(Mutex<Output>);

#[derive(Debug)]
enum Output {
    File(File),
    Standard,
}

impl Log {
    /// Appends to a file that only its owner may read; `-` is the standard output.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let output = if path == Path::new("-") {
            Output::Standard
        } else {
            Output::File(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)
        };
        Ok(Self(Mutex::new(output)))
    }
}

impl Sink for Log {
    fn write(&self, event: &Event<'_>) {
        let written = serde_json::to_vec(event).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            match &mut *self.0.lock() {
                Output::File(file) => file.write_all(&line),
                Output::Standard => io::stdout().lock().write_all(&line),
            }
        });
        if let Err(error) = written {
            tracing::error!(id = event.audit_id, "an audit event is lost: {error}");
        }
    }
}
