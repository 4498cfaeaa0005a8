//! Upstream's types, read once from `types.txt`.
//!
//! `package NAME [GROUP/VERSION]`, where the core group is called `core`, begins a package. A line that is not indented
//! is a type: its name; `type`, `message` when OpenAPI does not speak of it, or the kind of scalar that it is; and
//! flags. An indented line is a field of that type: its JSON name; its number in protobuf, or `-`; its kind, behind
//! `*` for a pointer, `[]` for a list, `{}` for a map; and flags:
//!
//! - `!` required; `kept` not required but always written; `dropped` required, but left out when empty; `omitzero` left
//!   out when it is zero although it is a structure;
//! - `atomic`, `granular`, `set`, `map=KEYS`: how server-side apply sees it;
//! - `merge`, `merge=KEY`, `retainKeys`, `replace`: how a strategic merge patch changes it;
//! - `enum=JSON`: the values that there are; `default=JSON`: what absence means.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use super::{Field, Key, Kind, Label, ListPatch, Patch, StandsFor, Topology, Type};

const TEXT: &str = include_str!("types.txt");

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What clients send in the version of whatever they speak of.
const EVERYWHERE: &[&str] = &[
    "APIGroup",
    "APIGroupList",
    "APIResourceList",
    "APIVersions",
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "Status",
    "UpdateOptions",
    "WatchEvent",
];

struct Table {
    types: Vec<Type>,
    by_name: HashMap<(&'static str, &'static str), u16>,
    packages: HashMap<(&'static str, &'static str), &'static str>,
    /// Group and version by package.
    groups: HashMap<&'static str, (&'static str, &'static str)>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| read(TEXT))
}

/// The checksum of the OpenAPI document that the table was made from.
#[must_use]
pub fn checksum() -> &'static str {
    TEXT.lines().nth(1).and_then(|line| line.rsplit(' ').next()).unwrap_or_default()
}

/// Every type, in the table's order.
#[must_use]
pub fn types() -> &'static [Type] {
    &table().types
}

/// A type by its full name, such as `io.k8s.api.core.v1.PodSpec`.
#[must_use]
pub fn named(full: &str) -> Option<&'static Type> {
    let (package, name) = full.rsplit_once('.')?;
    in_package(package, name)
}

/// Group and version of the kinds of a package.
pub(super) fn group_of(package: &str) -> Option<(&'static str, &'static str)> {
    table().groups.get(package).copied()
}

fn in_package(package: &str, name: &str) -> Option<&'static Type> {
    let table = table();
    table.by_name.get(&(package, name)).map(|place| &table.types[usize::from(*place)])
}

/// The schema of one of upstream's kinds, options and lists among them. The core group is empty.
#[must_use]
pub fn find(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    let own = table().packages.get(&(group, version)).and_then(|package| in_package(package, kind));
    own.or_else(|| EVERYWHERE.contains(&kind).then(|| in_package(META, kind))?)
}

/// The schema of a kind; [`plain`] for one that is not upstream's.
#[must_use]
pub fn of(group: &str, version: &str, kind: &str) -> &'static Type {
    find(group, version, kind).unwrap_or_else(|| plain())
}

/// The schema of a kind of which nothing is known but that it has metadata.
#[must_use]
pub fn plain() -> &'static Type {
    static PLAIN: OnceLock<Type> = OnceLock::new();
    PLAIN.get_or_init(|| Type::new(vec![metadata()]))
}

/// The field that every object has.
pub(super) fn metadata() -> Field {
    let place = table().by_name.get(&(META, "ObjectMeta")).copied().unwrap_or_default();
    Field { number: 1, omitted_when_empty: true, kind: Kind::Message(place), ..Field::named("metadata") }
}

impl Field {
    /// A field of which nothing is known but its name.
    pub(super) fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            number: 0,
            label: Label::One,
            kind: Kind::Any,
            pointer: false,
            required: false,
            omitted_when_empty: true,
            omitted_when_zero: false,
            topology: Topology::Natural,
            patch: Patch::default(),
            default: None,
            values: None,
            own: None,
        }
    }
}

/// Lines that are no comments, with the package that they stand in.
fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut package = "";
    text.lines().filter(|line| !line.starts_with('#')).map(move |line| {
        if let Some(rest) = line.strip_prefix("package ") {
            package = rest.split(' ').next().unwrap_or_default();
        }
        (package, line)
    })
}

fn read(text: &'static str) -> Table {
    let mut packages = HashMap::new();
    let mut by_name = HashMap::new();
    for (package, line) in lines(text) {
        if let Some(rest) = line.strip_prefix("package ") {
            if let Some((group, version)) = rest.split_once(' ').and_then(|(_, group)| group.split_once('/')) {
                packages.insert((if group == "core" { "" } else { group }, version), package);
            }
        } else if !line.starts_with(' ') {
            let name = line.split(' ').next().unwrap_or_default();
            by_name.insert((package, name), u16::try_from(by_name.len()).unwrap_or(u16::MAX));
        }
    }
    let mut reader = Reader { by_name: &by_name, types: Vec::with_capacity(by_name.len()), head: None, line: 0 };
    lines(text).for_each(|(package, line)| reader.read(package, line));
    reader.finish();
    let mut types = reader.types;
    key_defaults(&mut types);
    let groups = packages.iter().map(|(group, package)| (*package, *group)).collect();
    Table { types, by_name, packages, groups }
}

struct Reader<'a> {
    by_name: &'a HashMap<(&'static str, &'static str), u16>,
    types: Vec<Type>,
    /// The type whose fields are being read.
    head: Option<(Type, Vec<Field>)>,
    line: usize,
}

impl Reader<'_> {
    fn read(&mut self, package: &'static str, line: &'static str) {
        if line.starts_with("package ") {
            return;
        }
        match line.strip_prefix(' ') {
            Some(line) => {
                let field = self.field(package, line);
                if let (Some((_, fields)), Some(field)) = (&mut self.head, field) {
                    fields.push(field);
                }
            }
            None => {
                self.finish();
                self.head = Some((Type { line: self.line, ..head(package, line) }, Vec::new()));
            }
        }
        self.line += 1;
    }

    fn finish(&mut self) {
        if let Some((head, fields)) = self.head.take() {
            let body = Type::new(fields);
            self.types.push(Type { fields: body.fields, by_name: body.by_name, ..head });
        }
    }

    fn field(&self, package: &'static str, line: &'static str) -> Option<Field> {
        let mut words = line.splitn(4, ' ');
        let mut field = Field::named(words.next()?);
        field.number = words.next()?.parse().unwrap_or(0);
        let kind = words.next()?;
        let (pointer, kind) = kind.strip_prefix('*').map_or((false, kind), |kind| (true, kind));
        field.pointer = pointer;
        let (label, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
            (Some(kind), _) => (Label::List, kind),
            (_, Some(kind)) => (Label::Map, kind),
            _ => (Label::One, kind),
        };
        field.label = label;
        field.kind = Kind::scalar(kind).or_else(|| self.message(package, kind))?;
        if label == Label::Map {
            let values = Field { kind: field.kind, ..Field::named("") };
            field.own = Some(Arc::new(Type::map(values)));
        }
        flags(words.next().unwrap_or_default(), &mut field);
        Some(field)
    }

    fn message(&self, package: &'static str, kind: &'static str) -> Option<Kind> {
        let (package, name) = kind.rsplit_once('.').unwrap_or((package, kind));
        self.by_name.get(&(package, name)).map(|place| Kind::Message(*place))
    }
}

fn head(package: &'static str, line: &'static str) -> Type {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let sort = words.next().unwrap_or_default();
    let mut head =
        Type { package, name, documented: sort != "message", scalar: Kind::special(sort), ..Type::default() };
    for word in words {
        match word {
            "atomic" => head.atomic = true,
            "kind" => head.stands_for = StandsFor::Kind,
            "kind-of-core" => head.stands_for = StandsFor::CoreKind,
            "kind-of-all" => head.stands_for = StandsFor::AnyKind,
            word => head.unions = word.strip_prefix("unions="),
        }
    }
    head
}

fn flags(mut text: &'static str, field: &mut Field) {
    // A default may hold spaces, and is last.
    if let Some(start) = text.find("default=") {
        field.default = Some(text[start + "default=".len()..].into());
        text = text[..start].trim_end();
    }
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("!", _) => (field.required, field.omitted_when_empty) = (true, false),
            ("kept", _) => field.omitted_when_empty = false,
            ("dropped", _) => field.omitted_when_empty = true,
            ("omitzero", _) => field.omitted_when_zero = true,
            ("atomic", _) => field.topology = Topology::Atomic,
            ("granular", _) => field.topology = Topology::Granular,
            ("set", _) => field.topology = Topology::Set,
            ("map", keys) => field.topology = Topology::Map(keys.split(',').map(key).collect()),
            ("merge", "") => field.patch.list = ListPatch::MergeValues,
            ("merge", key) => field.patch.list = ListPatch::MergeBy(key),
            ("retainKeys", _) => field.patch.retain_keys = true,
            ("replace", _) => field.patch.replace = true,
            ("enum", values) => field.values = Some(values),
            _ => {}
        }
    }
}

fn key(name: &'static str) -> Key {
    Key { name: name.into(), default: None }
}

/// The keys of lists have the defaults of the elements' fields.
fn key_defaults(types: &mut [Type]) {
    let default = |kind: Kind, name: &str, types: &[Type]| match kind {
        Kind::Message(place) => types[usize::from(place)].field_default(name),
        _ => None,
    };
    let mut found = Vec::new();
    for (place, schema) in types.iter().enumerate() {
        for (number, field) in schema.fields.iter().enumerate() {
            let Topology::Map(keys) = &field.topology else { continue };
            for (index, key) in keys.iter().enumerate() {
                found.extend(default(field.kind, &key.name, types).map(|default| (place, number, index, default)));
            }
        }
    }
    for (place, number, index, default) in found {
        if let Topology::Map(keys) = &mut types[place].fields[number].topology {
            keys[index].default = Some(default);
        }
    }
}

impl Type {
    /// The default of an own field. (Those of inlined messages are no keys.)
    fn field_default(&self, name: &str) -> Option<Cow<'static, str>> {
        self.position(name).and_then(|position| self.fields[position].default.clone())
    }
}
