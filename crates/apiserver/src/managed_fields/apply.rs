//! Server-side apply.

use api_types::status::StatusError;
use serde_json::Value;
use thiserror::Error;

use super::{
    Configuration, Live, ManagedFields, Operation, Writer,
    compare::{Before, compare},
    entries::Manager,
    last_applied,
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
    /// The configuration is of another kind or version.
    #[error("invalid object type: {0}")]
    ObjectType(String),
    /// The configuration does not fit the schema of its kind.
    #[error("failed to create typed patch object ({place}): {}", told(faults))]
    Untyped {
        /// Which object it is.
        place: String,
        /// What is wrong, each with its path.
        faults: Vec<String>,
    },
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
            ApplyError::Untyped { .. } => Self::unexplained(error.to_string()),
            ApplyError::ManagedFieldsGiven | ApplyError::NotAnObject | ApplyError::ObjectType(_) => {
                Self::bad_request(error.to_string())
            }
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
/// What [`Configuration::check`] finds; conflicts with other managers, unless forced.
pub fn apply(
    live: Option<Live<'_>>,
    config: &Configuration,
    writer: &Writer<'_>,
    force: Force,
) -> Result<Applied, ApplyError> {
    let row = writer.resource;
    config.check(&row.group, &row.version, &row.kind, row.schema())?;
    let config = &config.tree;
    let shape = writer.shape();
    let mut managers = live.map(|live| live.managed.managers()).unwrap_or_default();
    let before: Option<Value> =
        live.map(|live| serde_json::from_slice(live.json)).transpose().map_err(|_| ApplyError::Damaged)?;
    if managers.is_empty()
        && let Some(before) = &before
    {
        managers.extend(first_owner(before, writer));
    }
    let mut current = writer.manager(Operation::Apply, paths(config, shape));
    let last = managers.iter().position(|manager| manager.is(&current)).map(|index| managers.swap_remove(index));
    let merged = merge(before.clone(), config, shape);
    let mut merged = match &last {
        Some(last) => prune(&merged, &last.set, managers.iter().chain([&current]), shape),
        None => merged,
    };
    // Not before pruning: a configuration that only names the object keeps the object's metadata.
    writer.keep_managed(&mut current.set);
    settle(&mut managers, before.as_ref(), &merged, writer, force)?;
    // Upstream tells no time when nothing changes.
    if before.as_ref() == Some(&merged) {
        current.time = last.and_then(|last| last.time);
    }
    managers.push(current);
    last_applied::keep_current(&mut merged, config, writer);
    Ok(Applied { object: merged, managed: ManagedFields::of(managers) })
}

/// One fault in a line, several in a list.
fn told(faults: &[String]) -> String {
    match faults {
        [fault] => fault.clone(),
        faults => faults.iter().fold("errors:".to_owned(), |text, fault| text + "\n  " + fault),
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
    left(&gone.intersection(&last))
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
    let own = before.map(|before| last_applied::fields(before, writer)).unwrap_or_default();
    let mut conflicts = Vec::new();
    for manager in managers.iter_mut() {
        let conflict = manager.set.intersection(&difference.changed);
        let described = describe(manager);
        let mut contested = conflict.clone();
        contested.subtract(&own);
        conflicts.extend(contested.paths().into_iter().map(|path| Conflict { manager: described.clone(), path }));
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
