//! `set subject`.

use clap::Args;
use serde_json::{Value, json};

use super::{Common, Selector, Unchanged, Words};
use crate::{
    api::Api,
    commands::{create::Subjects, objects::Found},
    connection::GlobalFlags,
    error::{Error, Result},
};

/// `set subject`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE/NAME…
    arguments: Vec<String>,
    #[command(flatten)]
    subjects: Subjects,
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words = Words {
    unchanged: Unchanged::Silent,
    done: "subjects updated",
    refused: "failed to patch subjects to rolebinding:",
};

/// Runs the command.
///
/// # Errors
/// When an object is no binding or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let wanted = flags.subjects.list()?;
    if wanted.is_empty() {
        return Err(Error::usage("you must specify at least one value of user, group or serviceaccount"));
    }
    let found = flags.common.find(api, global, &flags.arguments, flags.selector.selector.as_deref()).await?;
    flags.common.change(api, found, &WORDS, async |found, object| add(found, object, &wanted)).await
}

fn add(found: &Found, object: &mut Value, wanted: &[Value]) -> Result<()> {
    if !["RoleBinding", "ClusterRoleBinding"].contains(&found.resource.kind.as_str()) {
        return Err(Error::usage(format!(
            "{}/{} setting subjects is only supported for RoleBinding/ClusterRoleBinding",
            found.resource.plural, found.name
        )));
    }
    if !object["subjects"].is_array() {
        object["subjects"] = json!([]);
    }
    let Some(subjects) = object["subjects"].as_array_mut() else { return Ok(()) };
    let same = |a: &Value, b: &Value| ["kind", "name", "namespace"].iter().all(|field| a[field] == b[field]);
    for subject in wanted {
        if !subjects.iter().any(|known| same(known, subject)) {
            subjects.push(subject.clone());
        }
    }
    Ok(())
}
