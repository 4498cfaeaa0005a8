//! Sessions with the fake's programs.

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio_util::io::ReaderStream;

use super::program::Program;
use crate::runtime::{
    ExecRequest, OutputChunk, Result, RuntimeError, Session, SessionControl, StdStream, TerminalSize,
};

/// How much input a program takes before somebody reads its output.
const PIPE: usize = 64 << 10;

/// A session in which `program` prints what it prints, then copies its input if it does that, then ends.
pub(super) fn of_command(program: Program, request: &ExecRequest) -> Session {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let code = program.end;
    let copied = (program.echoes && request.stdin).then(|| ReaderStream::new(theirs));
    let copied = stream::iter(copied).flatten().map(|data| {
        let data = data.map_err(|error| RuntimeError::Broken { operation: "read input", source: error.into() })?;
        Ok(OutputChunk { stream: StdStream::Stdout, data })
    });
    let printed = stream::iter(program.prints.into_iter().map(Ok));
    let open_end = stream::iter(code.is_none().then(stream::pending)).flatten();
    Session {
        stdin: request.stdin.then(|| Box::pin(ours) as _),
        output: printed.chain(copied).chain(open_end).boxed(),
        control: Box::new(Control { code: code.unwrap_or(0) }),
    }
}

struct Control {
    code: i32,
}

#[async_trait]
impl SessionControl for Control {
    async fn resize(&self, _size: TerminalSize) -> Result<()> {
        Ok(())
    }

    async fn exit_code(&self) -> Result<i32> {
        Ok(self.code)
    }
}
