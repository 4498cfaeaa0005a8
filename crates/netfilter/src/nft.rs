//! The program `nft`.

use std::collections::BTreeSet;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::transaction::Table;

/// For how long one run may take. 100,000 elements need seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How much of the program's complaints is passed on: it repeats the input's lines, which may be long.
const MESSAGE_LIMIT: usize = 600;

/// Runs `nft`, in the network namespace of the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nft;

/// The rules were not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program could not be started or talked to.
    #[error("run nft: {0}")]
    Run(#[source] io::Error),
    /// The program did not finish.
    #[error("nft did not finish within {TIME_LIMIT:?}")]
    TimedOut,
    /// The program reported a failure.
    #[error("nft failed: {0}")]
    Failed(String),
}

impl Nft {
    /// Makes all changes or none.
    ///
    /// # Errors
    /// When nothing was changed.
    pub async fn run(&self, script: &str) -> Result<(), NftError> {
        self.communicate(&["-f", "-"], script).await.map(|_| ())
    }

    /// Has program and kernel look at the changes, and makes none.
    ///
    /// # Errors
    /// When they would fail.
    pub async fn check(&self, script: &str) -> Result<(), NftError> {
        self.communicate(&["-c", "-f", "-"], script).await.map(|_| ())
    }

    /// The names of the table's chains; none when the table is not there. Costs nothing that grows with elements.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn chains(&self, table: Table) -> Result<BTreeSet<String>, NftError> {
        let listing = self.communicate(&["list", "chains", table.family.name()], "").await?;
        Ok(chains_of(&listing, table))
    }

    async fn communicate(&self, args: &[&str], input: &str) -> Result<String, NftError> {
        let run = async {
            let mut command = Command::new("nft");
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn()?;
            let stdin = child.stdin.take();
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A program that gives up early closes its end; its exit status tells more than this error.
                    let _ = stdin.write_all(input.as_bytes()).await;
                }
            };
            let ((), output) = tokio::join!(feed, child.wait_with_output());
            output
        };
        let output = tokio::time::timeout(TIME_LIMIT, run).await.map_err(|_| NftError::TimedOut)?;
        let output = output.map_err(NftError::Run)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(MESSAGE_LIMIT).collect();
        Err(NftError::Failed(format!("{}: {message}", output.status)))
    }
}

fn chains_of(listing: &str, table: Table) -> BTreeSet<String> {
    let head = format!("table {table} {{");
    let ours = listing.lines().skip_while(|line| *line != head).skip(1).take_while(|line| *line != "}");
    let names = ours.filter_map(|line| line.strip_prefix("\tchain ")?.strip_suffix(" {"));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Family;

    #[test]
    fn only_the_tables_own_chains_count() {
        let listing = "table ip nat {\n\tchain a {\n\t}\n}\ntable ip t {\n\tchain b {\n\t\ttype nat hook output \
                       priority -100; policy accept;\n\t}\n\tchain c {\n\t}\n}\ntable ip u {\n\tchain d {\n\t}\n}\n";
        let chains = |name| chains_of(listing, Table { family: Family::Ip, name }).into_iter().collect::<Vec<_>>();
        assert_eq!(chains("t"), ["b", "c"]);
        assert!(chains("v").is_empty());
    }
}
