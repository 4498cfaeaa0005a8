//! Running a plugin.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::super::{NetworkError, Result};

/// How long a plugin may take: upstream's time for a question to the runtime.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of what a plugin says is listened to, in bytes.
const SAID: u64 = 1 << 20;

/// What is done to a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is connected.
    Add,
    /// It is disconnected.
    Delete,
}

impl Operation {
    /// As the specification writes it.
    fn command(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Delete => "DEL",
        }
    }

    /// As upstream's messages write it.
    fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Delete => "delete",
        }
    }
}

/// What plugins are told in their environment.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// What is done.
    pub operation: Operation,
    /// The sandbox's id.
    pub container: &'a str,
    /// The path of its network namespace; empty when it is gone.
    pub namespace: &'a str,
    /// Which pod it is, as `KEY=VALUE;…`.
    pub arguments: &'a str,
    /// Where plugins are.
    pub directories: &'a [PathBuf],
}

/// How the sandbox's interface is called.
pub const INTERFACE: &str = "eth0";

impl Call<'_> {
    /// Runs the plugin with this name, and gives back what it answers: `null` when that is nothing.
    ///
    /// # Errors
    /// When it is not there, fails, or answers nonsense; in upstream's words.
    pub async fn run(&self, name: &str, input: &Value) -> Result<Value> {
        let failed =
            |why: String| NetworkError::Plugin { name: name.to_owned(), operation: self.operation.word(), why };
        let program = self.find(name).map_err(failed)?;
        let output = tokio::time::timeout(PATIENCE, self.talk(&program, input)).await;
        let output = output.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(complaint(&output)));
        }
        if output.stdout.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its answer: {error}")))
    }

    fn find(&self, name: &str) -> Result<PathBuf, String> {
        let found = self.directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
        let shown = || self.directories.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
        found.ok_or_else(|| format!("failed to find plugin {name:?} in path [{}]", shown()))
    }

    async fn talk(&self, program: &Path, input: &Value) -> io::Result<Output> {
        let mut command = Command::new(program);
        command.env("CNI_COMMAND", self.operation.command());
        command.env("CNI_CONTAINERID", self.container).env("CNI_NETNS", self.namespace).env("CNI_IFNAME", INTERFACE);
        command
            .env("CNI_ARGS", self.arguments)
            .env("CNI_PATH", std::env::join_paths(self.directories).map_err(io::Error::other)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let tell = async {
            if let Some(mut stdin) = stdin {
                // Who does not listen to the end may know what to do all the same.
                let _ = stdin.write_all(input.to_string().as_bytes()).await;
            }
        };
        let ((), stdout, stderr) = tokio::join!(tell, said(stdout), said(stderr));
        let (stdout, stderr) = (stdout?, stderr?);
        Ok(Output { status: child.wait().await?, stdout, stderr })
    }
}

async fn said(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    if let Some(stream) = stream {
        stream.take(SAID + 1).read_to_end(&mut said).await?;
    }
    if said.len() as u64 > SAID {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it says more than {SAID} bytes")));
    }
    Ok(said)
}

/// What plugins that fail answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Complaint {
    msg: String,
    details: String,
}

fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    match serde_json::from_slice::<Complaint>(&output.stdout) {
        Ok(Complaint { msg, details }) if details.is_empty() && !msg.is_empty() => msg,
        Ok(Complaint { msg, details }) if !msg.is_empty() => format!("{msg}; {details}"),
        _ if said.trim().is_empty() => format!("netplugin failed with no error message: {}", output.status),
        _ => format!("netplugin failed: {:?}", said.trim()),
    }
}
