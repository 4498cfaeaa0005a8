//! Managed fields: who owns which field of an object. Every write is tracked; server-side apply
//! merges by it. Pure functions over JSON.

mod apply;
mod children;
mod compare;
mod configuration;
mod entries;
mod last_applied;
mod merge;
mod overlay;
mod set;
mod shape;
mod text;
mod update;

use api_types::{Resource, jiff::Timestamp};
pub use apply::{Applied, ApplyError, Conflict, Force, apply};
pub use configuration::Configuration;
pub use entries::ManagedFields;
use entries::{Manager, Operation};
pub use overlay::lay_over;
use set::FieldSet;
use shape::Shape;
pub use text::{put_together, take_apart};
pub use update::{After, on_update};

/// Fields that belong to nobody: what identifies the object and what the server keeps.
const UNMANAGED_METADATA: &[&str] = &[
    "f:clusterName",
    "f:creationTimestamp",
    "f:generation",
    "f:managedFields",
    "f:name",
    "f:namespace",
    "f:resourceVersion",
    "f:selfLink",
    "f:uid",
];

/// An object as it is stored, apart from its managed fields.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// The object in JSON, without managed fields.
    pub json: &'a [u8],
    /// Who manages its fields.
    pub managed: &'a ManagedFields,
}

/// Who writes, what and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The resource that is written.
    pub resource: &'a Resource,
    /// `fieldManager`, or what stands in for it.
    pub manager: &'a str,
    /// `status`, `scale`; empty for the main resource.
    pub subresource: &'a str,
    /// Now, to be told as the time of the change.
    pub now: Timestamp,
}

impl Writer<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape::root(self.resource.schema())
    }

    fn manager(&self, operation: Operation, set: FieldSet) -> Manager {
        Manager {
            name: self.manager.to_owned(),
            operation,
            api_version: self.resource.api_version(),
            subresource: self.subresource.to_owned(),
            time: Some(whole_seconds(self.now)),
            set,
        }
    }

    /// Takes out what nobody manages, and what this endpoint does not write: the status, or, for the
    /// status endpoint, the spec.
    fn keep_managed(&self, set: &mut FieldSet) {
        set.owned = false;
        for name in ["f:apiVersion", "f:kind"] {
            set.children.remove(name);
        }
        let has_status = self.resource.subresource("status").is_some();
        match self.subresource {
            "status" => set.children.remove("f:spec"),
            _ if has_status => set.children.remove("f:status"),
            _ => {}
        }
        if let Some(metadata) = set.children.get_mut("f:metadata") {
            metadata.owned = false;
            metadata.children.retain(|name, _| !UNMANAGED_METADATA.contains(&name));
            if metadata.is_empty() {
                set.children.remove("f:metadata");
            }
        }
    }
}

/// `metadata.managedFields` tells whole seconds.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
