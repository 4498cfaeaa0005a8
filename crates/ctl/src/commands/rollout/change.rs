//! `rollout pause`, `rollout resume`, `rollout restart`.

use api_types::jiff::Timestamp;
use clap::Args;
use serde_json::{Value, json};

use super::{Which, refused};
use crate::{
    api::Api,
    commands::{
        objects::{Found, each, send_change},
        writing::Writing,
    },
    connection::GlobalFlags,
    error::Result,
};

/// What to change.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    writing: Writing,
}

/// The three changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Holds a rollout.
    Pause,
    /// Goes on with it.
    Resume,
    /// Rolls every pod anew.
    Restart,
}

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const RESTARTED: [&str; 3] = ["Deployment", "DaemonSet", "StatefulSet"];

impl Change {
    const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Restart => "restarted",
        }
    }

    /// The object as it shall be.
    fn apply(self, found: &Found) -> Result<Value> {
        let kind = found.resource.kind.as_str();
        let paused = found.object["spec"]["paused"] == true;
        let refused = |why: &str| Err(refused(found, why));
        let mut object = found.object.clone();
        match self {
            Self::Pause if kind != "Deployment" => return refused("pausing is not supported"),
            Self::Pause if paused => return refused("is already paused"),
            Self::Pause => object["spec"]["paused"] = true.into(),
            Self::Resume if kind != "Deployment" => return refused("resuming is not supported"),
            Self::Resume if !paused => return refused("is not paused"),
            Self::Resume => {
                object["spec"].as_object_mut().map(|spec| spec.remove("paused"));
            }
            Self::Restart if !RESTARTED.contains(&kind) => return refused("restarting is not supported"),
            Self::Restart if paused => {
                return refused("can't restart paused deployment (run rollout resume first)");
            }
            Self::Restart => restart(&mut object),
        }
        Ok(object)
    }
}

fn restart(object: &mut Value) {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    let metadata = &mut object["spec"]["template"]["metadata"];
    if metadata["annotations"].is_null() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][RESTARTED_AT] = now.into();
}

/// Runs the command.
///
/// # Errors
/// When a workload cannot be changed so, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags, change: Change) -> Result<()> {
    let found = flags.which.find(api, global).await?;
    each(found, async |found| {
        let after = change.apply(&found)?;
        if after == found.object {
            return Err(crate::error::Error::usage(format!(
                "failed to create patch for {}: if restart has already been triggered within the past second, please wait before attempting to trigger another",
                found.name
            )));
        }
        let after = send_change(api, &flags.writing, &found, after, "kubectl-rollout").await?;
        flags.writing.print_made(&found.resource, &after, change.done())
    })
    .await
}
