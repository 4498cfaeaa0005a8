//! `ctl delete`.

use clap::Args;
use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::{Value, json};

use super::{Failures, apply::namespace_of, get::Selection};
use crate::{
    api::Api,
    connection::GlobalFlags,
    dry_run::{self, DryRun},
    error::{Error, Result},
    manifests::FileFlags,
    resources::{Catalog, Target},
};

/// What to delete, and how.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME… or TYPE/NAME…
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    selection: Selection,
    /// Every object of the type
    #[arg(long)]
    all: bool,
    /// Seconds that a pod gets to stop; -1 means its own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// With --grace-period=0: do not wait for the kubelet
    #[arg(long)]
    force: bool,
    /// Like --grace-period=1
    #[arg(long)]
    now: bool,
    /// What happens to dependents: background, foreground, orphan
    #[arg(long, default_value = "background", default_missing_value = "background", num_args = 0..=1, require_equals = true)]
    cascade: String,
    /// Return only when the objects are gone
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    wait: bool,
    /// No error when an object is not there
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    dry_run: dry_run::Flag,
    /// Format: name
    #[arg(short, long)]
    output: Option<String>,
}

/// An object to delete.
struct Doomed {
    target: Target,
    namespace: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When a resource is unknown or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let options = flags.options()?;
    let dry_run = flags.dry_run.dry_run;
    let catalog = Catalog::discover(api).await?;
    let doomed = flags.doomed(api, global, &catalog).await?;
    if doomed.is_empty() {
        eprintln!("No resources found");
    }
    let mut failures = Failures::default();
    let mut gone = Vec::new();
    for doomed in &doomed {
        let path = doomed.target.path(doomed.namespace.as_deref());
        let result = match dry_run {
            DryRun::Client => api.get(&path).await,
            DryRun::None | DryRun::Server => api.delete(&dry_run.ask(&path), &options).await,
        };
        match result {
            Ok(answer) => {
                flags.say(&doomed.target);
                gone.push((doomed, answer));
            }
            Err(error) if error.is_not_found() && flags.ignore_not_found => {}
            Err(error) => failures.note(Err(error))?,
        }
    }
    if flags.wait && dry_run == DryRun::None {
        for (doomed, answer) in gone {
            wait_until_gone(api, doomed, &answer).await?;
        }
    }
    failures.result()
}

impl Flags {
    fn options(&self) -> Result<Value> {
        let policy = match self.cascade.as_str() {
            "background" | "true" => "Background",
            "foreground" => "Foreground",
            "orphan" | "false" => "Orphan",
            other => {
                return Err(Error::usage(format!(
                    "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
                )));
            }
        };
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        let grace = match (self.now, self.force, self.grace_period) {
            (true, _, _) => 1,
            // kubectl: without force, 0 means as fast as is safe.
            (_, false, 0) => 1,
            (_, true, -1) => 0,
            (_, _, grace) => grace,
        };
        if grace >= 0 {
            options["gracePeriodSeconds"] = grace.into();
        }
        Ok(options)
    }

    async fn doomed(&self, api: &Api, global: &GlobalFlags, catalog: &Catalog) -> Result<Vec<Doomed>> {
        if !self.files.filenames.is_empty() {
            let named = |object: &Value| -> Result<Doomed> {
                let name = object["metadata"]["name"].as_str().map(str::to_owned);
                let target = Target { resource: catalog.of_object(object)?, name };
                Ok(Doomed { target, namespace: Some(namespace_of(api, global, object)?) })
            };
            return self.files.objects()?.iter().map(named).collect();
        }
        let mut doomed = Vec::new();
        for target in catalog.targets(&self.arguments)? {
            match (&target.name, self.selection.selects(self.all, target.name.as_deref())?) {
                (Some(_), _) => doomed.push(Doomed { target, namespace: Some(api.namespace.clone()) }),
                (None, true) => doomed.extend(self.members(api, &target).await?),
                (None, false) => {
                    return Err(Error::usage("resource(s) were provided, but no name was specified"));
                }
            }
        }
        Ok(doomed)
    }

    async fn members(&self, api: &Api, collection: &Target) -> Result<Vec<Doomed>> {
        let path = collection.path(self.selection.namespace(api));
        let list = api.get(&format!("{path}?{}", self.selection.query())).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let text = |item: &Value, field: &str| item["metadata"][field].as_str().map(str::to_owned);
        let member = |item: &Value| Doomed {
            target: Target { resource: collection.resource.clone(), name: text(item, "name") },
            namespace: text(item, "namespace"),
        };
        Ok(items.iter().map(member).collect())
    }

    fn say(&self, target: &Target) {
        let name = target.name.as_deref().unwrap_or_default();
        let kind = target.resource.display_name();
        match (self.output.as_deref(), self.force) {
            (Some("name"), _) => println!("{kind}/{name}"),
            (_, force) => {
                let done = if force { "force deleted" } else { "deleted" };
                println!("{kind} \"{name}\" {}", self.dry_run.dry_run.say(done));
            }
        }
    }
}

/// Watches until the object of this uid is gone.
async fn wait_until_gone(api: &Api, doomed: &Doomed, answer: &Value) -> Result<()> {
    let path = doomed.target.path(doomed.namespace.as_deref());
    let uid = answer["metadata"]["uid"].as_str().or_else(|| answer["details"]["uid"].as_str()).map(str::to_owned);
    loop {
        let version = match api.get(&path).await {
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
            Ok(object) if uid.is_some() && object["metadata"]["uid"].as_str() != uid.as_deref() => return Ok(()),
            Ok(object) => object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
        };
        let collection = doomed.target.resource.collection(doomed.namespace.as_deref());
        let name = doomed.target.name.as_deref().unwrap_or_default();
        let url = format!("{collection}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}");
        let mut lines = api.stream(&url, "application/json").await?.lines();
        while let Some(line) = lines.try_next().await.map_err(|error| Error::Unreachable(error.to_string()))? {
            if line.contains("\"type\":\"DELETED\"") {
                return Ok(());
            }
        }
    }
}
