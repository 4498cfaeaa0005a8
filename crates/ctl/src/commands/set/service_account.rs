//! `set serviceaccount`.

use clap::Args;

use super::{Common, Selector, Unchanged, Words, template};
use crate::{
    api::Api,
    connection::GlobalFlags,
    error::{Error, Result},
};

/// `set serviceaccount`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE/NAME… SERVICE_ACCOUNT
    arguments: Vec<String>,
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words =
    Words { unchanged: Unchanged::Said, done: "serviceaccount updated", refused: "failed to patch ServiceAccountName" };

/// Runs the command.
///
/// # Errors
/// When an object has no pod template or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let Some((account, names)) = flags.arguments.split_last() else {
        return Err(Error::usage("serviceaccount is required"));
    };
    let found = flags.common.find(api, global, names, flags.selector.selector.as_deref()).await?;
    let change = async |found: &_, object: &mut _| {
        template::spec(found, object)?["serviceAccountName"] = account.clone().into();
        Ok(())
    };
    flags.common.change(api, found, &WORDS, change).await
}
