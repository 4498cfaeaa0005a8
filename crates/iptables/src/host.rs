//! The kernel, through the iptables programs.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::executor::{Error, Iptables};
use crate::names::{ChainName, Family, Table};
use crate::ruleset::Ruleset;
use crate::script::Script;

/// For how long one program may run, waiting for the lock included. Upstream's hosts with 100,000 rules need seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Seconds to wait for the xtables lock (`-w`), which other programs hold for moments only.
const LOCK_SECONDS: &str = "5";

/// Which kernel interface holds the rules. Rules in the other one would work, but separately, and confuse everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Whatever `iptables` is on this machine.
    Default,
    /// `iptables-nft`: nf_tables.
    Nft,
    /// `iptables-legacy`: x_tables.
    Legacy,
}

impl Flavour {
    fn program(self, family: Family, action: &str) -> String {
        let base = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        match self {
            Flavour::Default => format!("{base}-{action}"),
            Flavour::Nft => format!("{base}-nft-{action}"),
            Flavour::Legacy => format!("{base}-legacy-{action}"),
        }
    }
}

/// Runs `iptables-save` and `iptables-restore`.
#[derive(Clone, Debug)]
pub struct HostIptables {
    flavour: Flavour,
    /// What stands before the program on the command line; empty for this process's own network namespace.
    wrapper: Vec<OsString>,
}

impl HostIptables {
    /// This process's network namespace; the flavour that is in use there.
    ///
    /// # Errors
    /// When no iptables program can be run.
    pub async fn detect() -> Result<Self, Error> {
        let mut host = Self { flavour: Flavour::Default, wrapper: Vec::new() };
        host.flavour = host.flavour_in_use().await?;
        Ok(host)
    }

    /// A given flavour in this process's network namespace.
    #[must_use]
    pub fn with_flavour(flavour: Flavour) -> Self {
        Self { flavour, wrapper: Vec::new() }
    }

    /// The same in the network namespace bound to this file (`/run/netns/NAME`).
    #[must_use]
    pub fn in_namespace(mut self, namespace: &Path) -> Self {
        let mut net = OsString::from("--net=");
        net.push(namespace);
        self.wrapper = vec!["nsenter".into(), net];
        self
    }

    /// The flavour that is used.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The flavour that already holds more rules, as upstream's images decide; a kubelet's hint decides at once.
    /// Legacy tables are only asked when the kernel says that there are any, since asking creates them.
    async fn flavour_in_use(&self) -> Result<Flavour, Error> {
        let legacy_tables = tokio::fs::read_to_string("/proc/net/ip_tables_names").await.unwrap_or_default();
        if legacy_tables.trim().is_empty() {
            return Ok(Flavour::Default);
        }
        let count = |flavour: Flavour| async move {
            let saved = self.run(&flavour.program(Family::V4, "save"), &[], "").await?;
            let hinted = saved.contains(":KUBE-IPTABLES-HINT ") || saved.contains(":KUBE-SERVICES ");
            Ok::<_, Error>((hinted, saved.lines().filter(|line| line.starts_with('-')).count()))
        };
        match (count(Flavour::Nft).await, count(Flavour::Legacy).await) {
            (Ok(nft), Ok(legacy)) if legacy > nft => Ok(Flavour::Legacy),
            (Ok(_), Ok(_)) => Ok(Flavour::Nft),
            _ => Ok(Flavour::Default),
        }
    }

    async fn run(&self, program: &str, args: &[&str], input: &str) -> Result<String, Error> {
        let named = || program.to_owned();
        let failed = |source| Error::Run { program: named(), source };
        let output = tokio::time::timeout(TIME_LIMIT, self.communicate(program, args, input))
            .await
            .map_err(|_| Error::TimedOut { program: named(), limit: TIME_LIMIT })?
            .map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = complaint(&String::from_utf8_lossy(&output.stderr), input);
        Err(Error::Failed { program: named(), message: format!("{}: {message}", output.status) })
    }

    async fn communicate(&self, program: &str, args: &[&str], input: &str) -> std::io::Result<Output> {
        let mut words = self.wrapper.iter().cloned().chain(std::iter::once(program.into()));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
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
    }
}

/// The program's message, with the line of the input that it names.
fn complaint(stderr: &str, input: &str) -> String {
    let message = stderr.trim();
    let number = message.split_once("line").and_then(|(_, rest)| {
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<usize>().ok())
    });
    match number.and_then(|n| input.lines().nth(n.checked_sub(1)?)) {
        Some(line) => format!("{message} ({line})"),
        None => message.to_owned(),
    }
}

impl Iptables for HostIptables {
    async fn save(&self, family: Family) -> Result<Ruleset, Error> {
        let program = self.flavour.program(family, "save");
        let text = self.run(&program, &[], "").await?;
        text.parse().map_err(|source| Error::Unreadable { program, source })
    }

    async fn has_chain(&self, family: Family, table: Table, chain: &ChainName) -> Result<bool, Error> {
        let base = self.flavour.program(family, "save");
        let program = base.trim_end_matches("-save");
        let words = ["-w", LOCK_SECONDS, "-t", table.name(), "-S", chain.as_str()];
        match self.run(program, &words, "").await {
            Ok(_) => Ok(true),
            Err(Error::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn restore(&self, family: Family, script: &Script) -> Result<(), Error> {
        let program = self.flavour.program(family, "restore");
        self.run(&program, &["--noflush", "-w", LOCK_SECONDS], &script.to_string()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_the_line() {
        let input = "*nat\n-A NOPE -j ACCEPT\nCOMMIT\n";
        let message = complaint("iptables-restore v1.8.9 (nf_tables): line 2 failed: No chain\n", input);
        assert_eq!(message, "iptables-restore v1.8.9 (nf_tables): line 2 failed: No chain (-A NOPE -j ACCEPT)");
        assert_eq!(complaint("out of memory", input), "out of memory");
    }
}
