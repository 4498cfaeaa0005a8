//! `ctl cordon` and `ctl uncordon`.

use clap::Args;
use serde_json::json;

use super::objects::{Asked, Found, each};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run::{self, DryRun},
    error::Result,
    program::misused,
};

/// Which nodes.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    dry_run: dry_run::Flag,
}

/// Nodes by name or by label.
#[derive(Args, Clone, Debug)]
pub struct Nodes {
    /// NODE…
    names: Vec<String>,
    /// Label selector
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

impl Nodes {
    /// The nodes that are meant.
    ///
    /// # Errors
    /// When none are, or by both ways.
    pub async fn find(&self, api: &Api, global: &GlobalFlags, command: &str) -> Result<Vec<Result<Found>>> {
        match (self.names.as_slice(), &self.selector) {
            ([], None) => return Err(misused(format!("USAGE: {command} NODE [flags]"), command)),
            ([_, ..], Some(_)) => {
                return Err(misused("cannot specify both a node name and a --selector option", command));
            }
            _ => {}
        }
        let names = self.names.iter().map(|name| name.strip_prefix("node/").unwrap_or(name).to_owned());
        let arguments: Vec<String> = std::iter::once("nodes".to_owned()).chain(names).collect();
        let asked = Asked { arguments: &arguments, selector: self.selector.as_deref(), ..Asked::default() };
        asked.find(api, global).await
    }
}

/// Whether pods may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// They may not.
    Cordoned,
    /// They may.
    Uncordoned,
}

/// Runs the command.
///
/// # Errors
/// When a node is unknown or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags, wanted: Wanted) -> Result<()> {
    let command = if wanted == Wanted::Cordoned { "cordon" } else { "uncordon" };
    let found = flags.nodes.find(api, global, command).await?;
    each(found, async |found| set(api, &found, flags.dry_run.dry_run, wanted).await).await
}

/// Makes a node as wanted, and says so.
///
/// # Errors
/// When the server refuses.
pub async fn set(api: &Api, node: &Found, dry_run: DryRun, wanted: Wanted) -> Result<()> {
    let cordoned = wanted == Wanted::Cordoned;
    let done = if cordoned { "cordoned" } else { "uncordoned" };
    if (node.object["spec"]["unschedulable"] == true) == cordoned {
        println!("{} {}", node.display(), dry_run.say(&format!("already {done}")));
        return Ok(());
    }
    if dry_run != DryRun::Client {
        let patch = json!({"spec": {"unschedulable": cordoned.then_some(true)}});
        api.patch(&dry_run.ask_server(&node.path()), PatchType::Strategic, &patch).await?;
    }
    println!("{} {}", node.display(), dry_run.say(done));
    Ok(())
}
