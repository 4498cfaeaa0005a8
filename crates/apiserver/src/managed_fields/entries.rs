//! `metadata.managedFields`: managers with their sets, read and written.

use api_types::{
    jiff::Timestamp,
    meta::{FieldsV1, ManagedFieldsEntry, Time},
};

use super::set::FieldSet;

/// Upstream's limit of entries of operation `Update`; the oldest beyond it become one.
const MAX_UPDATERS: usize = 10;
/// The manager of that one.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// A manager and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// How it came to own its fields.
    pub operation: Operation,
    /// The version in which it wrote, such as `apps/v1`.
    pub api_version: String,
    /// The subresource through which it wrote, or empty.
    pub subresource: String,
    /// When it last changed something.
    pub time: Option<Timestamp>,
    /// What it owns.
    pub set: FieldSet,
}

impl Manager {
    /// Whether both are the same manager. Appliers may change version.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn read(entry: ManagedFieldsEntry) -> Option<Self> {
        let operation = match entry.operation.as_deref() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return None,
        };
        Some(Self {
            name: entry.manager.unwrap_or_default(),
            operation,
            api_version: entry.api_version.unwrap_or_default(),
            subresource: entry.subresource.unwrap_or_default(),
            time: entry.time.map(|Time(time)| time),
            set: entry.fields_v1.map(|FieldsV1(fields)| FieldSet::from_json(fields)).unwrap_or_default(),
        })
    }

    fn write(self) -> ManagedFieldsEntry {
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        ManagedFieldsEntry {
            manager: filled(self.name),
            operation: Some(self.operation.name().to_owned()),
            api_version: filled(self.api_version),
            subresource: filled(self.subresource),
            time: self.time.map(Time),
            fields_type: Some("FieldsV1".to_owned()),
            fields_v1: Some(FieldsV1(self.set.into_json())),
        }
    }
}

/// Reads entries; none if one of them is malformed, as upstream discards the list then.
#[must_use]
pub fn read(entries: Vec<ManagedFieldsEntry>) -> Option<Vec<Manager>> {
    entries.into_iter().map(Manager::read).collect()
}

/// Writes entries in upstream's order, with the oldest updaters merged when there are too many.
#[must_use]
pub fn write(mut managers: Vec<Manager>) -> Vec<ManagedFieldsEntry> {
    managers.retain(|manager| !manager.set.is_empty());
    sort(&mut managers);
    if managers.iter().filter(|manager| manager.operation == Operation::Update).count() > MAX_UPDATERS {
        managers = merge_oldest(managers);
        sort(&mut managers);
    }
    managers.into_iter().map(Manager::write).collect()
}

fn sort(managers: &mut [Manager]) {
    let seconds = |manager: &Manager| manager.time.map_or(0, Timestamp::as_second);
    managers.sort_by(|a, b| {
        let key = |m: &Manager| (m.operation, seconds(m));
        let names = |m: &Manager| (m.name.clone(), m.api_version.clone(), m.subresource.clone());
        key(a).cmp(&key(b)).then_with(|| names(a).cmp(&names(b)))
    });
}

/// Merges the oldest updaters of each version until few enough are left. `managers` is sorted.
fn merge_oldest(managers: Vec<Manager>) -> Vec<Manager> {
    let (mut kept, updaters): (Vec<_>, Vec<_>) =
        managers.into_iter().partition(|manager| manager.operation == Operation::Apply);
    let mut surplus = updaters.len().saturating_sub(MAX_UPDATERS);
    let mut ancients: Vec<Manager> = Vec::new();
    for updater in updaters {
        if surplus == 0 {
            kept.push(updater);
            continue;
        }
        match ancients.iter_mut().find(|ancient| ancient.api_version == updater.api_version) {
            Some(ancient) => {
                ancient.set.union(&updater.set);
                ancient.time = updater.time;
                surplus -= 1;
            }
            None => ancients.push(Manager { name: ANCIENT.to_owned(), subresource: String::new(), ..updater }),
        }
    }
    kept.extend(ancients);
    kept
}
