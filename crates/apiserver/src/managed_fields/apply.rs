//! Server-side apply.

use api_types::status::StatusError;
use serde_json::Value;
use thiserror::Error;

use super::{
    Live, ManagedFields, Operation, Writer,
    compare::{Before, compare},
    entries::Manager,
    merge::{merge, paths, without},
    set::FieldSet,
    shape::Shape,
};

/// Upstream's manager of everything that an object without managed fields has when it is first applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// What to do about fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Refuse to change them.
    No,
    /// Take them over.
    Yes,
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager as messages name it: `"kubectl" using apps/v1`.
    pub manager: String,
    /// The field, such as `.spec.replicas`.
    pub path: String,
}

/// Why a configuration was not applied.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ApplyError {
    /// Others own fields that would change.
    #[error("{}", message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration says who manages fields.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The stored object cannot be read.
    #[error("the stored object is damaged")]
    Damaged,
    /// The configuration is no object.
    #[error("the applied configuration must be an object")]
    NotAnObject,
}

impl From<&ApplyError> for StatusError {
    fn from(error: &ApplyError) -> Self {
        match error {
            ApplyError::Conflicts(conflicts) => {
                let causes: Vec<_> = conflicts
                    .iter()
                    .map(|conflict| (format!("conflict with {}", conflict.manager), conflict.path.clone()))
                    .collect();
                Self::apply_conflict(&error.to_string(), &causes)
            }
            ApplyError::Damaged => Self::internal(error.to_string()),
            ApplyError::ManagedFieldsGiven | ApplyError::NotAnObject => Self::bad_request(error.to_string()),
        }
    }
}

/// What a configuration makes of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, without managed fields. Nothing in it but the configuration was checked or defaulted: decode it as
    /// if the client had sent it.
    pub object: Value,
    /// Who manages its fields now.
    pub managed: ManagedFields,
}

/// What the object becomes when the writer applies `config`; without `live` it is new.
///
/// # Errors
/// Conflicts with other managers, unless forced; a configuration with managed fields.
pub fn apply(live: Option<Live<'_>>, config: &Value, writer: &Writer<'_>, force: Force) -> Result<Applied, ApplyError> {
    let config = checked(config)?;
    let shape = writer.shape();
    let mut managers = live.map(|live| live.managed.managers()).unwrap_or_default();
    let before: Option<Value> =
        live.map(|live| serde_json::from_slice(live.json)).transpose().map_err(|_| ApplyError::Damaged)?;
    if managers.is_empty()
        && let Some(before) = &before
    {
        managers.extend(first_owner(before, writer));
    }
    let mut current = writer.manager(Operation::Apply, paths(&config, shape));
    let last = managers.iter().position(|manager| manager.is(&current)).map(|index| managers.swap_remove(index));
    let merged = merge(before.clone(), &config, shape);
    let merged = match &last {
        Some(last) => prune(&merged, &last.set, managers.iter().chain([&current]), shape),
        None => merged,
    };
    // Not before pruning: a configuration that only names the object keeps the object's metadata.
    writer.keep_managed(&mut current.set);
    settle(&mut managers, before.as_ref(), &merged, writer, force)?;
    let unchanged = before.as_ref() == Some(&merged);
    managers.push(timed(current, last, unchanged));
    Ok(Applied { object: merged, managed: ManagedFields::of(managers) })
}

/// Keeps the time of an entry that applies what it applied before.
fn timed(mut current: Manager, last: Option<Manager>, unchanged: bool) -> Manager {
    if let Some(last) = last
        && unchanged
        && last.set == current.set
        && last.api_version == current.api_version
    {
        current.time = last.time;
    }
    current
}

/// The configuration without nulls, which mean nothing in it.
fn checked(config: &Value) -> Result<Value, ApplyError> {
    if !config.is_object() {
        return Err(ApplyError::NotAnObject);
    }
    let managed = config.pointer("/metadata/managedFields");
    if managed.is_some_and(|managed| managed.as_array().is_none_or(|entries| !entries.is_empty()) && !managed.is_null())
    {
        return Err(ApplyError::ManagedFieldsGiven);
    }
    let mut config = without_nulls(config);
    if let Some(Value::Object(metadata)) = config.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    Ok(config)
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        scalar => scalar.clone(),
    }
}

fn first_owner(before: &Value, writer: &Writer<'_>) -> Option<Manager> {
    let mut set = compare(Before::Zero, Some(before), writer.shape()).changed;
    let main = Writer { subresource: "", manager: BEFORE_FIRST_APPLY, ..*writer };
    main.keep_managed(&mut set);
    (!set.is_empty()).then(|| main.manager(Operation::Update, set))
}

/// Removes what the manager applied last time, does not apply now, and nobody else owns.
fn prune<'a>(merged: &Value, last: &FieldSet, managers: impl Iterator<Item = &'a Manager>, shape: Shape<'_>) -> Value {
    let last = last.with_parents();
    let left = |set: &FieldSet| without(merged, set, shape);
    let all = paths(merged, shape).with_parents();

    let mut owned = paths(&left(&last), shape);
    managers.for_each(|manager| owned.union(&manager.set));
    let mut unowned = all.clone();
    unowned.subtract(&owned.with_parents());

    // What was never applied by this manager stays, even if nobody owns it.
    let mut gone = all;
    gone.subtract(&paths(&left(&unowned), shape).with_parents());
    without_nulls(&left(&gone.intersection(&last)))
}

/// Takes from the other managers what changes or goes.
fn settle(
    managers: &mut Vec<Manager>,
    before: Option<&Value>,
    after: &Value,
    writer: &Writer<'_>,
    force: Force,
) -> Result<(), ApplyError> {
    let mut difference = compare(before.map_or(Before::Zero, Before::Value), Some(after), writer.shape());
    writer.keep_managed(&mut difference.changed);
    writer.keep_managed(&mut difference.removed);
    let mut conflicts = Vec::new();
    for manager in managers.iter_mut() {
        let conflict = manager.set.intersection(&difference.changed);
        let described = describe(manager);
        conflicts.extend(conflict.paths().into_iter().map(|path| Conflict { manager: described.clone(), path }));
        manager.set.subtract(&conflict);
        manager.set.subtract(&difference.removed);
    }
    managers.retain(|manager| !manager.set.is_empty());
    if force == Force::No && !conflicts.is_empty() {
        conflicts.sort_by(|a, b| a.manager.cmp(&b.manager));
        return Err(ApplyError::Conflicts(conflicts));
    }
    Ok(())
}

/// `"kubectl" with subresource "scale" using apps/v1`.
fn describe(manager: &Manager) -> String {
    let mut text = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", manager.subresource));
    }
    if manager.operation == Operation::Update {
        text.push_str(&format!(" using {}", manager.api_version));
    }
    text
}

fn message(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", conflict.manager, conflict.path);
    }
    let mut lines = Vec::new();
    for (index, conflict) in conflicts.iter().enumerate() {
        if index == 0 || conflicts[index - 1].manager != conflict.manager {
            lines.push(format!("conflicts with {}:", conflict.manager));
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
