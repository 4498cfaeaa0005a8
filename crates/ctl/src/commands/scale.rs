//! `ctl scale`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    objects::{Asked, Found, Selecting, each},
    watching::{Change, Seen, follow},
    writing::Writing,
};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
    program::required,
};

/// How many of what.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME… or TYPE/NAME…
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    selecting: Selecting,
    /// The new number
    #[arg(long, allow_hyphen_values = true)]
    replicas: Option<String>,
    /// Only if this is the number now
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    current_replicas: i64,
    /// Only if this is the object's version now
    #[arg(long)]
    resource_version: Option<String>,
    /// How long to wait until the number is there; 0 means not at all
    #[arg(long, default_value = "0s", value_parser = component::flags::duration)]
    timeout: Duration,
    #[command(flatten)]
    writing: Writing,
}

/// Runs the command.
///
/// # Errors
/// When a resource is unknown, has another size than expected, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let replicas = required("replicas", flags.replicas.as_deref())?;
    let count: i64 = replicas.parse().map_err(|_| {
        Error::usage(format!("invalid argument {replicas:?} for \"--replicas\" flag: strconv.ParseInt: parsing {replicas:?}: invalid syntax\nSee '{} scale --help' for usage.", crate::program::name()))
    })?;
    if count < 0 {
        return Err(Error::usage(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    }
    let asked = Asked {
        arguments: &flags.arguments,
        files: Some(&flags.files),
        selector: flags.selecting.selector.as_deref(),
        all: flags.selecting.all,
        ..Asked::default()
    };
    if asked.is_nothing() {
        return Err(Error::usage(super::expose::NOTHING_ASKED));
    }
    let found = asked.find(api, global).await?;
    if found.len() > 1 && flags.resource_version.is_some() {
        return Err(Error::usage("cannot use --resource-version with multiple resources"));
    }
    each(found, async |found| flags.scale(api, &found, count).await).await
}

impl Flags {
    async fn scale(&self, api: &Api, found: &Found, count: i64) -> Result<()> {
        let path = format!("{}/scale", found.path());
        self.check(&api.get(&path).await?)?;
        if self.writing.dry_run() != DryRun::Client {
            let patch = json!({"spec": {"replicas": count}});
            api.patch(&self.writing.url(&path, "kubectl-scale"), PatchType::Merge, &patch).await?;
        }
        if !self.timeout.is_zero() && self.writing.dry_run() == DryRun::None {
            self.wait(api, found).await?;
        }
        self.writing.print(&found.resource, &found.object, "scaled")
    }

    fn check(&self, scale: &Value) -> Result<()> {
        let now = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        if self.current_replicas >= 0 && now != self.current_replicas {
            return Err(Error::usage(format!("Expected replicas to be {}, was {now}", self.current_replicas)));
        }
        let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        match &self.resource_version {
            Some(expected) if expected != version => {
                Err(Error::usage(format!("Expected resource version to be {expected}, was {version}")))
            }
            _ => Ok(()),
        }
    }

    /// Until as many are there as are wanted.
    async fn wait(&self, api: &Api, found: &Found) -> Result<()> {
        let collection = found.resource.collection(found.namespace.as_deref());
        let object = api.get(&found.path()).await?;
        if is_scaled(&object) {
            return Ok(());
        }
        let seen = Seen { collection, name: found.name.clone(), object };
        let waited = follow(api, &seen, self.timeout, async |change| match change {
            Change::There(object) => Ok(is_scaled(&object).then_some(())),
            Change::Gone => Err(Error::usage(format!("{:?} was deleted", found.name))),
        });
        waited.await.map_err(|error| match error {
            Error::Usage(words) if words.starts_with("timed out") => {
                Error::usage(format!("timed out waiting for {:?} to be synced", found.name))
            }
            error => error,
        })
    }
}

fn is_scaled(object: &Value) -> bool {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let (spec, status) = (&object["spec"], &object["status"]);
    number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"])
        && number(&spec["replicas"]) == number(&status["replicas"])
}
