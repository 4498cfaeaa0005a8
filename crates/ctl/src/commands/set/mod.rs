//! `ctl set`: one file a feature. Each changes objects in memory; what changed is sent as a patch.

mod env;
mod image;
mod resources;
mod selector;
mod service_account;
mod subject;
mod template;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    expose::NOTHING_ASKED,
    objects::{Asked, Found, each, send_change},
    writing::Writing,
};
use crate::{
    api::Api,
    connection::GlobalFlags,
    error::{Error, Result},
    manifests::FileFlags,
    strategic, typed,
};

/// What to set.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Update environment variables on a pod template
    Env(env::Flags),
    /// Update the image of a pod template
    Image(image::Flags),
    /// Update resource requests/limits on objects with pod templates
    Resources(resources::Flags),
    /// Set the selector on a resource
    Selector(selector::Flags),
    /// Update the service account of a resource
    #[command(visible_alias = "sa")]
    Serviceaccount(service_account::Flags),
    /// Update the user, group, or service account in a role binding or cluster role binding
    Subject(subject::Flags),
}

/// Runs the command.
///
/// # Errors
/// When an object cannot be changed so, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    match &flags.what {
        What::Env(flags) => env::run(api, global, flags).await,
        What::Image(flags) => image::run(api, global, flags).await,
        What::Resources(flags) => resources::run(api, global, flags).await,
        What::Selector(flags) => selector::run(api, global, flags).await,
        What::Serviceaccount(flags) => service_account::run(api, global, flags).await,
        What::Subject(flags) => subject::run(api, global, flags).await,
    }
}

/// What every feature takes.
#[derive(Args, Clone, Debug, Default)]
struct Common {
    #[command(flatten)]
    files: FileFlags,
    /// Every object of the types in the namespace
    #[arg(long)]
    all: bool,
    /// Change the files' objects; no server is asked
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    writing: Writing,
}

/// `-l`.
#[derive(Args, Clone, Debug, Default)]
struct Selector {
    /// Label selector
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

/// What is said of a change.
struct Words {
    /// Whether it is said of objects that are so already.
    unchanged: Unchanged,
    /// Once it was made: `image updated`.
    done: &'static str,
    /// Before the server's reason not to make it.
    refused: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unchanged {
    Said,
    Silent,
}

impl Common {
    fn asked<'a>(&'a self, arguments: &'a [String], selector: Option<&'a str>) -> Asked<'a> {
        Asked { arguments, files: Some(&self.files), selector, all: self.all, local: self.local, ..Asked::default() }
    }

    /// The objects that are asked for.
    async fn find(
        &self,
        api: &Api,
        global: &GlobalFlags,
        arguments: &[String],
        selector: Option<&str>,
    ) -> Result<Vec<Result<Found>>> {
        let asked = self.asked(arguments, selector);
        if asked.is_nothing() {
            return Err(Error::usage(NOTHING_ASKED));
        }
        asked.find(api, global).await
    }

    /// Changes each object, sends what changed, and says so.
    async fn change(
        &self,
        api: &Api,
        found: Vec<Result<Found>>,
        words: &Words,
        mut change: impl AsyncFnMut(&Found, &mut Value) -> Result<()>,
    ) -> Result<()> {
        each(found, async |mut found| {
            typed::complete(&mut found.object);
            let mut after = found.object.clone();
            change(&found, &mut after).await?;
            typed::complete(&mut after);
            if words.unchanged == Unchanged::Silent && strategic::difference(&found.object, &after).is_none() {
                return Ok(());
            }
            let after = if self.local { after } else { self.send(api, &found, after, words).await? };
            self.writing.print_made(&found.resource, &after, words.done)
        })
        .await
    }

    async fn send(&self, api: &Api, found: &Found, after: Value, words: &Words) -> Result<Value> {
        let sent = send_change(api, &self.writing, found, after, "kubectl-set").await;
        sent.map_err(|error| match error {
            Error::Server(status) if !words.refused.is_empty() => {
                Error::usage(format!("{} {}", words.refused, status.message.as_deref().unwrap_or_default()))
            }
            error => error,
        })
    }
}
