//! `ctl attach`, and what `run -it` and `debug -it` share with it: a terminal joined to a container that runs.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{
    exec::{Streams, pods_api},
    pods,
    watching::{Seen, until},
};
use crate::{
    api::Api,
    error::{Error, Result},
    program::misused,
};

/// What to attach to.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME
    #[arg(value_name = "POD")]
    names: Vec<String>,
    /// Container
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Standard input is a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Only what the container says
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait for a pod
    #[arg(long, default_value = "1m", value_parser = component::flags::duration)]
    pod_running_timeout: Duration,
    /// The keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", hide = true)]
    detach_keys: String,
}

/// Runs the command.
///
/// # Errors
/// When there is no such pod, or it is over.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let name = match flags.names.as_slice() {
        [] => return Err(Error::usage("at least 1 argument is required for attach")),
        [name] => name,
        names => {
            let words =
                format!("expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: {names:?}", names.len());
            return Err(misused(words, "attach"));
        }
    };
    let pod = pods::find_within(api, name, flags.pod_running_timeout).await?;
    if matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed")) {
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        return Err(Error::usage(format!("cannot attach a container in a completed pod; current phase is {phase}")));
    }
    let container = pods::container(&pod, flags.container.as_deref())?;
    let session =
        Session { stdin: flags.stdin, tty: flags.tty, quiet: flags.quiet, timeout: flags.pod_running_timeout };
    let asks_for_tty = pods::has_terminal(&pod, &container);
    session.join(api, pod.metadata.name.as_deref().unwrap_or_default(), &container, asks_for_tty).await
}

/// How to be attached.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Standard input is passed on.
    pub stdin: bool,
    /// It is a terminal.
    pub tty: bool,
    /// No prompts.
    pub quiet: bool,
    /// How long to wait for the container.
    pub timeout: Duration,
}

impl Session {
    /// Attaches until the container ends.
    ///
    /// # Errors
    /// When it cannot be attached to, or fails.
    pub async fn join(self, api: &Api, pod: &str, container: &str, has_terminal: bool) -> Result<()> {
        let tty = self.tty && has_terminal;
        if self.tty && !has_terminal && !self.quiet {
            eprintln!("error: Unable to use a TTY - container {container} did not allocate one");
        }
        let streams = Streams { stdin: self.stdin, tty }.settle(self.quiet);
        if self.stdin && !self.quiet {
            eprintln!(
                "All commands and output from this session will be recorded in container logs, including credentials and sensitive information passed through the command prompt."
            );
            eprintln!("If you don't see a command prompt, try pressing enter.");
        }
        let process = pods_api(api).attach(pod, &streams.parameters(container)).await;
        streams.join(process.map_err(|error| api.explain(error))?).await
    }

    /// Waits until a pod that was just made runs, and attaches to it; prints its log when it is over already. Ends as the
    /// container did, unless it `restarts`.
    ///
    /// # Errors
    /// When the pod does not start in time, or its process fails.
    pub async fn of_new_pod(self, api: &Api, created: &Value, container: &str, restarts: bool) -> Result<()> {
        let pod = until(api, &Seen::of(created, "pods"), self.timeout, |pod| has_started(pod, container)).await?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        if is_over(&pod) {
            print!("{}", api.text(&log_path(api, name, container)).await?);
        } else if let Err(error) = self.join(api, name, container, self.tty).await {
            match error {
                Error::RemoteExit(_) => return Err(error),
                error => {
                    eprintln!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {error}");
                    print!("{}", api.text(&log_path(api, name, container)).await?);
                }
            }
        }
        if restarts {
            return Ok(());
        }
        let pod = until(api, &Seen::of(&pod, "pods"), Duration::ZERO, is_over).await?;
        exit_of(&pod, container)
    }
}

fn log_path(api: &Api, pod: &str, container: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{pod}/log?container={container}", api.namespace)
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

const STATUSES: [&str; 3] = ["containerStatuses", "ephemeralContainerStatuses", "initContainerStatuses"];

/// A container's status, of whatever sort it is.
fn status_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let lists = STATUSES.iter().filter_map(|list| pod["status"][list].as_array());
    lists.flatten().find(|status| status["name"] == container)
}

/// Whether a container has been running.
#[must_use]
pub fn has_started(pod: &Value, container: &str) -> bool {
    let status = status_of(pod, container);
    is_over(pod)
        || status
            .is_some_and(|status| status["state"]["running"].is_object() || status["state"]["terminated"].is_object())
}

fn exit_of(pod: &Value, container: &str) -> Result<()> {
    let code = status_of(pod, container).and_then(|status| status["state"]["terminated"]["exitCode"].as_u64());
    match u8::try_from(code.unwrap_or(0)) {
        Ok(0) => Ok(()),
        code => Err(Error::RemoteExit(code.unwrap_or(1))),
    }
}
