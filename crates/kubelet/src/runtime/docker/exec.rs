//! Commands in containers, and attaching to their main process.

use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::{AttachContainerOptions, ResizeContainerTTYOptions, ResizeExecOptions};
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

use super::client::{Client, lacking, status_code, translate};
use super::kill::kill_tree;
use super::{
    AttachRequest, ContainerId, DockerRuntime, ExecOutput, ExecRequest, OutputChunk, Result, RuntimeError, Session,
    SessionControl, StdStream, TerminalSize,
};

/// How much of each stream [`super::Runtime::exec_sync`] keeps.
const KEPT_OUTPUT: usize = 16 << 10;
/// Docker learns of a command's end a moment after its streams have closed.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_secs(2);

impl DockerRuntime {
    /// Runs in a task of its own: a caller that goes away does not leave the command without its time-out.
    pub(super) async fn run_command(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let job = Job { client: self.client.clone(), id: id.clone(), timeout };
        let task = self.commands.spawn(job.run(command.to_vec()));
        task.await.map_err(|error| RuntimeError::Broken { operation: "exec", source: error.into() })?
    }

    pub(super) async fn exec_session(&self, id: &ContainerId, request: &ExecRequest) -> Result<Session> {
        let docker = self.client.docker()?;
        let exec_id = create(&docker, id, request).await?;
        let (output, input) = start(&docker, id, &exec_id, request.tty).await?;
        Ok(Session {
            stdin: request.stdin.then_some(input),
            output: chunks(output).boxed(),
            control: Box::new(ExecControl { docker, exec_id, tty: request.tty }),
        })
    }

    pub(super) async fn attach_session(&self, id: &ContainerId, request: &AttachRequest) -> Result<Session> {
        let docker = self.client.docker()?;
        let options = AttachContainerOptions {
            stream: true,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            ..AttachContainerOptions::default()
        };
        let attached = docker.attach_container(id.as_str(), Some(options)).await;
        let attached = attached.map_err(|error| exec_error("attach", id, error))?;
        // At one that does not run Docker waits until it is started. What ends after this look ends the session.
        if !self.read_container(id.as_str()).await?.state.is_running() {
            return Err(RuntimeError::NotRunning(id.0.clone()));
        }
        Ok(Session {
            stdin: request.stdin.then_some(attached.input),
            output: chunks(attached.output).boxed(),
            control: Box::new(AttachControl { docker, id: id.clone(), tty: request.tty }),
        })
    }
}

/// One command with a time-out.
struct Job {
    client: Client,
    id: ContainerId,
    timeout: Duration,
}

impl Job {
    async fn run(self, command: Vec<String>) -> Result<ExecOutput> {
        let docker = self.client.docker()?;
        let request = ExecRequest { command, stdout: true, stderr: true, ..ExecRequest::default() };
        let exec_id = create(&docker, &self.id, &request).await?;
        match tokio::time::timeout(self.timeout, collect(&docker, &self.id, &exec_id)).await {
            Ok(output) => output,
            Err(_) => {
                self.kill(&docker, &exec_id).await?;
                Err(RuntimeError::Timeout(self.timeout))
            }
        }
    }

    /// Docker may have been asked to start the command and not have done it yet.
    async fn kill(&self, docker: &Docker, exec_id: &str) -> Result<()> {
        let mut look = FIRST_LOOK;
        loop {
            let details = docker.inspect_exec(exec_id).await.map_err(|error| exec_error("exec", &self.id, error))?;
            let pid = details.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
            if let Some(pid) = pid {
                let id = self.id.clone();
                let killed = tokio::task::spawn_blocking(move || kill_tree(pid, id.as_str())).await;
                return killed.map_err(|error| RuntimeError::Broken { operation: "exec", source: error.into() });
            }
            if details.exit_code.is_some() || look > LAST_LOOK {
                return Ok(());
            }
            tokio::time::sleep(look).await;
            look *= 2;
        }
    }
}

async fn collect(docker: &Docker, id: &ContainerId, exec_id: &str) -> Result<ExecOutput> {
    let (output, _input) = start(docker, id, exec_id, false).await?;
    let mut kept = (BytesMut::new(), BytesMut::new());
    let mut output = std::pin::pin!(chunks(output));
    while let Some(chunk) = output.next().await {
        let OutputChunk { stream, data } = chunk?;
        let buffer = if stream == StdStream::Stdout { &mut kept.0 } else { &mut kept.1 };
        let room = KEPT_OUTPUT.saturating_sub(buffer.len()).min(data.len());
        buffer.extend_from_slice(&data[..room]);
    }
    let exit_code = exec_exit_code(docker, exec_id).await?;
    Ok(ExecOutput { stdout: kept.0.freeze(), stderr: kept.1.freeze(), exit_code })
}

async fn create(docker: &Docker, id: &ContainerId, request: &ExecRequest) -> Result<String> {
    let config = ExecConfig {
        cmd: Some(request.command.clone()),
        tty: Some(request.tty),
        attach_stdin: Some(request.stdin),
        attach_stdout: Some(request.stdout),
        attach_stderr: Some(request.stderr && !request.tty),
        ..ExecConfig::default()
    };
    let created = docker.create_exec(id.as_str(), config).await;
    created.map(|created| created.id).map_err(|error| exec_error("exec", id, error))
}

type Output = BoxStream<'static, Result<LogOutput, Error>>;
type Input = std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>;

async fn start(docker: &Docker, id: &ContainerId, exec_id: &str, tty: bool) -> Result<(Output, Input)> {
    let options = StartExecOptions { tty, ..StartExecOptions::default() };
    let started = docker.start_exec(exec_id, Some(options)).await;
    match started.map_err(|error| exec_error("exec", id, error))? {
        StartExecResults::Attached { output, input } => Ok((output, input)),
        StartExecResults::Detached => Err(lacking("exec", "streams")),
    }
}

fn exec_error(operation: &'static str, id: &ContainerId, error: Error) -> RuntimeError {
    match status_code(&error) {
        Some(409) => RuntimeError::NotRunning(id.0.clone()),
        _ => translate(operation, id.as_str(), error),
    }
}

/// Docker's frames as chunks; a terminal's output has no frames and is all standard output.
fn chunks(
    output: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
) -> impl Stream<Item = Result<OutputChunk>> + Send + 'static {
    output.map(|frame| {
        let frame = frame.map_err(|error| translate("read output", "stream", error))?;
        let chunk = |stream, data: Bytes| OutputChunk { stream, data };
        Ok(match frame {
            LogOutput::StdErr { message } => chunk(StdStream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                chunk(StdStream::Stdout, message)
            }
        })
    })
}

async fn exec_exit_code(docker: &Docker, exec_id: &str) -> Result<i32> {
    let mut look = FIRST_LOOK;
    loop {
        let details = docker.inspect_exec(exec_id).await.map_err(|error| translate("exec", exec_id, error))?;
        if let (Some(code), Some(false)) = (details.exit_code, details.running) {
            return Ok(i32::try_from(code).unwrap_or(-1));
        }
        if look > LAST_LOOK {
            return Err(lacking("exec", "exit code"));
        }
        tokio::time::sleep(look).await;
        look *= 2;
    }
}

/// Control of an executed command.
struct ExecControl {
    docker: Docker,
    exec_id: String,
    tty: bool,
}

#[async_trait]
impl SessionControl for ExecControl {
    async fn resize(&self, size: TerminalSize) -> Result<()> {
        if !self.tty {
            return Ok(());
        }
        let options = ResizeExecOptions { h: size.height.into(), w: size.width.into() };
        let resized = self.docker.resize_exec(&self.exec_id, options).await;
        resized.map_err(|error| translate("resize terminal", &self.exec_id, error))
    }

    async fn exit_code(&self) -> Result<i32> {
        exec_exit_code(&self.docker, &self.exec_id).await
    }
}

/// Control of an attached main process.
struct AttachControl {
    docker: Docker,
    id: ContainerId,
    tty: bool,
}

#[async_trait]
impl SessionControl for AttachControl {
    async fn resize(&self, size: TerminalSize) -> Result<()> {
        if !self.tty {
            return Ok(());
        }
        let options = ResizeContainerTTYOptions { h: size.height.into(), w: size.width.into() };
        let resized = self.docker.resize_container_tty(self.id.as_str(), options).await;
        resized.map_err(|error| translate("resize terminal", self.id.as_str(), error))
    }

    async fn exit_code(&self) -> Result<i32> {
        Ok(0)
    }
}
