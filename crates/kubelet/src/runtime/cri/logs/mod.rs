//! Logs of containers: files, to which the runtime writes records. The current one is read, as upstream does it.

mod records;
mod watch;

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use futures::stream::{BoxStream, empty, unfold};
use futures::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use self::records::Start;
use self::watch::{End, Watch};
use super::{ContainerId, ContainerState, LogOptions, OutputChunk, Result, RuntimeError, Shared, events};
use crate::runtime::lines::Lines;
use crate::runtime::session::limit_bytes;

/// How much is read at a time.
const READ: usize = 64 << 10;

/// See [`super::Runtime::logs`].
pub(super) async fn stream(
    shared: &Arc<Shared>,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<BoxStream<'static, Result<OutputChunk>>> {
    let status = shared.container(id).await?;
    let Some(path) = status.log_path else { return Ok(empty().boxed()) };
    let may_grow = !matches!(status.state, ContainerState::Exited(_));
    let end = match options.follow && may_grow {
        true => Some(End::new(events::stream(Arc::clone(shared)), Arc::clone(shared), id.clone())),
        false => None,
    };
    let chunks = read(path, options.clone(), end).await.map_err(broken)?;
    Ok(limit_bytes(chunks, options.limit_bytes).boxed())
}

fn broken(error: io::Error) -> RuntimeError {
    RuntimeError::Broken { operation: "read log", source: error.into() }
}

/// A log that is read.
struct Reading {
    path: PathBuf,
    /// `None` until there is one.
    file: Option<File>,
    buffer: BytesMut,
    lines: Lines,
    /// Whether there is more than there is now.
    growth: Option<Growth>,
    /// Everything has been said.
    over: bool,
}

/// How one learns that a log has grown, and that it will not any more.
struct Growth {
    watch: Watch,
    end: End,
    ended: bool,
}

async fn read(
    path: PathBuf,
    options: LogOptions,
    end: Option<End>,
) -> io::Result<impl Stream<Item = Result<OutputChunk>> + Send> {
    // Watched first: what is written after the first look is told.
    let growth = match end {
        Some(end) => Some(Growth { watch: Watch::of(&path)?, end, ended: false }),
        None => None,
    };
    let file = open(&path).await?;
    let start = match (options.tail, &file) {
        (Some(lines), Some(file)) => start_of_last(file, lines, &options).await?,
        _ => None,
    };
    let mut file = file;
    let mut lines = Lines::new(&options);
    if let (Some(start), Some(file)) = (start, &mut file) {
        file.seek(SeekFrom::Start(start.offset)).await?;
        lines = Lines::from(&options, start.open);
    }
    let reading = Reading { path, file, buffer: BytesMut::new(), lines, growth, over: false };
    Ok(unfold(reading, |mut reading| async move {
        let chunk = reading.next().await.transpose()?;
        reading.over = chunk.is_err();
        Some((chunk.map_err(broken), reading))
    }))
}

async fn start_of_last(file: &File, lines: u64, options: &LogOptions) -> io::Result<Option<Start>> {
    let (copy, stream) = (file.try_clone().await?.into_std().await, options.stream);
    let found = tokio::task::spawn_blocking(move || records::start_of_last(&copy, lines, stream)).await;
    found.map_err(io::Error::other)?
}

async fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<OutputChunk>> {
        if self.over {
            return Ok(None);
        }
        loop {
            while let Some(record) = records::next(&mut self.buffer)? {
                if let Some(chunk) = record.and_then(|record| self.lines.write(record)) {
                    return Ok(Some(chunk));
                }
            }
            if !self.read_more().await? && !self.wait().await? {
                self.over = true;
                return Ok(None);
            }
        }
    }

    /// `false` at the end of what there is.
    async fn read_more(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        self.buffer.reserve(READ);
        Ok(file.read_buf(&mut self.buffer).await? > 0)
    }

    /// Waits until there may be more; `false` when there will not be any.
    async fn wait(&mut self) -> io::Result<bool> {
        if self.follow_rotation().await? {
            return Ok(true);
        }
        let Some(growth) = &mut self.growth else { return Ok(false) };
        if growth.ended {
            return Ok(false);
        }
        tokio::select! {
            changed = growth.watch.changed() => changed?,
            // What was written before the end is read after it.
            () = growth.end.reached() => growth.ended = true,
        }
        Ok(true)
    }

    /// Whether another file has taken the log's name, which is then the one that is read.
    async fn follow_rotation(&mut self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        if self.growth.is_none() {
            return Ok(false);
        }
        let Some(now) = open(&self.path).await? else { return Ok(false) };
        let other = match &self.file {
            Some(file) => {
                let (own, now) = (file.metadata().await?, now.metadata().await?);
                (own.dev(), own.ino()) != (now.dev(), now.ino())
            }
            None => true,
        };
        if other {
            self.file = Some(now);
            self.buffer.clear();
        }
        Ok(other)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr F two\nnonsense\n\
        2026-01-01T00:00:03Z stdout P thr\n2026-01-01T00:00:04Z stdout F ee\n2026-01-01T00:00:05Z stdout F four\n";

    async fn text(options: LogOptions) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let chunks: Vec<OutputChunk> = read(path, options, None).await.unwrap().try_collect().await.unwrap();
        chunks.iter().map(|chunk| std::str::from_utf8(&chunk.data).unwrap()).collect()
    }

    #[tokio::test]
    async fn records_become_lines() {
        let all = LogOptions::default();
        assert_eq!(text(all.clone()).await, "one\ntwo\nthree\nfour\n");
        for (tail, expected) in
            [(0, ""), (1, "four\n"), (2, "three\nfour\n"), (3, "two\nthree\nfour\n"), (9, "one\ntwo\nthree\nfour\n")]
        {
            assert_eq!(text(LogOptions { tail: Some(tail), ..all.clone() }).await, expected, "{tail}");
        }
        let stamped = text(LogOptions { tail: Some(2), timestamps: true, ..all.clone() }).await;
        assert_eq!(stamped, "2026-01-01T00:00:03Z three\n2026-01-01T00:00:05Z four\n");
        let since = LogOptions { since: Some("2026-01-01T00:00:03Z".parse().unwrap()), ..all };
        assert_eq!(text(since).await, "three\nfour\n");
    }

    #[tokio::test]
    async fn a_log_that_is_not_there_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let chunks = read(directory.path().join("0.log"), LogOptions::default(), None).await.unwrap();
        assert_eq!(chunks.count().await, 0);
    }
}
