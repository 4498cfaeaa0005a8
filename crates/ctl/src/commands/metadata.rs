//! `ctl label` and `ctl annotate`.

use clap::Args;
use serde_json::{Map as JsonMap, Value, json};

use super::{Failures, get::Selection};
use crate::{
    api::{Api, PatchType},
    dry_run,
    error::{Error, Result},
    output::print_result,
    resources::{Catalog, Target},
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

    const fn done(self) -> &'static str {
        match self {
            Self::Labels => "labeled",
            Self::Annotations => "annotated",
        }
    }
}

/// What to change on which objects.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME… KEY=VALUE… KEY-…
    arguments: Vec<String>,
    /// Change a value that is there already
    #[arg(long)]
    overwrite: bool,
    /// Every object of the type
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    dry_run: dry_run::Flag,
}

/// Runs the command.
///
/// # Errors
/// When a change makes no sense or the server refuses.
pub async fn run(api: &Api, map: Map, flags: &Flags) -> Result<()> {
    let (names, changes) = split(&flags.arguments);
    if changes.is_empty() {
        return Err(Error::usage(format!("at least one {} update is required", map.field().trim_end_matches('s'))));
    }
    let catalog = Catalog::discover(api).await?;
    let mut failures = Failures::default();
    for target in catalog.targets(&names)? {
        for target in members(api, flags, target).await? {
            failures.note(change(api, map, flags, &target, &changes).await)?;
        }
    }
    failures.result()
}

/// A change: `None` removes.
type Change = (String, Option<String>);

/// Changes come last; `a=b` and `a-` are changes.
fn split(arguments: &[String]) -> (Vec<String>, Vec<Change>) {
    let mut names = Vec::new();
    let mut changes = Vec::new();
    for argument in arguments {
        if let Some((key, value)) = argument.split_once('=') {
            changes.push((key.to_owned(), Some(value.to_owned())));
        } else if let (Some(key), false) = (argument.strip_suffix('-'), names.is_empty()) {
            changes.push((key.to_owned(), None));
        } else {
            names.push(argument.clone());
        }
    }
    (names, changes)
}

async fn members(api: &Api, flags: &Flags, target: Target) -> Result<Vec<Target>> {
    if target.name.is_some() {
        return Ok(vec![target]);
    }
    if !flags.selection.selects(flags.all, None)? {
        return Err(Error::usage("resource(s) were provided, but no name was specified"));
    }
    let list = api.get(&format!("{}?{}", target.path(Some(&api.namespace)), flags.selection.query())).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
    Ok(items.iter().map(|item| Target { resource: target.resource.clone(), name: name(item) }).collect())
}

async fn change(api: &Api, map: Map, flags: &Flags, target: &Target, changes: &[Change]) -> Result<()> {
    let path = target.path(Some(&api.namespace));
    let object = api.get(&path).await?;
    let current = object["metadata"][map.field()].as_object().cloned().unwrap_or_default();
    let mut patch = JsonMap::new();
    for (key, value) in changes {
        let old = current.get(key).and_then(Value::as_str);
        match (old, value) {
            (Some(old), Some(new)) if old != new && !flags.overwrite => {
                return Err(Error::usage(format!("'{key}' already has a value ({old}), and --overwrite is false")));
            }
            (None, None) => println!("{} {key:?} not found.", map.field().trim_end_matches('s')),
            _ => {}
        }
        patch.insert(key.clone(), value.clone().map_or(Value::Null, Value::String));
    }
    let unchanged = patch.iter().all(|(key, value)| current.get(key).unwrap_or(&Value::Null) == value);
    let said = if unchanged { format!("not {}", map.done()) } else { map.done().to_owned() };
    let dry_run = flags.dry_run.dry_run;
    let patch = json!({"metadata": {map.field(): patch}});
    let after = api.patch(&dry_run.ask(&path), PatchType::Merge, &patch).await?;
    print_result(&crate::output::Format::Human, &target.resource, &after, &dry_run.say(&said))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn changes_are_told_from_names() {
        let arguments: Vec<String> = ["pods", "a-b", "x=1", "y-"].iter().map(ToString::to_string).collect();
        let (names, changes) = split(&arguments);
        assert_eq!(names, ["pods", "a-b"]);
        assert_eq!(changes, [("x".to_owned(), Some("1".to_owned())), ("y".to_owned(), None)]);
    }
}
