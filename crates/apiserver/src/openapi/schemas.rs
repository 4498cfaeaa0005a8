//! Definitions of types, from the table of upstream's types and the descriptions that belong to it.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io::Read,
    sync::Arc,
};

use api_types::{
    Resource,
    schema::{self, Field, Kind, Label, ListPatch, Schema, StandsFor, Topology, Type},
};
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use super::{brought, dialect::Dialect};

/// Types that operations refer to though no row leads to them.
const BESIDES: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
    "io.k8s.apimachinery.pkg.version.Info",
];
const METADATA: &[&str] =
    &["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"];

/// What upstream says of each type and field, by their lines in the table.
struct Descriptions(Vec<String>);

impl Descriptions {
    fn read() -> Self {
        let mut text = String::new();
        // What is compiled in can be read; a test does.
        let _ = GzDecoder::new(&include_bytes!("descriptions.txt.gz")[..]).read_to_string(&mut text);
        Self(text.lines().map(unescaped).collect())
    }

    fn add(&self, line: usize, to: &mut Map<String, Value>) {
        if let Some(text) = self.0.get(line).filter(|text| !text.is_empty()) {
            to.insert("description".to_owned(), text.as_str().into());
        }
    }
}

fn unescaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => letters.next().map_or('\\', |escaped| if escaped == 'n' { '\n' } else { escaped }),
            letter => letter,
        });
    }
    out
}

/// Definitions by name, in one dialect.
#[derive(Debug)]
pub struct Schemas {
    definitions: BTreeMap<String, Value>,
    /// Names of what rows brought along: by group, version and kind.
    brought: BTreeMap<(String, String, String), String>,
}

impl Schemas {
    /// The definitions of all rows, their lists, and what operations refer to besides.
    #[must_use]
    pub fn new(rows: &[Arc<Resource>], dialect: Dialect) -> Self {
        let groups: BTreeSet<(&str, &str)> = rows.iter().map(|row| (&*row.group, &*row.version)).collect();
        let builder = Builder { dialect, groups, descriptions: Descriptions::read() };
        let mut queue: Vec<&'static Type> = BESIDES.iter().filter_map(|name| schema::named(name)).collect();
        for row in rows {
            queue.extend(documented(&row.group, &row.version, &row.kind));
            queue.extend(documented(&row.group, &row.version, &row.list_kind()));
            queue.extend(row.subresources.iter().filter_map(|sub| documented(&sub.group, &sub.version, &sub.kind)));
        }
        // What rows bring along refers to these.
        queue.extend(METADATA.iter().filter_map(|name| schema::named(name)));
        let mut definitions = BTreeMap::new();
        while let Some(schema) = queue.pop() {
            if let Entry::Vacant(place) = definitions.entry(schema.full_name()) {
                place.insert(builder.definition(schema));
                queue.extend(schema.members().iter().filter_map(|(field, _)| schema::named(&field.kind.definition()?)));
            }
        }
        let mut schemas = Self { definitions, brought: BTreeMap::new() };
        rows.iter().for_each(|row| schemas.add_brought(row, dialect));
        schemas
    }

    /// Adds the schema that a row brings along, and that of its list.
    fn add_brought(&mut self, row: &Resource, dialect: Dialect) {
        let Some(document) = row.ops.own_schema().and_then(Schema::document) else { return };
        let name = brought::name(row);
        let list = brought::list(row, dialect, &name);
        let key = |kind: &str| (row.group.to_string(), row.version.to_string(), kind.to_owned());
        self.brought.insert(key(&row.list_kind()), format!("{name}List"));
        self.definitions.insert(format!("{name}List"), list);
        self.brought.insert(key(&row.kind), name.clone());
        self.definitions.insert(name, brought::object(row, dialect, &document));
    }

    /// The name of a kind's definition, such as `io.k8s.api.core.v1.Pod`; none for kinds that only carry
    /// query parameters, such as `PodExecOptions`.
    #[must_use]
    pub fn name(&self, group: &str, version: &str, kind: &str) -> Option<String> {
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        let upstream = || documented(group, version, kind).map(Type::full_name);
        let name = self.brought.get(&key).cloned().or_else(upstream);
        name.filter(|name| self.definitions.contains_key(name))
    }

    /// Every definition.
    #[must_use]
    pub fn all(&self) -> Map<String, Value> {
        self.definitions.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect()
    }

    /// The definitions that `document` refers to, and those that they refer to.
    #[must_use]
    pub fn closure(&self, document: &Value) -> Map<String, Value> {
        let mut found = BTreeSet::new();
        let mut next = Vec::new();
        references(document, &mut next);
        while let Some(name) = next.pop() {
            if let Some(schema) = self.definitions.get(&name)
                && found.insert(name)
            {
                references(schema, &mut next);
            }
        }
        found.into_iter().filter_map(|name| Some((name.clone(), self.definitions.get(&name)?.clone()))).collect()
    }
}

fn documented(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    schema::find(group, version, kind).filter(|schema| schema.documented)
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(path) if key == "$ref" => names.extend(path.rsplit('/').next().map(str::to_owned)),
                    _ => references(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

/// Writes definitions.
struct Builder<'a> {
    dialect: Dialect,
    /// The groups and versions that are served, for kinds that are in all of them.
    groups: BTreeSet<(&'a str, &'a str)>,
    descriptions: Descriptions,
}

impl Builder<'_> {
    fn definition(&self, schema: &Type) -> Value {
        let mut definition = Map::new();
        match schema.scalar {
            Some(kind) => definition.extend(self.dialect.scalar(kind)),
            None => self.add_object(schema, &mut definition),
        }
        self.descriptions.add(schema.line(), &mut definition);
        Value::Object(definition)
    }

    fn add_object(&self, schema: &Type, definition: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Value| definition.insert(name.to_owned(), value);
        set("type", "object".into());
        let members = schema.members();
        let required: Vec<&str> =
            members.iter().filter(|(field, _)| field.required).map(|(field, _)| &*field.name).collect();
        if !members.is_empty() {
            let properties = members.iter().map(|(field, line)| (field.name.to_string(), self.property(field, *line)));
            set("properties", Value::Object(properties.collect()));
        }
        if !required.is_empty() {
            set("required", required.into());
        }
        if schema.atomic {
            set("x-kubernetes-map-type", "atomic".into());
        }
        if let Some(unions) = schema.unions.and_then(|text| serde_json::from_str(text).ok()) {
            set("x-kubernetes-unions", unions);
        }
        let kinds = self.kinds(schema);
        if !kinds.is_empty() {
            set("x-kubernetes-group-version-kind", kinds.into());
        }
    }

    fn kinds(&self, schema: &Type) -> Vec<Value> {
        let kind = |(group, version)| json!({"group": group, "version": version, "kind": schema.name});
        match schema.stands_for {
            StandsFor::Nothing => Vec::new(),
            StandsFor::Kind => schema.group_version().map(kind).into_iter().collect(),
            StandsFor::CoreKind => vec![kind(("", "v1"))],
            StandsFor::AnyKind => self.groups.iter().copied().map(kind).collect(),
        }
    }

    fn property(&self, field: &Field, line: usize) -> Value {
        let mut inner = match field.label {
            Label::One => self.value(field.kind),
            Label::List | Label::Map => self.element(field.kind),
        };
        if let Some(values) = field.values.and_then(|values| serde_json::from_str(values).ok()) {
            inner.insert("enum".to_owned(), values);
        }
        let container = |kind: &str, holds: &str, inner| {
            Map::from_iter([("type".to_owned(), kind.into()), (holds.to_owned(), self.dialect.tidy(inner))])
        };
        let mut property = match field.label {
            Label::One => inner,
            Label::List => container("array", "items", inner),
            Label::Map => container("object", "additionalProperties", inner),
        };
        self.descriptions.add(line, &mut property);
        if self.dialect == Dialect::V3
            && let Some(default) = default(field)
        {
            property.insert("default".to_owned(), default);
        }
        annotate(&mut property, field);
        self.dialect.tidy(property)
    }

    /// A value that is always there: in a list, in a map.
    fn element(&self, kind: Kind) -> Map<String, Value> {
        let mut element = self.value(kind);
        if self.dialect == Dialect::V3
            && let Some(zero) = zero(kind)
        {
            element.insert("default".to_owned(), zero);
        }
        element
    }

    fn value(&self, kind: Kind) -> Map<String, Value> {
        let scalar = |name: &str, format: &str| {
            let mut scalar = Map::from_iter([("type".to_owned(), name.into())]);
            if !format.is_empty() {
                scalar.insert("format".to_owned(), format.into());
            }
            scalar
        };
        match kind {
            Kind::String => scalar("string", ""),
            Kind::Bool => scalar("boolean", ""),
            Kind::Int32 => scalar("integer", "int32"),
            Kind::Int64 => scalar("integer", "int64"),
            Kind::Double => scalar("number", "double"),
            Kind::Bytes => scalar("string", "byte"),
            Kind::Strings => {
                let mut list = scalar("array", "");
                list.insert("items".to_owned(), self.element(Kind::String).into());
                list
            }
            kind => kind
                .definition()
                .map(|name| Map::from_iter([("$ref".to_owned(), self.dialect.target(&name).into())]))
                .unwrap_or_default(),
        }
    }
}

/// What upstream's documents give as the default: what is written down, else the zero value of what Go always writes.
fn default(field: &Field) -> Option<Value> {
    if let Some(default) = &field.default {
        return serde_json::from_str(default).ok();
    }
    let written = field.number != 0 && !field.pointer && field.label == Label::One;
    let object = matches!(field.kind, Kind::Message(_));
    (written && (object || !field.omitted_when_empty)).then(|| zero(field.kind))?
}

fn zero(kind: Kind) -> Option<Value> {
    match kind {
        Kind::String => Some("".into()),
        Kind::Bool => Some(false.into()),
        Kind::Int32 | Kind::Int64 | Kind::Double => Some(0.into()),
        Kind::Message(_) => Some(json!({})),
        _ => None,
    }
}

fn annotate(property: &mut Map<String, Value>, field: &Field) {
    let mut set = |name: &str, value: Value| property.insert(format!("x-kubernetes-{name}"), value);
    match &field.topology {
        Topology::Natural => None,
        // Bytes are a list in Go.
        Topology::Atomic if field.label == Label::List || field.kind == Kind::Bytes => {
            set("list-type", "atomic".into())
        }
        Topology::Atomic => set("map-type", "atomic".into()),
        Topology::Granular => set("map-type", "granular".into()),
        Topology::Set => set("list-type", "set".into()),
        Topology::Map(keys) => {
            set("list-map-keys", keys.iter().map(|key| &*key.name).collect());
            set("list-type", "map".into())
        }
    };
    let patch = field.patch;
    let strategies =
        [("merge", patch.list != ListPatch::Replace), ("retainKeys", patch.retain_keys), ("replace", patch.replace)];
    let strategies: Vec<_> = strategies.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
    if !strategies.is_empty() {
        set("patch-strategy", strategies.join(",").into());
    }
    if let ListPatch::MergeBy(key) = patch.list {
        set("patch-merge-key", key.into());
    }
}

/// Every type that there is, in Swagger 2.0.
#[cfg(test)]
pub(super) fn upstream_definitions() -> Vec<(&'static Type, Value)> {
    let builder = Builder { dialect: Dialect::V2, groups: BTreeSet::new(), descriptions: Descriptions::read() };
    let documented = schema::types().iter().filter(|schema| schema.documented);
    documented.map(|schema| (schema, builder.definition(schema))).collect()
}
