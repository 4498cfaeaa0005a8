//! `ctl taint`.

use api_types::validation::names;
use clap::Args;
use serde_json::{Value, json};

use super::{
    objects::{Asked, Found, Selecting, each},
    writing::{Validating, Writing},
};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    program::misused,
};

/// Which taints on which nodes.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// node NAME… KEY[=VALUE]:EFFECT… KEY[:EFFECT]-…
    arguments: Vec<String>,
    #[command(flatten)]
    selecting: Selecting,
    /// Change a taint that is there already
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    validating: Validating,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Taint {
    key: String,
    value: String,
    /// Empty stands for every effect of taints to remove.
    effect: String,
}

#[derive(Debug, Default)]
struct Changes {
    add: Vec<Taint>,
    remove: Vec<Taint>,
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Runs the command.
///
/// # Errors
/// When a taint is malformed, is there already, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let is_taint = |argument: &String| argument.contains(['=', ':']) || argument.ends_with('-');
    let first = flags.arguments.iter().position(is_taint).unwrap_or(flags.arguments.len());
    let (resources, taints) = flags.arguments.split_at(first);
    if let Some(late) = taints.iter().find(|argument| !is_taint(argument)) {
        return Err(Error::usage(format!("all resources must be specified before taint changes: {late}")));
    }
    let Some(kind) = resources.first() else {
        return Err(Error::usage("one or more resources must be specified as <resource> <name>"));
    };
    if kind.contains('/') {
        return Err(Error::Unknown(format!("the server doesn't have a resource type {kind:?}")));
    }
    if !["node", "nodes", "no"].contains(&kind.to_lowercase().as_str()) {
        return Err(Error::usage(format!("invalid resource type {kind}, only node types are supported")));
    }
    if taints.is_empty() {
        return Err(Error::usage("at least one taint update is required"));
    }
    let changes = Changes::parse(taints)?;
    // All nodes are meant by --all, whatever names are given as well.
    let named = if flags.selecting.all { &resources[..1] } else { resources };
    let asked = Asked {
        arguments: named,
        selector: flags.selecting.selector.as_deref(),
        all: flags.selecting.all,
        ..Asked::default()
    };
    let found = asked.find(api, global).await?;
    each(found, async |found| flags.taint(api, &found, &changes).await).await
}

impl Flags {
    async fn taint(&self, api: &Api, found: &Found, changes: &Changes) -> Result<()> {
        let before = found.object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let overwritten = changes.add.iter().filter(|taint| before.iter().any(|known| taint.is(known)));
        let overwritten: Vec<&str> = overwritten.map(|taint| taint.key.as_str()).collect();
        if !overwritten.is_empty() && !self.overwrite {
            return Err(Error::usage(format!(
                "node {} already has {} taint(s) with same effect(s) and --overwrite is false",
                found.name,
                overwritten.join(",")
            )));
        }
        let after = changes.apply(&before)?;
        let done = match (changes.add.is_empty(), changes.remove.is_empty() && overwritten.is_empty()) {
            (false, true) => "tainted",
            (true, _) => "untainted",
            _ => "modified",
        };
        let mut object = found.object.clone();
        object["spec"]["taints"] = after.clone().into();
        if self.writing.dry_run() != DryRun::Client {
            let patch = json!({"spec": {"taints": after}});
            let url = self.validating.url(&self.writing.url(&found.path(), "kubectl-taint"));
            object = api.patch(&url, PatchType::Strategic, &patch).await?;
        }
        self.writing.printing().print(&found.resource, &object, done)
    }
}

impl Changes {
    fn parse(texts: &[String]) -> Result<Self> {
        let mut changes = Self::default();
        for text in texts {
            match text.strip_suffix('-') {
                Some(removed) => changes.remove.push(Taint::parse(removed, Purpose::Remove)?),
                None => changes.add.push(Taint::parse(text, Purpose::Add)?),
            }
        }
        let meant = |removed: &&Taint| {
            changes
                .add
                .iter()
                .any(|added| added.key == removed.key && (removed.effect.is_empty() || removed.effect == added.effect))
        };
        let both: Vec<String> =
            changes.remove.iter().filter(meant).map(|taint| format!("{}={}", taint.key, taint.effect)).collect();
        if !both.is_empty() {
            return Err(Error::usage(format!(
                "can not both modify and remove the following taint(s) in the same command: {}",
                both.join(",")
            )));
        }
        Ok(changes)
    }

    /// The node's taints afterwards: new ones first.
    fn apply(&self, before: &[Value]) -> Result<Vec<Value>> {
        let new = self.add.iter().map(Taint::json);
        let kept = before.iter().filter(|known| !self.add.iter().any(|taint| taint.is(known))).cloned();
        let mut taints: Vec<Value> = new.chain(kept).collect();
        let mut missing = Vec::new();
        for removed in &self.remove {
            let count = taints.len();
            taints.retain(|known| {
                known["key"] != removed.key.as_str()
                    || !removed.effect.is_empty() && known["effect"] != removed.effect.as_str()
            });
            if taints.len() == count {
                missing.push(format!("taint {:?} not found", removed.name()));
            }
        }
        if missing.is_empty() { Ok(taints) } else { Err(Error::usage(missing.join(", "))) }
    }
}

/// What a taint is named for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Add,
    Remove,
}

impl Taint {
    fn parse(text: &str, purpose: Purpose) -> Result<Self> {
        let malformed = |why: &str| {
            let why = if why.is_empty() { String::new() } else { format!(", {why}") };
            misused(format!("invalid taint spec: {text}{why}"), "taint")
        };
        let (pair, effect) = match text.split(':').collect::<Vec<_>>()[..] {
            [key] => (key, ""),
            [pair, effect] => (pair, effect),
            _ => return Err(malformed("")),
        };
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            return Err(misused(format!("invalid taint effect: {effect}, unsupported taint effect"), "taint"));
        }
        let (key, value) = match pair.split_once('=') {
            Some((key, value)) if !effect.is_empty() => (key, value),
            _ => (pair, ""),
        };
        let faults: Vec<String> = names::qualified_name(key).into_iter().chain(names::label_value(value)).collect();
        if !faults.is_empty() {
            return Err(malformed(&faults.join("; ")));
        }
        if effect.is_empty() && purpose == Purpose::Add {
            return Err(malformed(""));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
    }

    /// Whether a node's taint is this one: value aside.
    fn is(&self, known: &Value) -> bool {
        known["key"] == self.key.as_str() && known["effect"] == self.effect.as_str()
    }

    fn name(&self) -> String {
        if self.effect.is_empty() { self.key.clone() } else { format!("{}:{}", self.key, self.effect) }
    }

    fn json(&self) -> Value {
        let mut taint = json!({"key": self.key, "effect": self.effect});
        if !self.value.is_empty() {
            taint["value"] = self.value.clone().into();
        }
        taint
    }
}
