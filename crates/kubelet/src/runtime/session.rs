//! Streams in and out of containers: exec, attach, logs.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::io::AsyncWrite;

use super::Result;

/// Which of a process's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdStream {
    /// Standard output; everything, when there is a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output, cut anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// Where it was written.
    pub stream: StdStream,
    /// What was written.
    pub data: Bytes,
}

/// What a finished command left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Beginning of its standard output.
    pub stdout: Bytes,
    /// Beginning of its standard error.
    pub stderr: Bytes,
    /// Its exit code.
    pub exit_code: i32,
}

/// A command to run with streams attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// Streams wanted.
    pub stdin: bool,
    /// Streams wanted.
    pub stdout: bool,
    /// Streams wanted.
    pub stderr: bool,
}

/// Streams of the main process that are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Whether the container has a terminal.
    pub tty: bool,
    /// Streams wanted.
    pub stdin: bool,
    /// Streams wanted.
    pub stdout: bool,
    /// Streams wanted.
    pub stderr: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A process with its streams.
pub struct Session {
    /// Its standard input; shutting it down is end of file. `None` when not asked for.
    pub stdin: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    /// Its output; ends when the process has closed its streams.
    pub output: BoxStream<'static, Result<OutputChunk>>,
    /// Resizing and the end.
    pub control: Box<dyn SessionControl>,
}

/// What can be asked of a running process beside its streams.
#[async_trait]
pub trait SessionControl: Send + Sync {
    /// Resizes its terminal; without one this does nothing.
    async fn resize(&self, size: TerminalSize) -> Result<()>;

    /// Its exit code, once `output` has ended. An attached process that goes on running answers 0.
    async fn exit_code(&self) -> Result<i32>;
}

/// Which part of a log, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the container has ended.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u64>,
    /// Only what was written at or after this moment.
    pub since: Option<jiff::Timestamp>,
    /// Begin each line with its RFC 3339 time and a blank.
    pub timestamps: bool,
    /// At most so many bytes, counted after everything else.
    pub limit_bytes: Option<u64>,
    /// Only this stream; `None` is both.
    pub stream: Option<StdStream>,
}

/// Ends a stream after so many bytes.
pub(super) fn limit_bytes(
    chunks: impl Stream<Item = Result<OutputChunk>> + Send + 'static,
    limit: Option<u64>,
) -> impl Stream<Item = Result<OutputChunk>> + Send + 'static {
    let left = limit.unwrap_or(u64::MAX);
    chunks.scan(left, |left, chunk| {
        let cut = match chunk {
            _ if *left == 0 => None,
            Err(error) => Some(Err(error)),
            Ok(mut chunk) => {
                let room = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.data.len());
                chunk.data.truncate(room);
                *left -= room as u64;
                Some(Ok(chunk))
            }
        };
        futures::future::ready(cut)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_limited_across_chunks() {
        let chunk = |text: &'static str| Ok(OutputChunk { stream: StdStream::Stdout, data: Bytes::from(text) });
        for (limit, expected) in [(None, "abcdef"), (Some(4), "abcd"), (Some(0), ""), (Some(9), "abcdef")] {
            let limited = limit_bytes(futures::stream::iter([chunk("abc"), chunk("def")]), limit);
            let kept: Vec<Bytes> = limited.map(|chunk| chunk.unwrap().data).collect().await;
            assert_eq!(kept.concat(), expected.as_bytes(), "{limit:?}");
        }
    }
}
