//! `ctl patch`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::{
    objects::{Asked, Found, each},
    overrides::json_patch,
    writing::Writing,
};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
    resources::ResourceType,
    strategic,
};

/// What to change.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    /// The patch, as JSON or YAML
    #[arg(short, long, default_value = "", allow_hyphen_values = true)]
    patch: String,
    /// File that holds the patch
    #[arg(long)]
    patch_file: Option<PathBuf>,
    /// Kind of patch: json, merge or strategic
    #[arg(long = "type", default_value = "strategic")]
    kind: String,
    /// Patch this subresource, such as status
    #[arg(long, default_value = "")]
    subresource: String,
    /// Patch the files' objects; no server is asked
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    writing: Writing,
}

const KINDS: [(&str, PatchType); 3] =
    [("json", PatchType::Json), ("merge", PatchType::Merge), ("strategic", PatchType::Strategic)];

/// Runs the command.
///
/// # Errors
/// When the patch is malformed or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let kind = KINDS.iter().find(|(name, _)| *name == flags.kind.to_lowercase()).map(|(_, kind)| *kind);
    let text = flags.text()?;
    let kind = kind
        .ok_or_else(|| Error::usage(format!("--type must be one of [json merge strategic], not {:?}", flags.kind)))?;
    let patch = read(&text)?;
    let asked =
        Asked { arguments: &flags.arguments, files: Some(&flags.files), local: flags.local, ..Asked::default() };
    if asked.is_nothing() {
        return Err(Error::usage(super::expose::NOTHING_ASKED));
    }
    let found = asked.find(api, global).await?;
    each(found, async |found| flags.patch(api, &found, kind, &patch).await).await
}

/// A patch in JSON, or in YAML.
fn read(text: &str) -> Result<Value> {
    let malformed = |words: &str| Error::usage(format!("unable to parse {text:?}: {words}"));
    match api_types::yaml::from_str(text) {
        Ok(patch) if !patch.is_string() => Ok(patch),
        Ok(_) => Err(malformed("it is neither an object nor a list")),
        Err(error) => Err(malformed(&error.to_string())),
    }
}

impl Flags {
    fn text(&self) -> Result<String> {
        match (&self.patch_file, self.patch.as_str()) {
            (None, "") => {
                Err(Error::usage("must specify --patch or --patch-file containing the contents of the patch"))
            }
            (None, patch) => Ok(patch.to_owned()),
            (Some(_), patch) if !patch.is_empty() => {
                Err(Error::usage("cannot specify --patch and --patch-file together"))
            }
            (Some(file), _) => std::fs::read_to_string(file).map_err(|error| {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    _ => error.to_string(),
                };
                Error::usage(format!("unable to read patch file: open {}: {reason}", file.display()))
            }),
        }
    }

    async fn patch(&self, api: &Api, found: &Found, kind: PatchType, patch: &Value) -> Result<()> {
        if self.local || self.writing.dry_run() == DryRun::Client {
            let mut after = found.object.clone();
            apply(&mut after, kind, patch)?;
            return self.writing.printing().print(&found.resource, &after, said(&found.object, &after));
        }
        let path = match self.subresource.as_str() {
            "" => found.path(),
            subresource => format!("{}/{subresource}", found.path()),
        };
        let after = api.patch(&self.writing.url(&path, "kubectl-patch"), kind, patch).await?;
        let same = found.object["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
        let done = if same && self.writing.dry_run() == DryRun::None { "patched (no change)" } else { "patched" };
        self.writing.printing().print(&answered(found, &after), &after, done)
    }
}

fn said(before: &Value, after: &Value) -> &'static str {
    if before == after { "patched (no change)" } else { "patched" }
}

/// The type of what the server answered: a subresource may have one of its own.
fn answered(found: &Found, after: &Value) -> ResourceType {
    if after["kind"] == found.resource.kind.as_str() {
        return (*found.resource).clone();
    }
    super::create::plain_resource(after)
}

fn apply(object: &mut Value, kind: PatchType, patch: &Value) -> Result<()> {
    match kind {
        PatchType::Json => json_patch(object, &patch.to_string()),
        PatchType::Strategic if strategic::schema_of(object).is_some() => {
            strategic::apply(object, patch);
            Ok(())
        }
        _ => {
            json_patch::merge(object, patch);
            Ok(())
        }
    }
}
