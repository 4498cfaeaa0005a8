//! Paths and their operations, from rows and a table of verbs.

use api_types::{Resource, Subresource};
use serde_json::{Map, Value, json};

use super::{
    dialect::{Body, Dialect},
    schemas::Schemas,
};

type Parameters = &'static [(&'static str, &'static str)];

const WRITE: Parameters = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: Parameters =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const LIST: Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

const OK: (&str, &str) = ("200", "OK");
const CREATED: (&str, &str) = ("201", "Created");
const ACCEPTED: (&str, &str) = ("202", "Accepted");

/// What a verb is in OpenAPI.
struct Verb {
    /// As in a row.
    name: &'static str,
    method: &'static str,
    action: &'static str,
    /// How operation identifiers begin.
    prefix: &'static str,
    on: Target,
    parameters: Parameters,
    answers: Answer,
    codes: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Collection,
    Item,
}

#[derive(Clone, Copy)]
enum Answer {
    Object,
    List,
    Status,
}

const VERBS: &[Verb] = &[
    verb("list", "get", "list", "list", Target::Collection, LIST, Answer::List, &[OK]),
    verb("create", "post", "post", "create", Target::Collection, WRITE, Answer::Object, &[OK, CREATED, ACCEPTED]),
    verb(
        "deletecollection",
        "delete",
        "deletecollection",
        "deleteCollection",
        Target::Collection,
        LIST,
        Answer::Status,
        &[OK],
    ),
    verb("get", "get", "get", "read", Target::Item, &[], Answer::Object, &[OK]),
    verb("update", "put", "put", "replace", Target::Item, WRITE, Answer::Object, &[OK, CREATED]),
    verb("patch", "patch", "patch", "patch", Target::Item, PATCH, Answer::Object, &[OK, CREATED]),
    verb("delete", "delete", "delete", "delete", Target::Item, DELETE, Answer::Status, &[OK, ACCEPTED]),
];

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
const fn verb(
    name: &'static str,
    method: &'static str,
    action: &'static str,
    prefix: &'static str,
    on: Target,
    parameters: Parameters,
    answers: Answer,
    codes: &'static [(&'static str, &'static str)],
) -> Verb {
    Verb { name, method, action, prefix, on, parameters, answers, codes }
}

/// Writes paths for rows in one dialect.
#[derive(Debug)]
pub struct Paths<'a> {
    /// The dialect.
    pub dialect: Dialect,
    /// Names of schemas to refer to.
    pub schemas: &'a Schemas,
}

/// What an operation reads and writes.
struct Subject<'a> {
    row: &'a Resource,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// How operation identifiers end: `NamespacedPodStatus`.
    suffix: String,
}

impl Paths<'_> {
    /// The paths of one row and its subresources.
    #[must_use]
    pub fn of(&self, row: &Resource) -> Map<String, Value> {
        let namespaced = if row.namespaced() { "Namespaced" } else { "" };
        let base = if row.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", row.group) };
        let root = format!("{base}/{}", row.version);
        let collection = if row.namespaced() {
            format!("{root}/namespaces/{{namespace}}/{}", row.plural)
        } else {
            format!("{root}/{}", row.plural)
        };
        let item = format!("{collection}/{{name}}");
        let subject = |suffix| Subject { row, group: &row.group, version: &row.version, kind: &row.kind, suffix };
        let main = subject(format!("{namespaced}{}", row.kind));
        let mut paths = Map::new();
        paths.insert(collection.clone(), self.path(&collection, &main, row.verbs, Target::Collection));
        paths.insert(item.clone(), self.path(&item, &main, row.verbs, Target::Item));
        if row.namespaced() && row.verbs.contains(&"list") {
            let everywhere = format!("{root}/{}", row.plural);
            let all = subject(format!("{}ForAllNamespaces", row.kind));
            paths.insert(everywhere.clone(), self.path(&everywhere, &all, &["list"], Target::Collection));
        }
        for sub in &row.subresources {
            let path = format!("{item}/{}", sub.name);
            paths.insert(path.clone(), self.subresource(&path, row, sub, namespaced));
        }
        paths.retain(|_, path| path.as_object().is_some_and(|path| path.len() > 1));
        paths
    }

    fn path(&self, path: &str, subject: &Subject<'_>, verbs: &[&str], on: Target) -> Value {
        let mut operations = Map::new();
        operations.insert("parameters".to_owned(), self.path_parameters(path));
        for verb in VERBS.iter().filter(|verb| verb.on == on && verbs.contains(&verb.name)) {
            operations.insert(verb.method.to_owned(), self.operation(subject, verb));
        }
        Value::Object(operations)
    }

    fn subresource(&self, path: &str, row: &Resource, sub: &Subresource, namespaced: &str) -> Value {
        let suffix = format!("{namespaced}{}{}", row.kind, capitalized(&sub.name));
        let subject = Subject { row, group: &sub.group, version: &sub.version, kind: &sub.kind, suffix };
        let mut operations = Map::new();
        operations.insert("parameters".to_owned(), self.path_parameters(path));
        let list_verbs = ["list", "deletecollection", "delete"];
        for verb in VERBS.iter().filter(|verb| sub.verbs.contains(&verb.name) && !list_verbs.contains(&verb.name)) {
            operations.insert(verb.method.to_owned(), self.operation(&subject, verb));
        }
        Value::Object(operations)
    }

    fn path_parameters(&self, path: &str) -> Value {
        let in_path = ["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
        let mut parameters: Vec<_> = in_path.map(|name| self.dialect.parameter(name, "path", "string")).collect();
        parameters.push(self.dialect.parameter("pretty", "query", "string"));
        parameters.into()
    }

    fn operation(&self, subject: &Subject<'_>, verb: &Verb) -> Value {
        let schema = self.schemas.name(subject.group, subject.version, subject.kind);
        let connects = schema.is_none();
        let list_kind = format!("{}List", subject.kind);
        let answer = match verb.answers {
            Answer::Object => schema.clone(),
            Answer::List => self.schemas.name(subject.group, subject.version, &list_kind),
            Answer::Status => self.schemas.name("", "v1", "Status"),
        };
        let body = match (verb.method, &schema) {
            ("patch", Some(_)) => Body::Patch,
            ("post" | "put", Some(name)) => Body::Object(name),
            _ => Body::None,
        };
        let group = operation_group(&subject.row.group);
        let prefix = if connects { format!("connect{}", capitalized(verb.method)) } else { verb.prefix.to_owned() };
        let parameters: Vec<_> =
            verb.parameters.iter().map(|(name, kind)| self.dialect.parameter(name, "query", kind)).collect();
        let mut operation = Map::new();
        operation.insert("tags".to_owned(), json!([format!("{}_{}", lowercased(&group), subject.row.version)]));
        operation.insert(
            "operationId".to_owned(),
            format!("{prefix}{group}{}{}", capitalized(&subject.row.version), subject.suffix).into(),
        );
        operation.insert("parameters".to_owned(), parameters.into());
        self.dialect.set_body(&mut operation, body);
        operation.insert("responses".to_owned(), self.dialect.responses(answer.as_deref(), verb.codes));
        operation.insert("x-kubernetes-action".to_owned(), if connects { "connect" } else { verb.action }.into());
        operation.insert(
            "x-kubernetes-group-version-kind".to_owned(),
            json!({"group": subject.group, "version": subject.version, "kind": subject.kind}),
        );
        Value::Object(operation)
    }
}

/// `Core`, `Apps`, `RbacAuthorization`: a group without `.k8s.io`, in operation identifiers.
fn operation_group(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    group.split('.').map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn lowercased(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
