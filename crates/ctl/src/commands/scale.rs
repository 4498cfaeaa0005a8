//! `ctl scale`.

use clap::Args;
use serde_json::json;

use super::Failures;
use crate::{
    api::{Api, PatchType},
    dry_run,
    error::{Error, Result},
    output::{Format, print_result},
    resources::Catalog,
};

/// How many of what.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME… or TYPE/NAME…
    arguments: Vec<String>,
    /// The new number
    #[arg(long)]
    replicas: i32,
    /// Only if this is the number now
    #[arg(long)]
    current_replicas: Option<i64>,
    #[command(flatten)]
    dry_run: dry_run::Flag,
}

/// Runs the command.
///
/// # Errors
/// When a resource is unknown, has another size than expected, or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let catalog = Catalog::discover(api).await?;
    let mut failures = Failures::default();
    for target in catalog.targets(&flags.arguments)? {
        let path = format!("{}/scale", target.path(Some(&api.namespace)));
        let scaled = async {
            if let Some(expected) = flags.current_replicas {
                let now = api.get(&path).await?["spec"]["replicas"].as_i64().unwrap_or(0);
                if now != expected {
                    return Err(Error::usage(format!("Expected replicas to be {expected}, was {now}")));
                }
            }
            let dry_run = flags.dry_run.dry_run;
            let patch = json!({"spec": {"replicas": flags.replicas}});
            let scale = api.patch(&dry_run.ask(&path), PatchType::Merge, &patch).await?;
            print_result(&Format::Human, &target.resource, &scale, &dry_run.say("scaled"))
        };
        failures.note(scaled.await)?;
    }
    failures.result()
}
