//! Container logs, read back through Docker.

use bollard::query_parameters::LogsOptions;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::exec::chunks;
use super::{ContainerId, DockerRuntime, LogOptions, OutputChunk, Result, StdStream};
use crate::runtime::session::limit_bytes;

impl DockerRuntime {
    pub(super) async fn log_stream(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<OutputChunk>>> {
        // A missing container is an error now, not the first item of the stream.
        self.inspect(id.as_str()).await?;
        let output = self.client.docker()?.logs(id.as_str(), Some(to_docker(options)));
        Ok(limit_bytes(chunks(output), options.limit_bytes).boxed())
    }
}

fn to_docker(options: &LogOptions) -> LogsOptions {
    let since = options.since.map_or(0, |time| i32::try_from(time.as_second()).unwrap_or(i32::MAX));
    LogsOptions {
        follow: options.follow,
        stdout: options.stream != Some(StdStream::Stderr),
        stderr: options.stream != Some(StdStream::Stdout),
        since: since.max(0),
        timestamps: options.timestamps,
        tail: options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
        ..LogsOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_dockers() {
        let all = to_docker(&LogOptions::default());
        assert_eq!((all.stdout, all.stderr, all.tail.as_str(), all.since), (true, true, "all", 0));
        let some = to_docker(&LogOptions {
            tail: Some(0),
            since: Some(jiff::Timestamp::from_second(7).unwrap()),
            stream: Some(StdStream::Stderr),
            ..LogOptions::default()
        });
        assert_eq!((some.stdout, some.stderr, some.tail.as_str(), some.since), (false, true, "0", 7));
    }
}
