//! Container logs, read back through Docker: its records become the lines that the container wrote.

mod records;

use bytes::BytesMut;
use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;

use self::records::Records;
use super::client::Answer;
use super::{ContainerId, DockerRuntime, LogOptions, OutputChunk, Result, RuntimeError, StdStream};
use crate::runtime::lines::{Lines, Record, Start, Tail};
use crate::runtime::session::limit_bytes;

/// How many more records than lines are looked at first. Lines of more than one record are rare.
const MORE: u64 = 16;
/// How often a log that grows meanwhile is looked at again for where its last lines begin.
const LOOKS: usize = 4;

impl DockerRuntime {
    pub(super) async fn log_stream(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<OutputChunk>>> {
        let details = self.inspect(id.as_str()).await?;
        let log =
            Log { runtime: self, id, tty: details.config.is_some_and(|config| config.tty == Some(true)), options };
        let chunks = match options.tail {
            Some(lines) if lines > 0 => log.last(lines).await?,
            Some(_) => log.chunks(Some(0), Lines::new(options)).await?.boxed(),
            None => log.chunks(None, Lines::new(options)).await?.boxed(),
        };
        Ok(limit_bytes(chunks, options.limit_bytes).boxed())
    }
}

/// A log that is read.
struct Log<'a> {
    runtime: &'a DockerRuntime,
    id: &'a ContainerId,
    tty: bool,
    options: &'a LogOptions,
}

/// Whether records that are still to be written are waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Future {
    Awaited,
    Ignored,
}

impl Log<'_> {
    /// The last so many lines, and what follows. Docker counts records, so where the lines begin is found first; and what
    /// Docker then gives is what was found, unless the log has grown.
    async fn last(&self, lines: u64) -> Result<BoxStream<'static, Result<OutputChunk>>> {
        let mut looks = 0;
        loop {
            looks += 1;
            let Some(start) = self.start(lines).await? else {
                return Ok(self.chunks(None, Lines::new(self.options)).await?.boxed());
            };
            let mut records = Box::pin(self.records(Some(start.records), self.awaited()).await?);
            let first = records.next().await.transpose()?;
            let same = first.as_ref().is_some_and(|first| first.time == start.time);
            if same || looks == LOOKS {
                let records = futures::stream::iter(first.map(Ok)).chain(records);
                return Ok(written(records, Lines::from(self.options, start.open)).boxed());
            }
        }
    }

    /// Where the last so many lines begin; `None` when there are no more than that.
    async fn start(&self, lines: u64) -> Result<Option<Start>> {
        let mut window = lines.saturating_add(MORE);
        loop {
            let mut tail = Tail::new(lines, self.options.stream);
            let mut seen = 0;
            let mut records = Box::pin(self.records(Some(window), Future::Ignored).await?);
            while let Some(record) = records.next().await {
                tail.see(&record?);
                seen += 1;
            }
            if seen < window {
                return Ok(tail.start_in_all());
            }
            if let Some(start) = tail.start() {
                return Ok(Some(start));
            }
            window = window.saturating_mul(4);
        }
    }

    fn awaited(&self) -> Future {
        if self.options.follow { Future::Awaited } else { Future::Ignored }
    }

    async fn chunks(
        &self,
        tail: Option<u64>,
        lines: Lines,
    ) -> Result<impl Stream<Item = Result<OutputChunk>> + Send + use<>> {
        Ok(written(self.records(tail, self.awaited()).await?, lines))
    }

    /// The last so many records, or all of them.
    async fn records(
        &self,
        tail: Option<u64>,
        future: Future,
    ) -> Result<impl Stream<Item = Result<Record>> + Send + use<>> {
        let flag = |wanted: bool| if wanted { "1" } else { "0" };
        // Of both streams: the tail counts them all, whichever is asked for.
        let path = format!(
            "/containers/{}/logs?follow={}&stdout=1&stderr=1&timestamps=1&tail={}",
            self.id,
            flag(future == Future::Awaited),
            tail.map_or_else(|| "all".to_owned(), |records| records.to_string()),
        );
        let answer = self.runtime.client.get(&path, self.id.as_str()).await?;
        Ok(read(answer, Records::new(self.tty)))
    }
}

fn written(
    records: impl Stream<Item = Result<Record>> + Send,
    mut lines: Lines,
) -> impl Stream<Item = Result<OutputChunk>> + Send {
    records.filter_map(move |record| {
        let chunk = record.map(|record| lines.write(record)).transpose();
        futures::future::ready(chunk)
    })
}

/// What has been read of an answer.
struct Reading {
    answer: Answer,
    records: Records,
    buffer: BytesMut,
    more: bool,
}

/// Fused: whoever looks for a first record may ask again after the end.
fn read(answer: Answer, records: Records) -> impl Stream<Item = Result<Record>> + Send {
    let begin = Reading { answer, records, buffer: BytesMut::new(), more: true };
    unfold(begin, |mut reading| async move {
        let record = reading.next().await.transpose()?;
        Some((record, reading))
    })
    .fuse()
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Record>> {
        let broken = |source| RuntimeError::Broken { operation: "read log", source };
        loop {
            let found = match self.more {
                true => self.records.next(&mut self.buffer),
                false => Ok(self.records.last(&mut self.buffer)),
            };
            match found.map_err(|error| broken(error.into()))? {
                Some(record) => return Ok(Some(record)),
                None if !self.more => return Ok(None),
                None => {}
            }
            match self.answer.body().frame().await {
                Some(frame) => {
                    let frame = frame.map_err(|error| broken(error.into()))?;
                    self.buffer.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                }
                None => self.more = false,
            }
        }
    }
}
