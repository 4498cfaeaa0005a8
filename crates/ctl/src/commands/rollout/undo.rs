//! `rollout undo`.

use clap::Args;
use serde_json::Value;

use super::{
    Which,
    history::{Revision, revisions},
    template_text,
};
use crate::{
    api::{Api, PatchType},
    commands::{
        objects::{Found, each},
        writing::{LAST_APPLIED, Writing},
    },
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    strategic,
};

/// Where to go back to.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    which: Which,
    /// The revision; 0 means the one before
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    to_revision: i64,
    #[command(flatten)]
    writing: Writing,
}

/// Runs the command.
///
/// # Errors
/// When there is no such workload or revision, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let found = flags.which.find(api, global).await?;
    each(found, async |found| flags.undo(api, &found).await).await
}

fn warn_of_apply(found: &Found) {
    if found.object["metadata"]["annotations"].get(LAST_APPLIED).is_some() {
        eprintln!(
            "Warning: resource {}/{} was previously managed with 'kubectl apply'. Rolling back will not update the {LAST_APPLIED} annotation, which may cause unexpected behavior on future 'kubectl apply' operations. Consider using 'kubectl apply' with your previous configuration file instead.",
            found.resource.plural, found.name
        );
    }
}

const TEMPLATE_HASH: &str = "pod-template-hash";

impl Flags {
    async fn undo(&self, api: &Api, found: &Found) -> Result<()> {
        let kind = found.resource.kind.as_str();
        if !["Deployment", "DaemonSet", "StatefulSet"].contains(&kind) {
            return Err(Error::usage(format!("no rollbacker has been implemented for {kind:?}")));
        }
        warn_of_apply(found);
        let revisions = revisions(api, found).await?;
        let revision = self.choose(found, &revisions)?;
        let template = revision.template(&found.object);
        if self.writing.dry_run() == DryRun::Client {
            let words = if kind == "Deployment" { "" } else { "will roll back to " };
            let done = format!("{words}{}", template_text::of(&template));
            return self.writing.print(&found.resource, &found.object, &done);
        }
        if found.object["spec"]["paused"] == true {
            return Err(Error::usage(format!(
                "you cannot rollback a paused deployment; resume it first with '{} rollout resume' and try again",
                crate::program::name()
            )));
        }
        self.roll_back(api, found, revision, template).await
    }

    fn choose<'a>(&self, found: &Found, revisions: &'a [Revision]) -> Result<&'a Revision> {
        let kind = found.resource.kind.to_lowercase();
        let (wanted, by_deployment) = (self.to_revision, kind == "deployment");
        match (wanted, revisions) {
            (0, [.., previous, _]) => Ok(previous),
            (0, _) if by_deployment => {
                Err(Error::usage(format!("no rollout history found for {kind} {:?}", found.name)))
            }
            (0, _) => Err(Error::usage("no last revision to roll back to")),
            (wanted, known) => known
                .iter()
                .find(|revision| revision.number == wanted)
                .ok_or_else(|| Error::usage(format!("unable to find specified revision {wanted} in history"))),
        }
    }

    async fn roll_back(&self, api: &Api, found: &Found, revision: &Revision, mut template: Value) -> Result<()> {
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove(TEMPLATE_HASH);
        }
        let mut after = found.object.clone();
        after["spec"]["template"] = template;
        let Some(patch) = strategic::difference(&found.object, &after) else {
            let number = revision.number;
            let done = format!("skipped rollback (current template already matches revision {number})");
            return self.writing.print(&found.resource, &found.object, &done);
        };
        let url = self.writing.url(&found.path(), "kubectl-rollout");
        let after = api.patch(&url, PatchType::Strategic, &patch.body).await?;
        self.writing.print(&found.resource, &after, "rolled back")
    }
}
