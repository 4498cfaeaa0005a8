//! `set selector`.

use clap::Args;

use super::{Common, Unchanged, Words};
use crate::{
    api::Api,
    commands::select,
    connection::GlobalFlags,
    error::{Error, Result},
};

/// `set selector`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// service NAME KEY=VALUE,…
    arguments: Vec<String>,
    /// Only if this is the object's version now
    #[arg(long)]
    resource_version: Option<String>,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words = Words { unchanged: Unchanged::Silent, done: "selector updated", refused: "" };

/// Runs the command.
///
/// # Errors
/// When an object is no service or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let Some((selector, names)) = flags.arguments.split_last() else {
        return Err(Error::usage("one selector is required"));
    };
    let wanted = select::label_selector(selector)?;
    let found = flags.common.find(api, global, names, None).await?;
    let change = async |found: &crate::commands::objects::Found, object: &mut serde_json::Value| {
        if found.resource.kind != "Service" {
            return Err(Error::usage("setting a selector is only supported for Services"));
        }
        if !wanted["matchExpressions"].is_null() {
            return Err(Error::usage(format!("only equality-based selectors can be set, not {selector:?}")));
        }
        object["spec"]["selector"] = wanted["matchLabels"].clone();
        if let Some(version) = &flags.resource_version {
            object["metadata"]["resourceVersion"] = version.clone().into();
        }
        Ok(())
    };
    flags.common.change(api, found, &WORDS, change).await
}
