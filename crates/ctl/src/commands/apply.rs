//! `ctl apply`: server-side apply. See `docs/adr` for why it is not kubectl's three-way merge.

use clap::Args;
use serde_json::Value;

use super::Failures;
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run,
    error::{Error, Result},
    manifests::FileFlags,
    output::{Format, Missing, print_result},
    resources::{Catalog, Target},
};

/// What to apply.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    files: FileFlags,
    /// Accepted as kubectl's; applying is always server-side
    #[arg(long)]
    server_side: bool,
    /// Accepted as kubectl's; fields that others changed are always taken over
    #[arg(long)]
    force_conflicts: bool,
    /// Name that owns the applied fields
    #[arg(long, default_value = "ctl")]
    field_manager: String,
    #[command(flatten)]
    dry_run: dry_run::Flag,
    /// Format: json, yaml, name
    #[arg(short, long)]
    output: Option<Format>,
}

/// Runs the command.
///
/// # Errors
/// When a file is malformed or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let objects = flags.files.objects()?;
    let catalog = Catalog::discover(api).await?;
    let mut failures = Failures::default();
    for object in objects {
        failures.note(apply(api, global, flags, &catalog, object).await)?;
    }
    failures.result()
}

async fn apply(api: &Api, global: &GlobalFlags, flags: &Flags, catalog: &Catalog, object: Value) -> Result<()> {
    let resource = catalog.of_object(&object)?;
    let name = object["metadata"]["name"].as_str().map(str::to_owned);
    let name = name.ok_or_else(|| Error::usage("resource name may not be empty"))?;
    let namespace = namespace_of(api, global, &object)?;
    let target = Target { resource, name: Some(name) };
    let path = target.path(Some(&namespace));
    let before = match api.get(&path).await {
        Ok(object) => Some(object),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let dry_run = flags.dry_run.dry_run;
    let url = format!("{path}?fieldManager={}&force=true&fieldValidation=Strict", flags.field_manager);
    let after = api.patch(&dry_run.ask(&url), PatchType::Apply, &object).await?;
    let said = match &before {
        None => "created",
        Some(before) if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"] => "unchanged",
        Some(_) => "configured",
    };
    let format = flags.output.clone().unwrap_or_default().with(None)?;
    print_result(&format, Missing::Skipped, &target.resource, &after, &dry_run.say(said))
}

/// The namespace of an object in a manifest: its own, or the command's.
///
/// # Errors
/// When both are given and differ.
pub fn namespace_of(api: &Api, global: &GlobalFlags, object: &Value) -> Result<String> {
    let own = object["metadata"]["namespace"].as_str();
    match (own, &global.namespace) {
        (Some(own), Some(flag)) if own != flag => Err(Error::usage(format!(
            "the namespace from the provided object {own:?} does not match the namespace {flag:?}. You must pass '--namespace={own}' to perform this operation."
        ))),
        (Some(own), _) => Ok(own.to_owned()),
        (None, _) => Ok(api.namespace.clone()),
    }
}
