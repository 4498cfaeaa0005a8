//! `ctl rollout`: one file a sub-command. [`history`] knows the revisions of every kind that has some.

mod change;
mod history;
mod status;
mod template_text;
mod undo;

use clap::{Args, Subcommand};

use super::objects::{Asked, Found};
use crate::{
    api::Api,
    connection::GlobalFlags,
    error::{Error, Result},
    manifests::FileFlags,
};

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// View rollout history
    History(history::Flags),
    /// Mark the provided resource as paused
    Pause(change::Flags),
    /// Restart a resource
    Restart(change::Flags),
    /// Resume a paused resource
    Resume(change::Flags),
    /// Show the status of the rollout
    Status(status::Flags),
    /// Undo a previous rollout
    Undo(undo::Flags),
}

/// Runs the command.
///
/// # Errors
/// When there is no such workload or revision, or the rollout fails.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    match &flags.verb {
        Verb::History(flags) => history::run(api, global, flags).await,
        Verb::Pause(flags) => change::run(api, global, flags, change::Change::Pause).await,
        Verb::Restart(flags) => change::run(api, global, flags, change::Change::Restart).await,
        Verb::Resume(flags) => change::run(api, global, flags, change::Change::Resume).await,
        Verb::Status(flags) => status::run(api, global, flags).await,
        Verb::Undo(flags) => undo::run(api, global, flags).await,
    }
}

/// Which workloads.
#[derive(Args, Clone, Debug)]
struct Which {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    /// Label selector
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

impl Which {
    async fn find(&self, api: &Api, global: &GlobalFlags) -> Result<Vec<Result<Found>>> {
        let asked = Asked {
            arguments: &self.arguments,
            files: Some(&self.files),
            selector: self.selector.as_deref(),
            // A type alone means all of it.
            all: self.selector.is_none() && matches!(self.arguments.as_slice(), [kind] if !kind.contains('/')),
            ..Asked::default()
        };
        if asked.is_nothing() {
            return Err(Error::usage("required resource not specified"));
        }
        asked.find(api, global).await
    }
}

/// `deployments.apps "web" is not …`.
fn refused(found: &Found, why: &str) -> Error {
    let (plural, group) = (&found.resource.plural, &found.resource.group);
    let kind = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
    Error::usage(format!("{kind} {:?} {why}", found.name))
}
