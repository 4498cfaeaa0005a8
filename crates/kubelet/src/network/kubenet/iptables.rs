//! Reading and applying iptables rules, one process each.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::super::{NetworkError, Result};

/// Seconds that `iptables-restore` waits for another user of the tables.
const WAIT: &str = "10";

/// Computes the text for `iptables-restore --noflush` from what `iptables-save` says, and applies it. An empty text
/// is not applied.
pub(super) async fn apply(plan: impl FnOnce(&str) -> String) -> Result<()> {
    let current = save().await?;
    let text = plan(&current);
    if text.is_empty() {
        return Ok(());
    }
    restore(&text).await
}

async fn save() -> Result<String> {
    let output = Command::new("iptables-save").stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|source| failed("run iptables-save", source))?;
    if !output.status.success() {
        return Err(NetworkError::Rules(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn restore(text: &str) -> Result<()> {
    let mut child = Command::new("iptables-restore")
        .args(["--noflush", "--wait", WAIT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| failed("run iptables-restore", source))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).await.map_err(|source| failed("write to iptables-restore", source))?;
    }
    let output = child.wait_with_output().await.map_err(|source| failed("run iptables-restore", source))?;
    if !output.status.success() {
        return Err(NetworkError::Rules(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(())
}

fn failed(operation: &str, source: io::Error) -> NetworkError {
    NetworkError::Kernel { operation: operation.to_owned(), source }
}
