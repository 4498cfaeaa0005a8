//! What the types of the Go structs' tags say and k8s-openapi does not: which lists are maps or
//! sets, by which keys they merge, which maps are atomic. Strategic merge patch, server-side apply
//! and OpenAPI read it. Only what differs from the rule is here; the rule is: a list is atomic and a
//! patch replaces it, an object is granular.
//!
//! The tables are `x-kubernetes-*` facts of upstream's OpenAPI document, one line per type.

mod apps;
mod batch;
mod core;
mod groups;
mod meta;
mod pod;
mod volume;

const CORE: &str = "io.k8s.api.core.v1";
const APPS: &str = "io.k8s.api.apps.v1";
const AUTOSCALING: &str = "io.k8s.api.autoscaling.v1";
const BATCH: &str = "io.k8s.api.batch.v1";
const EVENTS: &str = "io.k8s.api.events.v1";
const POLICY: &str = "io.k8s.api.policy.v1";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Every kind whose schema says more than [`PLAIN`], with its group; all are of version `v1`.
static KINDS: &[(&str, &Type)] = &[
    ("", &core::BINDING),
    ("", &core::COMPONENT_STATUS),
    ("", &core::EVENT),
    ("", &core::NAMESPACE),
    ("", &core::NODE),
    ("", &core::REPLICATION_CONTROLLER),
    ("", &core::RESOURCE_QUOTA),
    ("", &core::SERVICE),
    ("", &core::SERVICE_ACCOUNT),
    ("", &pod::POD),
    ("", &pod::POD_TEMPLATE),
    ("", &volume::PERSISTENT_VOLUME),
    ("", &volume::PERSISTENT_VOLUME_CLAIM),
    ("apps", &apps::DAEMON_SET),
    ("apps", &apps::DEPLOYMENT),
    ("apps", &apps::REPLICA_SET),
    ("apps", &apps::STATEFUL_SET),
    ("autoscaling", &groups::HORIZONTAL_POD_AUTOSCALER),
    ("batch", &batch::CRON_JOB),
    ("batch", &batch::JOB),
    ("events.k8s.io", &groups::EVENTS_EVENT),
    ("policy", &groups::POD_DISRUPTION_BUDGET),
];

const METADATA: Field = field("metadata").of(&meta::OBJECT_META).present();

/// The schema of a kind with nothing of its own: metadata, and perhaps a spec and a status.
pub static PLAIN: Type = Type::new("", "", &[METADATA, field("spec").present(), field("status").present()]);

/// The schema of a kind; [`PLAIN`] for one that the tables do not name.
#[must_use]
pub fn of(group: &str, version: &str, kind: &str) -> &'static Type {
    let named = |(g, t): &&(&str, &Type)| *g == group && t.kind == kind && version == "v1";
    KINDS.iter().find(named).map_or(&PLAIN, |(_, schema)| schema)
}

/// Every type that the tables describe, each once, reached from the kinds.
#[must_use]
pub fn types() -> Vec<&'static Type> {
    let mut found: Vec<&'static Type> = Vec::new();
    let mut next: Vec<&'static Type> = KINDS.iter().map(|(_, schema)| *schema).collect();
    while let Some(schema) = next.pop() {
        if !found.iter().any(|known| std::ptr::eq(*known, schema)) {
            found.push(schema);
        }
        let children = schema.fields.iter().filter_map(|field| field.of);
        next.extend(children.filter(|child| !found.iter().any(|known| std::ptr::eq(*known, *child))));
    }
    found
}

/// What is special about an object type.
#[derive(Debug)]
pub struct Type {
    package: &'static str,
    /// Such as `PodSpec`.
    pub kind: &'static str,
    /// Whether server-side apply owns such an object as one (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// The fields that are special or lead to something special.
    pub fields: &'static [Field],
}

impl Type {
    const fn new(package: &'static str, kind: &'static str, fields: &'static [Field]) -> Self {
        Self { package, kind, atomic: false, fields }
    }

    const fn atomic(package: &'static str, kind: &'static str) -> Self {
        Self { package, kind, atomic: true, fields: &[] }
    }

    /// Name in OpenAPI documents, such as `io.k8s.api.core.v1.PodSpec`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.package, self.kind)
    }

    /// What is known of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// What is special about a field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// How server-side apply sees it.
    pub topology: Topology,
    /// How a strategic merge patch changes it.
    pub patch: Patch,
    /// Type of the field, or of the list's elements.
    pub of: Option<&'static Type>,
    /// Whether the zero value of the Go struct has this field as an empty object or list. An object that is
    /// created owns what is inside such a field, not the field itself.
    pub present: bool,
}

/// What server-side apply owns as one, and what piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// The rule: lists are owned as one, objects field by field (unless [`Type::atomic`]).
    Natural,
    /// Owned as one (`x-kubernetes-map-type: atomic` of the field).
    Atomic,
    /// Owned field by field although its type is atomic.
    Granular,
    /// A list whose elements are known by these keys (`x-kubernetes-list-type: map`).
    Map(&'static [Key]),
    /// A list of distinct scalars (`x-kubernetes-list-type: set`).
    Set,
}

/// A key of a list of [`Topology::Map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// JSON name of the key field.
    pub name: &'static str,
    /// What an element without it means.
    pub default: Option<&'static str>,
}

/// The strategic merge patch strategy of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// How a list is changed.
    pub list: ListPatch,
    /// Whether a patch may say `$retainKeys` (`retainKeys`).
    pub retain_keys: bool,
    /// Whether an object is replaced as a whole (`replace`).
    pub replace: bool,
}

/// How a strategic merge patch changes a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListPatch {
    /// The list is replaced.
    #[default]
    Replace,
    /// Elements with the same value of this key are merged.
    MergeBy(&'static str),
    /// Scalars are added to the list.
    MergeValues,
}

const PROTOCOL: Key = Key { name: "protocol", default: Some("TCP") };

const fn key(name: &'static str) -> Key {
    Key { name, default: None }
}

const fn field(name: &'static str) -> Field {
    let patch = Patch { list: ListPatch::Replace, retain_keys: false, replace: false };
    Field { name, topology: Topology::Natural, patch, of: None, present: false }
}

const fn with_topology(name: &'static str, topology: Topology) -> Field {
    let mut field = field(name);
    field.topology = topology;
    field
}

const fn list(name: &'static str) -> Field {
    field(name)
}

const fn atomic(name: &'static str) -> Field {
    with_topology(name, Topology::Atomic)
}

const fn granular(name: &'static str) -> Field {
    with_topology(name, Topology::Granular)
}

const fn set(name: &'static str) -> Field {
    with_topology(name, Topology::Set)
}

const fn keyed(name: &'static str, keys: &'static [Key]) -> Field {
    with_topology(name, Topology::Map(keys))
}

impl Field {
    const fn of(mut self, schema: &'static Type) -> Self {
        self.of = Some(schema);
        self
    }

    const fn merge(mut self, key: &'static str) -> Self {
        self.patch.list = ListPatch::MergeBy(key);
        self
    }

    const fn merge_values(mut self) -> Self {
        self.patch.list = ListPatch::MergeValues;
        self
    }

    const fn retain_keys(mut self) -> Self {
        self.patch.retain_keys = true;
        self
    }

    const fn replace(mut self) -> Self {
        self.patch.replace = true;
        self
    }

    const fn present(mut self) -> Self {
        self.present = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{ListPatch, Topology, of, types};

    #[test]
    fn containers_are_a_map_by_name() {
        let spec = of("", "v1", "Pod").field("spec").and_then(|field| field.of).unwrap();
        let containers = spec.field("containers").unwrap();
        assert!(matches!(containers.topology, Topology::Map([key]) if key.name == "name"));
        assert_eq!(containers.patch.list, ListPatch::MergeBy("name"));
        let template = of("apps", "v1", "Deployment").field("spec").unwrap().of.unwrap().field("template").unwrap();
        assert!(std::ptr::eq(template.of.unwrap().field("spec").unwrap().of.unwrap(), spec));
    }

    #[test]
    fn every_type_is_named_once() {
        let mut names: Vec<_> = types().iter().map(|schema| schema.name()).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.contains(&"io.k8s.api.core.v1.Container".to_owned()));
    }
}
