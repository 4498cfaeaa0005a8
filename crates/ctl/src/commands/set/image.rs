//! `set image`.

use clap::Args;
use serde_json::Value;

use super::{Common, Selector, Unchanged, Words, template};
use crate::{
    api::Api,
    connection::GlobalFlags,
    error::{Error, Result},
};

/// `set image`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE/NAME… CONTAINER=IMAGE…; * means every container
    arguments: Vec<String>,
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words = Words {
    unchanged: Unchanged::Silent,
    done: "image updated",
    refused: "failed to patch image update to pod template:",
};

/// Runs the command.
///
/// # Errors
/// When a container is unknown or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let (images, names): (Vec<_>, Vec<_>) =
        flags.arguments.iter().cloned().partition(|argument| argument.contains('='));
    if flags.common.asked(&names, None).is_nothing() {
        return Err(Error::usage(super::NOTHING_ASKED));
    }
    if images.is_empty() {
        return Err(Error::usage("at least one image update is required"));
    }
    let images: Vec<(&str, &str)> = images.iter().filter_map(|image| image.split_once('=')).collect();
    let found = flags.common.find(api, global, &names, flags.selector.selector.as_deref()).await?;
    flags.common.change(api, found, &WORDS, async |found, object| set(template::spec(found, object)?, &images)).await
}

fn set(spec: &mut Value, images: &[(&str, &str)]) -> Result<()> {
    for (container, image) in images {
        let pattern = if *container == "*" { "*".to_owned() } else { container.replace('*', "") };
        let found = template::each_container(spec, &pattern, |container| container["image"] = (*image).into());
        if found == 0 {
            return Err(Error::usage(format!("unable to find container named {container:?}")));
        }
    }
    Ok(())
}
