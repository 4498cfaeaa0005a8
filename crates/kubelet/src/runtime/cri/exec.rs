//! Commands inside containers, and the streams of containers' main processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Request};

use super::client::{Method, translate};
use super::protocol::{
    AttachRequest as WireAttach, ExecRequest as WireExec, ExecSyncRequest, ExecSyncResponse, StreamingResponse,
};
use super::sessions::{self, Wanted};
use super::{AttachRequest, ContainerId, ExecOutput, ExecRequest, Result, RuntimeError, Session, Shared};

/// How much of each stream [`super::Runtime::exec_sync`] keeps.
const KEPT_OUTPUT: usize = 16 << 10;

impl Shared {
    /// A command whose question is taken back is killed by the runtime, so that its time-out is as exact as here.
    pub(super) async fn run_command(
        self: &Arc<Self>,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let seconds = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
        let question = ExecSyncRequest {
            container_id: id.0.clone(),
            cmd: command.to_vec(),
            timeout: i64::try_from(seconds).unwrap_or(i64::MAX),
        };
        let asked = self.client.ask(Method::EXEC_SYNC, timeout, Request::new(question));
        let output: ExecSyncResponse = match tokio::time::timeout(timeout, asked).await {
            Err(_) => return Err(RuntimeError::Timeout(timeout)),
            Ok(Err(status)) if status.code() == Code::DeadlineExceeded => return Err(RuntimeError::Timeout(timeout)),
            Ok(Err(status)) => return Err(self.why(id, translate(Method::EXEC_SYNC, id.as_str(), status)).await),
            Ok(Ok(output)) => output,
        };
        let kept = |mut data: Bytes| {
            data.truncate(KEPT_OUTPUT);
            data
        };
        Ok(ExecOutput { stdout: kept(output.stdout), stderr: kept(output.stderr), exit_code: output.exit_code })
    }

    pub(super) async fn exec_session(self: &Arc<Self>, id: &ContainerId, request: &ExecRequest) -> Result<Session> {
        let wanted = Wanted {
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let question = WireExec {
            container_id: id.0.clone(),
            cmd: request.command.clone(),
            tty: wanted.tty,
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
        };
        self.session(id, self.client.call(Method::EXEC, id.as_str(), question).await, wanted).await
    }

    pub(super) async fn attach_session(self: &Arc<Self>, id: &ContainerId, request: &AttachRequest) -> Result<Session> {
        let wanted = Wanted {
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let question = WireAttach {
            container_id: id.0.clone(),
            stdin: wanted.stdin,
            tty: wanted.tty,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
        };
        self.session(id, self.client.call(Method::ATTACH, id.as_str(), question).await, wanted).await
    }

    async fn session(
        self: &Arc<Self>,
        id: &ContainerId,
        place: Result<StreamingResponse>,
        wanted: Wanted,
    ) -> Result<Session> {
        match place {
            Ok(place) => sessions::open(&place.url, wanted).await,
            Err(error) => Err(self.why(id, error).await),
        }
    }

    /// Runtimes say in words of their own that a container does not run.
    async fn why(self: &Arc<Self>, id: &ContainerId, error: RuntimeError) -> RuntimeError {
        let refused = matches!(error, RuntimeError::Refused { .. });
        match self.container(id).await {
            Ok(status) if refused && !status.state.is_running() => RuntimeError::NotRunning(id.0.clone()),
            _ => error,
        }
    }
}
