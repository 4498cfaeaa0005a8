//! The loop: wait for a change, bring everything into force, again.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use component::Daemon;
use component::backoff::Backoff;
use component::informer::{Informer, Scope};
use kube::Client;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::model::{Namespace, NetworkPolicy, Pod};
use super::plan::{World, plan};
use super::ruleset::{TABLE, clear_script};

/// For how long a change waits for the others that belong to it.
const GATHER: Duration = Duration::from_millis(10);
/// At most a tenth of the time is spent on changes…
const REST_FACTOR: u32 = 10;
/// …but a change waits no longer than this, or than a change has taken.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How soon what failed is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// How often it is made sure that nobody removed the table.
const VERIFY: Duration = Duration::from_secs(30);
/// For how long nft may run.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Policies could not be brought into force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// nft could not be started or talked to.
    #[error("run nft: {0}")]
    Run(#[from] std::io::Error),
    /// nft did not finish.
    #[error("nft did not finish within {TIME_LIMIT:?}")]
    TimedOut,
    /// nft reported a failure.
    #[error("nft failed: {0}")]
    Failed(String),
}

/// Keeps this node's pods as restricted as policies say, until shutdown.
#[derive(Debug)]
pub struct Enforcer {
    node: String,
    policies: Informer<NetworkPolicy>,
    pods: Informer<Pod>,
    namespaces: Informer<Namespace>,
    changed: Arc<Notify>,
    /// What is in force; `None` when it is not known.
    in_force: Option<InForce>,
}

/// What was applied, and what the kernel made of it.
#[derive(Debug, PartialEq, Eq)]
struct InForce {
    script: String,
    /// As nft lists it, without the elements of sets.
    listed: Option<String>,
}

/// Starts enforcing policies for the pods of `node`.
pub fn start(node: &str, client: Client, daemon: &Daemon) {
    let (everywhere, changed) = (Scope::default(), Arc::new(Notify::new()));
    let policies = Informer::<NetworkPolicy>::new(&(), &everywhere);
    let pods = Informer::<Pod>::new(&(), &everywhere);
    let namespaces = Informer::<Namespace>::new(&(), &everywhere);
    let ring = || {
        let changed = Arc::clone(&changed);
        move || changed.notify_one()
    };
    let (policy, pod, namespace) = (ring(), ring(), ring());
    policies.on_event(move |_| policy());
    pods.on_event(move |_| pod());
    namespaces.on_event(move |_| namespace());
    policies.start(client.clone(), daemon);
    let mut enforcer = Enforcer { node: node.to_owned(), policies, pods, namespaces, changed, in_force: None };
    let daemon_of_informers = daemon.clone();
    daemon.spawn_until_shutdown(async move {
        enforcer.until_there_are_policies().await;
        enforcer.pods.start(client.clone(), &daemon_of_informers);
        enforcer.namespaces.start(client, &daemon_of_informers);
        enforcer.pods.synced().await;
        enforcer.namespaces.synced().await;
        enforcer.run().await;
    });
}

impl Enforcer {
    /// Removes what an earlier process left, and waits.
    async fn until_there_are_policies(&mut self) {
        self.policies.synced().await;
        let mut backoff = Backoff::new(FIRST_RETRY, VERIFY);
        while self.policies.store().list().is_empty() {
            let cleared = match self.in_force {
                Some(_) => Ok(()),
                None => {
                    clean_up().await.map(|()| self.in_force = Some(InForce { script: clear_script(), listed: None }))
                }
            };
            match cleared {
                Ok(()) => self.changed.notified().await,
                Err(error) => {
                    tracing::error!("remove what enforced network policies: {error}");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    async fn run(&mut self) {
        let mut backoff = Backoff::new(FIRST_RETRY, VERIFY);
        let mut verify_at = Instant::now();
        loop {
            let started = Instant::now();
            let result = self.sync(started >= verify_at).await;
            if started >= verify_at {
                verify_at = Instant::now() + VERIFY;
            }
            let took = started.elapsed();
            let rested = Instant::now() + (took * REST_FACTOR).clamp(GATHER, LONGEST_REST.max(took));
            let wake_at = match result {
                Ok(()) => {
                    backoff.reset();
                    verify_at
                }
                Err(error) => {
                    tracing::error!("enforce network policies: {error}");
                    self.in_force = None;
                    Instant::now() + backoff.next_delay()
                }
            };
            tokio::select! {
                () = self.changed.notified() => sleep_until(rested).await,
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Applies what is wanted if it is not in force; `verify` also looks whether it is still what the kernel has.
    async fn sync(&mut self, verify: bool) -> Result<(), Error> {
        let (policies, pods) = (self.policies.store().list(), self.pods.store().list());
        let (namespaces, node) = (self.namespaces.store().list(), self.node.clone());
        // It may take long where policies and pods are many.
        let work = move || plan(&policies, &World::new(&pods, &namespaces, &node)).to_script();
        let script = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?;
        if let Some(in_force) = &self.in_force
            && in_force.script == script
            && (!verify || listed().await? == in_force.listed)
        {
            return Ok(());
        }
        apply(&script).await?;
        tracing::debug!(bytes = script.len(), "network policies are in force");
        self.in_force = Some(InForce { script, listed: listed().await? });
        Ok(())
    }
}

/// Lifts every restriction.
///
/// # Errors
/// When nft cannot be run, or refuses.
pub async fn clean_up() -> Result<(), Error> {
    apply(&clear_script()).await
}

/// Applies a script as a whole or not at all.
///
/// # Errors
/// When nft cannot be run, or refuses.
pub async fn apply(script: &str) -> Result<(), Error> {
    let output = run(&["-f", "-"], script).await?;
    if output.status.success() { Ok(()) } else { Err(failure(&output)) }
}

/// The table as nft lists it, without the elements of sets; `None` when there is none.
async fn listed() -> Result<Option<String>, Error> {
    let output = run(&["--terse", "list", "table", "inet", TABLE], "").await?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let error = failure(&output);
    match error {
        Error::Failed(message) if message.contains("No such file or directory") => Ok(None),
        error => Err(error),
    }
}

/// The first lines of what nft complains of: it repeats the script, which may be large.
fn failure(output: &std::process::Output) -> Error {
    let text = String::from_utf8_lossy(&output.stderr);
    let short: String = text.lines().take(3).flat_map(|line| line.chars().take(300).chain(Some(' '))).collect();
    Error::Failed(short.trim_end().to_owned())
}

async fn run(arguments: &[&str], input: &str) -> Result<std::process::Output, Error> {
    let communicate = async {
        let mut command = Command::new("nft");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
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
    Ok(timeout(TIME_LIMIT, communicate).await.map_err(|_| Error::TimedOut)??)
}
