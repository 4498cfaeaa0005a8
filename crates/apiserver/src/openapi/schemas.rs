//! Component schemas: generated from the Rust types, completed by the tables of merge keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::{
    Resource, autoscaling, k8s_openapi, meta, policy,
    schema::{self, Field, ListPatch, Topology, Type},
    schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings},
};
use serde_json::{Map, Value, json};

use super::dialect::Dialect;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

type Generate = fn(&mut SchemaGenerator) -> Schema;

/// Kinds that are read or written but are no rows, with their group and version.
const EXTRAS: &[(&str, &str, &str, Generate)] = &[
    ("autoscaling", "v1", "Scale", subschema::<autoscaling::Scale>),
    ("policy", "v1", "Eviction", subschema::<policy::Eviction>),
    ("authentication.k8s.io", "v1", "TokenRequest", subschema::<k8s_openapi::api::authentication::v1::TokenRequest>),
    ("", "v1", "Status", subschema::<meta::Status>),
    ("", "v1", "DeleteOptions", subschema::<meta::DeleteOptions>),
    ("", "v1", "ListMeta", subschema::<meta::ListMeta>),
];

fn subschema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Schemas by name, in one dialect, and the names of kinds.
#[derive(Debug)]
pub struct Schemas {
    definitions: BTreeMap<String, Value>,
    names: BTreeMap<(String, String, String), String>,
}

impl Schemas {
    /// Generates the schemas of all rows, their lists, and what operations refer to besides.
    #[must_use]
    pub fn new(rows: &[Arc<Resource>], dialect: Dialect) -> Self {
        let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
        let mut names = BTreeMap::new();
        for row in rows {
            if let Some(reference) = row.ops.json_schema(&mut generator) {
                names.insert(kind_key(&row.group, &row.version, &row.kind), target(&reference));
            }
        }
        for (group, version, kind, generate) in EXTRAS {
            let reference = generate(&mut generator);
            names.entry(kind_key(group, version, kind)).or_insert_with(|| target(&reference));
        }
        let mut definitions: BTreeMap<_, _> = generator.take_definitions(false).into_iter().collect();
        definitions.insert(
            format!("{META}.Patch"),
            json!({"type": "object", "description": "A patch in one of the formats that the content type names."}),
        );
        for (name, schema) in &mut definitions {
            dialect.adapt(schema);
            if let (Some(scalar), Some(description)) = (dialect.scalar(name), schema.get("description").cloned()) {
                *schema = scalar;
                schema["description"] = description;
            }
        }
        schema::types().into_iter().for_each(|special| annotate(&mut definitions, special));
        key_defaults(&mut definitions);
        let mut schemas = Self { definitions, names };
        rows.iter().for_each(|row| schemas.add_list(row, dialect));
        schemas.add_kinds();
        schemas
    }

    /// The schema name of a kind, such as `io.k8s.api.core.v1.Pod`; none for kinds that only carry
    /// query parameters, such as `PodExecOptions`.
    #[must_use]
    pub fn name(&self, group: &str, version: &str, kind: &str) -> Option<&str> {
        self.names.get(&kind_key(group, version, kind)).map(String::as_str)
    }

    /// Every schema.
    #[must_use]
    pub fn all(&self) -> Map<String, Value> {
        self.definitions.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect()
    }

    /// The schemas that `document` refers to, and those that they refer to.
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

    fn add_list(&mut self, row: &Resource, dialect: Dialect) {
        let Some(item) = self.name(&row.group, &row.version, &row.kind).map(str::to_owned) else { return };
        let text = |what: &str| json!({"type": "string", "description": what});
        let mut metadata = json!({"$ref": format!("/{META}.ListMeta"), "description": "Metadata of the list."});
        dialect.adapt(&mut metadata);
        let list = json!({
            "description": format!("A list of {} objects.", row.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": text("The version of this list's schema."),
                "kind": text("The kind of this list."),
                "metadata": metadata,
                "items": {"type": "array", "items": dialect.reference(&item), "description": "The objects."},
            },
        });
        let name = format!("{item}List");
        self.names.insert(kind_key(&row.group, &row.version, &row.list_kind()), name.clone());
        self.definitions.insert(name, list);
    }

    /// Tells each schema which kind it is: kubectl finds kinds by it.
    fn add_kinds(&mut self) {
        for ((group, version, kind), name) in &self.names {
            if let Some(Value::Object(schema)) = self.definitions.get_mut(name) {
                // The Rust types always have metadata; clients need not send any.
                if let Some(Value::Array(required)) = schema.get_mut("required") {
                    required.retain(|name| name != "metadata");
                }
                let kinds = schema.entry("x-kubernetes-group-version-kind").or_insert_with(|| json!([]));
                if let Value::Array(kinds) = kinds {
                    kinds.push(json!({"group": group, "version": version, "kind": kind}));
                }
            }
        }
    }
}

fn kind_key(group: &str, version: &str, kind: &str) -> (String, String, String) {
    (group.to_owned(), version.to_owned(), kind.to_owned())
}

/// The name at the end of a reference.
fn target(reference: &Schema) -> String {
    let path = reference.get("$ref").and_then(Value::as_str).unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
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

/// Adds the `x-kubernetes-*` extensions of one type.
fn annotate(definitions: &mut BTreeMap<String, Value>, special: &Type) {
    let Some(schema) = definitions.get_mut(&special.name()) else { return };
    if special.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    for field in special.fields {
        if let Some(Value::Object(property)) =
            schema.get_mut("properties").and_then(|fields| fields.get_mut(field.name))
        {
            annotate_field(property, field);
        }
    }
}

fn annotate_field(property: &mut Map<String, Value>, field: &Field) {
    let mut set = |name: &str, value: Value| property.insert(format!("x-kubernetes-{name}"), value);
    match field.topology {
        Topology::Natural => None,
        Topology::Atomic => set("map-type", "atomic".into()),
        Topology::Granular => set("map-type", "granular".into()),
        Topology::Set => set("list-type", "set".into()),
        Topology::Map(keys) => {
            set("list-map-keys", keys.iter().map(|key| key.name).collect());
            set("list-type", "map".into())
        }
    };
    let mut strategy = Vec::new();
    if field.patch.list != ListPatch::Replace {
        strategy.push("merge");
    }
    if field.patch.retain_keys {
        strategy.push("retainKeys");
    }
    if field.patch.replace {
        strategy.push("replace");
    }
    if !strategy.is_empty() {
        set("patch-strategy", strategy.join(",").into());
    }
    if let ListPatch::MergeBy(key) = field.patch.list {
        set("patch-merge-key", key.into());
    }
}

/// The defaults of list keys, without which a client could not tell which element it names.
fn key_defaults(definitions: &mut BTreeMap<String, Value>) {
    const DEFAULTS: &[(&str, &str)] =
        &[("io.k8s.api.core.v1.ContainerPort", "protocol"), ("io.k8s.api.core.v1.ServicePort", "protocol")];
    for (name, field) in DEFAULTS {
        if let Some(property) =
            definitions.get_mut(*name).and_then(|schema| schema.pointer_mut(&format!("/properties/{field}")))
        {
            property["default"] = "TCP".into();
        }
    }
}
