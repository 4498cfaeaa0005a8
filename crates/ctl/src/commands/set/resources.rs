//! `set resources`.

use clap::Args;
use serde_json::Value;

use super::{Common, Selector, Unchanged, Words, template};
use crate::{
    api::Api,
    commands::create::quantities,
    connection::GlobalFlags,
    error::{Error, Result},
};

/// `set resources`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE/NAME…
    arguments: Vec<String>,
    /// Which containers; * stands for anything
    #[arg(short, long, default_value = "*")]
    containers: String,
    /// RESOURCE=QUANTITY,…
    #[arg(long, default_value = "")]
    limits: String,
    /// RESOURCE=QUANTITY,…
    #[arg(long, default_value = "")]
    requests: String,
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words = Words {
    unchanged: Unchanged::Silent,
    done: "resource requirements updated",
    refused: "failed to patch resources update to pod template",
};

/// Runs the command.
///
/// # Errors
/// When a quantity is none, a container is unknown, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    if flags.common.asked(&flags.arguments, None).is_nothing() {
        return Err(Error::usage(super::NOTHING_ASKED));
    }
    if flags.limits.is_empty() && flags.requests.is_empty() {
        return Err(Error::usage(
            "you must specify an update to requests or limits (in the form of --requests/--limits)",
        ));
    }
    let wanted = [("limits", quantities(&flags.limits)?), ("requests", quantities(&flags.requests)?)];
    let found = flags.common.find(api, global, &flags.arguments, flags.selector.selector.as_deref()).await?;
    let change = async |found: &_, object: &mut _| {
        let spec = template::spec(found, object)?;
        match template::each_container(spec, &flags.containers, |container| set(container, &wanted)) {
            0 => Err(Error::usage(format!("unable to find container named {}", flags.containers))),
            _ => Ok(()),
        }
    };
    flags.common.change(api, found, &WORDS, change).await
}

fn set(container: &mut Value, wanted: &[(&str, Value)]) {
    for (list, quantities) in wanted {
        for (name, quantity) in quantities.as_object().into_iter().flatten() {
            container["resources"][list][name] = quantity.clone();
        }
    }
}
