//! `ctl patch`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    api::{Api, PatchType},
    dry_run,
    error::{Error, Result},
    output::{Format, print_result},
    resources::Catalog,
};

/// `--type`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Json,
    Merge,
    Strategic,
}

/// What to change.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    /// The patch, as JSON or YAML
    #[arg(short, long, allow_hyphen_values = true)]
    patch: Option<String>,
    /// File that holds the patch
    #[arg(long)]
    patch_file: Option<PathBuf>,
    /// Kind of patch
    #[arg(long = "type", value_enum, default_value = "strategic")]
    kind: Kind,
    /// Patch this subresource, such as status
    #[arg(long)]
    subresource: Option<String>,
    #[command(flatten)]
    dry_run: dry_run::Flag,
    /// Format: json, yaml, name
    #[arg(short, long)]
    output: Option<Format>,
}

/// Runs the command.
///
/// # Errors
/// When the patch is malformed or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let patch = flags.patch()?;
    let patch_type = match flags.kind {
        Kind::Json => PatchType::Json,
        Kind::Merge => PatchType::Merge,
        Kind::Strategic => PatchType::Strategic,
    };
    let catalog = Catalog::discover(api).await?;
    for target in catalog.targets(&flags.arguments)? {
        if target.name.is_none() {
            return Err(Error::usage("resource(s) were provided, but no name was specified"));
        }
        let path = target.path(Some(&api.namespace));
        let before = api.get(&path).await?;
        let subresource = flags.subresource.as_deref().map(|name| format!("/{name}")).unwrap_or_default();
        let dry_run = flags.dry_run.dry_run;
        let after = api.patch(&dry_run.ask(&format!("{path}{subresource}")), patch_type, &patch).await?;
        let changed = before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"];
        let said = if changed { "patched" } else { "patched (no change)" };
        print_result(flags.output.as_ref().unwrap_or(&Format::Human), &target.resource, &after, &dry_run.say(said))?;
    }
    Ok(())
}

impl Flags {
    fn patch(&self) -> Result<Value> {
        let text = match (&self.patch, &self.patch_file) {
            (Some(text), None) => text.clone(),
            (None, Some(path)) => {
                std::fs::read_to_string(path).map_err(|error| Error::File(format!("{}: {error}", path.display())))?
            }
            _ => return Err(Error::usage("must specify --patch or --patch-file containing the contents of the patch")),
        };
        api_types::yaml::from_str(&text).map_err(|error| Error::usage(format!("unable to parse {text:?}: {error}")))
    }
}
