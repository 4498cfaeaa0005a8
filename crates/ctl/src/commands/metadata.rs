//! `ctl label` and `ctl annotate`.

use api_types::validation::names;
use clap::Args;
use serde_json::{Value, json};

use super::{
    objects::{Asked, Found, Selecting, each},
    writing::Writing,
};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
};

/// Which of the two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// `metadata.labels`.
    Labels,
    /// `metadata.annotations`.
    Annotations,
}

impl Map {
    const fn field(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    /// One of them.
    const fn one(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
        }
    }

    const fn manager(self) -> &'static str {
        match self {
            Self::Labels => "kubectl-label",
            Self::Annotations => "kubectl-annotate",
        }
    }
}

/// What to change on which objects.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME… KEY=VALUE… KEY-…
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    selecting: Selecting,
    /// Field selector
    #[arg(long)]
    field_selector: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Change a value that is there already
    #[arg(long)]
    overwrite: bool,
    /// Print them
    #[arg(long)]
    list: bool,
    /// Change the files' objects; no server is asked
    #[arg(long)]
    local: bool,
    /// Only if this is the object's version now
    #[arg(long)]
    resource_version: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

/// What to do with a map.
#[derive(Debug, Default)]
struct Changes {
    set: Vec<(String, String)>,
    remove: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When a change makes no sense or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, map: Map, flags: &Flags) -> Result<()> {
    let (names, pairs) = split(map, &flags.arguments)?;
    let asked = flags.asked(&names);
    if asked.is_nothing() {
        return Err(Error::usage("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    if pairs.is_empty() && !flags.list {
        return Err(Error::usage(format!("at least one {} update is required", map.one())));
    }
    let changes = Changes::parse(map, &pairs)?;
    if flags.selecting.all && flags.selecting.selector.is_some() {
        return Err(Error::usage("cannot set --all and --selector at the same time"));
    }
    let found = asked.find(api, global).await?;
    let several = found.len() > 1;
    if several && flags.resource_version.is_some() {
        return Err(Error::usage("--resource-version may only be used with a single resource"));
    }
    each(found, async |found| flags.change(api, map, &found, &changes, several).await).await
}

/// Resources, and what to change of them.
fn split(map: Map, arguments: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let is_pair = |argument: &String| argument.contains('=') || argument.ends_with('-');
    let first = arguments.iter().position(is_pair).unwrap_or(arguments.len());
    let (names, pairs) = arguments.split_at(first);
    match pairs.iter().find(|argument| !is_pair(argument)) {
        Some(late) => {
            Err(Error::usage(format!("all resources must be specified before {} changes: {late}", map.one())))
        }
        None => Ok((names.to_vec(), pairs.to_vec())),
    }
}

impl Flags {
    fn asked<'a>(&'a self, names: &'a [String]) -> Asked<'a> {
        Asked {
            arguments: names,
            files: Some(&self.files),
            selector: self.selecting.selector.as_deref(),
            field_selector: self.field_selector.as_deref(),
            all: self.selecting.all,
            all_namespaces: self.all_namespaces,
            local: self.local,
        }
    }

    async fn change(&self, api: &Api, map: Map, found: &Found, changes: &Changes, several: bool) -> Result<()> {
        let before = found.object["metadata"][map.field()].clone();
        if !self.overwrite {
            changes.check(map, &before)?;
        }
        let mut object = found.object.clone();
        changes.apply(map, &mut object);
        if self.list {
            list(map, found, &object, several);
            return Ok(());
        }
        let here = self.local || self.writing.dry_run() == DryRun::Client;
        if !here {
            changes.tell_missing(map, &before);
            object = self.send(api, map, found, changes).await?;
        }
        let done = done(map, &before, &object["metadata"][map.field()], changes);
        self.writing.print(&found.resource, &object, done)
    }

    async fn send(&self, api: &Api, map: Map, found: &Found, changes: &Changes) -> Result<Value> {
        let mut patch = json!({"metadata": {map.field(): changes.patch()}});
        if let Some(version) = &self.resource_version {
            patch["metadata"]["resourceVersion"] = version.clone().into();
        }
        api.patch(&self.writing.url(&found.path(), map.manager()), PatchType::Merge, &patch).await
    }
}

fn done(map: Map, before: &Value, after: &Value, changes: &Changes) -> &'static str {
    let (before, after) = (before.as_object(), after.as_object());
    let empty = |map: Option<&serde_json::Map<String, Value>>| map.is_none_or(serde_json::Map::is_empty);
    match map {
        Map::Annotations => "annotated",
        Map::Labels if before == after || empty(before) && empty(after) => "not labeled",
        Map::Labels if changes.set.is_empty() => "unlabeled",
        Map::Labels => "labeled",
    }
}

fn list(map: Map, found: &Found, object: &Value, several: bool) {
    let indent = if several {
        println!("Listing {} for {}.{}/{}:", map.field(), found.resource.kind, found.resource.group, found.name);
        " "
    } else {
        ""
    };
    for (key, value) in object["metadata"][map.field()].as_object().into_iter().flatten() {
        println!("{indent}{key}={}", value.as_str().unwrap_or_default());
    }
}

impl Changes {
    fn parse(map: Map, pairs: &[String]) -> Result<Self> {
        let mut changes = Self::default();
        for pair in pairs {
            match pair.split_once('=') {
                Some((key, value)) => {
                    let faults = if map == Map::Labels { names::label_value(value) } else { Vec::new() };
                    if !faults.is_empty() {
                        return Err(Error::usage(format!("invalid label value: {pair:?}: {}", faults.join(";"))));
                    }
                    changes.set.push((key.to_owned(), value.to_owned()));
                }
                None => changes.remove.push(pair.strip_suffix('-').unwrap_or(pair).to_owned()),
            }
        }
        let both: Vec<&str> =
            changes.set.iter().filter(|(key, _)| changes.remove.contains(key)).map(|(key, _)| key.as_str()).collect();
        match (map, both.is_empty()) {
            (_, true) => {}
            (Map::Labels, _) => {
                return Err(Error::usage("can not both modify and remove a label in the same command"));
            }
            (Map::Annotations, _) => {
                return Err(Error::usage(format!(
                    "can not both modify and remove the following annotation(s) in the same command: {}",
                    both.join(", ")
                )));
            }
        }
        Ok(changes)
    }

    /// Whether a value would be overwritten.
    fn check(&self, map: Map, before: &Value) -> Result<()> {
        let known = |key: &str, value: &str| before[key].as_str().filter(|known| *known != value).map(str::to_owned);
        let overwritten = self
            .set
            .iter()
            .filter_map(|(key, value)| known(key, value).map(|known| format!("'{key}' already has a value ({known})")));
        let overwritten: Vec<String> = overwritten.collect();
        match (map, overwritten.as_slice()) {
            (_, []) => Ok(()),
            (Map::Labels, [first, ..]) => Err(Error::usage(format!("{first}, and --overwrite is false"))),
            (Map::Annotations, all) => Err(Error::usage(format!(
                "--overwrite is false but found the following declared annotation(s): {}",
                all.join("; ")
            ))),
        }
    }

    fn apply(&self, map: Map, object: &mut Value) {
        let target = &mut object["metadata"][map.field()];
        if target.is_null() {
            *target = json!({});
        }
        let Some(target) = target.as_object_mut() else { return };
        for (key, value) in &self.set {
            target.insert(key.clone(), value.clone().into());
        }
        target.retain(|key, _| !self.remove.contains(key));
    }

    fn tell_missing(&self, map: Map, before: &Value) {
        for key in self.remove.iter().filter(|key| map == Map::Labels && before.get(key.as_str()).is_none()) {
            println!("label {key:?} not found.");
        }
    }

    fn patch(&self) -> Value {
        let set = self.set.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        let remove = self.remove.iter().map(|key| (key.clone(), Value::Null));
        Value::Object(set.chain(remove).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_from_names() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (names, pairs) = split(Map::Labels, &words("pod a b=c d-")).unwrap();
        assert_eq!((names, pairs.clone()), (words("pod a"), words("b=c d-")));
        assert_eq!(Changes::parse(Map::Labels, &pairs).unwrap().patch(), json!({"b": "c", "d": null}));
        assert!(split(Map::Labels, &words("pod a=b c")).is_err());
        assert!(Changes::parse(Map::Labels, &words("a=b a-")).is_err());
    }
}
