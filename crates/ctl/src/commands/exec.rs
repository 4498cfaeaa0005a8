//! `ctl exec`, and what `run -it` shares with it: a terminal joined to a remote process.

use std::{io::IsTerminal, time::Duration};

use api_types::{core::Pod, meta::Status};
use clap::Args;
use futures::SinkExt;
use kube::{
    Api as Pods,
    api::{AttachParams, AttachedProcess, TerminalSize},
};
use nix::sys::termios::{self, SetArg, Termios};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
};

use super::pods;
use crate::{
    api::Api,
    error::{Error, Result},
    manifests::FileFlags,
    program::misused,
};

/// What to run where.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME
    #[arg(value_name = "POD")]
    names: Vec<String>,
    /// A file with the object whose pod is meant
    #[command(flatten)]
    files: FileFlags,
    /// Container
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Standard input is a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Only what the process says
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait for a pod
    #[arg(long, default_value = "1m", value_parser = component::flags::duration)]
    pod_running_timeout: Duration,
    /// The command and its arguments
    #[arg(last = true)]
    command: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such pod, or the remote command fails: [`Error::RemoteExit`].
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let (name, command) = flags.split()?;
    let pod = pods::find_within(api, &name, flags.pod_running_timeout).await?;
    if let Some(phase @ ("Succeeded" | "Failed")) = pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        let words = format!("cannot exec into a container in a completed pod; current phase is {phase}");
        return Err(Error::usage(words));
    }
    let container = pods::container(&pod, flags.container.as_deref())?;
    let streams = Streams { stdin: flags.stdin, tty: flags.tty }.settle(flags.quiet);
    let parameters = streams.parameters(&container);
    let process = pods_api(api)
        .exec(pod.metadata.name.as_deref().unwrap_or_default(), command, &parameters)
        .await
        .map_err(|error| api.explain(error))?;
    streams.join(process).await
}

impl Flags {
    /// The pod's name, and the command. Without `--` between them, as people typed it before 1.18, it is still understood.
    fn split(&self) -> Result<(String, &[String])> {
        let from_file = !self.files.filenames.is_empty();
        let (name, rest) = match (from_file, self.names.split_first()) {
            (true, _) => (pods::named_in(&self.files)?, self.names.as_slice()),
            (false, Some((name, rest))) => (name.clone(), rest),
            (false, None) => return Err(Error::usage("pod, type/name or --filename must be specified")),
        };
        match (rest, self.command.as_slice()) {
            ([], []) => Err(Error::usage("you must specify at least one command for the container")),
            ([], command) => Ok((name, command)),
            (command, []) => {
                let program = crate::program::name();
                eprintln!(
                    "{program} exec [POD] [COMMAND] is DEPRECATED. Use {program} exec [POD] -- [COMMAND] instead."
                );
                Ok((name, command))
            }
            _ => Err(misused(
                "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead",
                "exec",
            )),
        }
    }
}

/// The typed API of pods in the command's namespace.
#[must_use]
pub fn pods_api(api: &Api) -> Pods<Pod> {
    Pods::namespaced(api.client.clone(), &api.namespace)
}

/// Which streams to join.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// One terminal instead of two output streams.
    pub tty: bool,
}

impl Streams {
    /// What can be had of these: there is no terminal without standard input, nor where that is none.
    #[must_use]
    pub fn settle(mut self, quiet: bool) -> Self {
        self.tty &= self.stdin;
        if self.tty && !std::io::stdin().is_terminal() {
            self.tty = false;
            if !quiet {
                eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
            }
        }
        self
    }

    /// The request's parameters.
    #[must_use]
    pub fn parameters(self, container: &str) -> AttachParams {
        let parameters = AttachParams::default().container(container).stdin(self.stdin).stdout(true);
        parameters.stderr(!self.tty).tty(self.tty)
    }

    /// Copies until the remote process ends.
    ///
    /// # Errors
    /// [`Error::RemoteExit`] when it fails.
    pub async fn join(self, mut process: AttachedProcess) -> Result<()> {
        let terminal = if self.tty && self.stdin { RawTerminal::enter() } else { None };
        let status = process.take_status();
        let resize = process.terminal_size();
        let input = process.stdin().filter(|_| self.stdin);
        let background = tokio::spawn(async move {
            let input = async move {
                if let Some(input) = input {
                    pump(tokio::io::stdin(), input).await;
                }
            };
            tokio::join!(input, follow_size(resize));
        });
        let output = process.stdout().map(|stream| pump(stream, tokio::io::stdout()));
        let errors = process.stderr().map(|stream| pump(stream, tokio::io::stderr()));
        tokio::join!(maybe(output), maybe(errors));
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        background.abort();
        drop(terminal);
        match status {
            Some(status) if status.status.as_deref() == Some("Failure") => Err(failure(&status)),
            _ => Ok(()),
        }
    }
}

async fn maybe(copy: Option<impl Future<Output = ()>>) {
    if let Some(copy) = copy {
        copy.await;
    }
}

/// Copies and flushes as it goes: a prompt has no newline.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    use tokio::io::AsyncReadExt;
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

async fn follow_size<S>(resize: Option<S>)
where
    S: futures::Sink<TerminalSize> + Unpin,
{
    let (Some(mut resize), Ok(mut changed)) = (resize, signal(SignalKind::window_change())) else { return };
    while let Some((height, width)) = terminal_size() {
        if resize.send(TerminalSize { height, width }).await.is_err() || changed.recv().await.is_none() {
            return;
        }
    }
}

/// Rows and columns, from `stty`, which asks the terminal on standard input.
fn terminal_size() -> Option<(u16, u16)> {
    let output = std::process::Command::new("stty").arg("size").stdin(std::process::Stdio::inherit()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (rows, columns) = text.trim().split_once(' ')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}

/// Why a remote process failed.
#[must_use]
pub fn failure(status: &Status) -> Error {
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let exit_code = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = exit_code.filter_map(|cause| cause.message.as_deref()?.parse().ok()).next();
    code.map_or_else(|| Error::usage(status.message.clone().unwrap_or_default()), Error::RemoteExit)
}

/// The terminal passes every key on while this lives.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, SetArg::TCSANOW, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing can be done for a terminal that is gone.
        let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.before);
    }
}
