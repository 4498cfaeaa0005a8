//! `metadata.managedFields`: managers with their sets, read and written.

use api_types::{
    jiff::Timestamp,
    meta::{FieldsV1, ManagedFieldsEntry, Time},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::set::FieldSet;

/// Upstream's limit of entries of operation `Update`; the oldest beyond it become one.
const MAX_UPDATERS: usize = 10;
/// The manager of that one.
const ANCIENT: &str = "ancient-changes";

/// `metadata.managedFields` of an object as it is stored: a JSON array; no text when there are none.
///
/// They are kept apart from the object while it is written: they are as long as the object itself, and only tracking
/// looks into them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedFields(Bytes);

impl ManagedFields {
    /// Entries of this text.
    #[must_use]
    pub fn stored(text: Bytes) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// Who manages what. Nobody anything if an entry is malformed, as upstream discards the list then.
    #[must_use]
    pub fn managers(&self) -> Vec<Manager> {
        let text = std::str::from_utf8(&self.0).unwrap_or_default();
        let entries: Vec<Entry> = serde_json::from_str(text).unwrap_or_default();
        entries.into_iter().map(Manager::read).collect::<Option<_>>().unwrap_or_default()
    }

    /// Whether the same managers own the same, whenever they got it.
    #[must_use]
    pub fn same_but_for_times(&self, other: &Self) -> bool {
        let timeless = |fields: &Self| {
            let mut managers = fields.managers();
            managers.iter_mut().for_each(|manager| manager.time = None);
            sort(&mut managers);
            managers
        };
        self == other || timeless(self) == timeless(other)
    }

    /// What stands for these managers, in upstream's order, with the oldest updaters merged when there are too many.
    #[must_use]
    pub fn of(mut managers: Vec<Manager>) -> Self {
        managers.retain(|manager| !manager.set.is_empty());
        sort(&mut managers);
        if managers.iter().filter(|manager| manager.operation == Operation::Update).count() > MAX_UPDATERS {
            managers = merge_oldest(managers);
            sort(&mut managers);
        }
        if managers.is_empty() {
            return Self::default();
        }
        let entries: Vec<Entry> = managers.into_iter().map(Manager::write).collect();
        let text = serde_json::to_vec(&entries).expect("entries have string keys and no failing serialisers");
        Self(text.into())
    }
}

/// One entry on the wire.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fields_type: String,
    fields_v1: FieldSet,
    #[serde(skip_serializing_if = "String::is_empty")]
    manager: String,
    operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Time>,
}

impl From<ManagedFieldsEntry> for Entry {
    fn from(entry: ManagedFieldsEntry) -> Self {
        let set = entry.fields_v1.and_then(|FieldsV1(fields)| FieldSet::deserialize(fields).ok());
        Self {
            api_version: entry.api_version.unwrap_or_default(),
            fields_type: entry.fields_type.unwrap_or_default(),
            fields_v1: set.unwrap_or_default(),
            manager: entry.manager.unwrap_or_default(),
            operation: entry.operation.unwrap_or_default(),
            subresource: entry.subresource.unwrap_or_default(),
            time: entry.time,
        }
    }
}

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

    fn read(entry: Entry) -> Option<Self> {
        let operation = match entry.operation.as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        // An entry is not about the object as a whole.
        let set = FieldSet { owned: false, ..entry.fields_v1 };
        Some(Self {
            name: entry.manager,
            operation,
            api_version: entry.api_version,
            subresource: entry.subresource,
            time: entry.time.map(|Time(time)| time),
            set,
        })
    }

    fn write(self) -> Entry {
        Entry {
            api_version: self.api_version,
            fields_type: "FieldsV1".to_owned(),
            fields_v1: self.set,
            manager: self.name,
            operation: self.operation.name().to_owned(),
            subresource: self.subresource,
            time: self.time.map(Time),
        }
    }
}

/// The managers that a client sent; none if an entry is malformed.
#[must_use]
pub fn sent(entries: Vec<ManagedFieldsEntry>) -> Vec<Manager> {
    entries.into_iter().map(|entry| Manager::read(entry.into())).collect::<Option<_>>().unwrap_or_default()
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
