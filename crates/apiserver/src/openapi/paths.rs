//! Paths and their operations, from rows and a table of verbs.

use api_types::{Resource, Subresource};
use serde_json::{Map, Value, json};

use super::{
    dialect::{Body, Dialect},
    schemas::Schemas,
};

type Parameters = &'static [(&'static str, &'static str)];

const PRETTY: Parameters = &[("pretty", "string")];
const WRITE: Parameters = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: Parameters =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const WATCH: Parameters = &[("allowWatchBookmarks", "boolean"), ("watch", "boolean")];
const SELECT: Parameters = &[
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
];

/// What a query of a subresource can say, by the kind of options that it is read as.
const OPTIONS: &[(&str, Parameters)] = &[
    ("NodeProxyOptions", &[("path", "string")]),
    (
        "PodAttachOptions",
        &[
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
    ),
    (
        "PodExecOptions",
        &[
            ("command", "string"),
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
    ),
    (
        "PodLogOptions",
        &[
            ("container", "string"),
            ("follow", "boolean"),
            ("insecureSkipTLSVerifyBackend", "boolean"),
            ("limitBytes", "integer"),
            ("pretty", "string"),
            ("previous", "boolean"),
            ("sinceSeconds", "integer"),
            ("stream", "string"),
            ("tailLines", "integer"),
            ("timestamps", "boolean"),
        ],
    ),
    ("PodPortForwardOptions", &[("ports", "integer")]),
    ("PodProxyOptions", &[("path", "string")]),
    ("ServiceProxyOptions", &[("path", "string")]),
];
/// Methods that a proxy passes on.
const PROXIED: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];
/// What answers a DELETE with what was deleted, not with a status.
const ANSWERS_DELETED: &[&str] = &[
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "deviceclasses.resource.k8s.io",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourceclaims.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io",
    "resourcequotas",
    "resourceslices.resource.k8s.io",
    "serviceaccounts",
    "services",
    "storageclasses.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
];

const OK: (&str, &str) = ("200", "OK");
const CREATED: (&str, &str) = ("201", "Created");
const ACCEPTED: (&str, &str) = ("202", "Accepted");

/// What a verb is in OpenAPI.
struct Verb {
    /// As in a row.
    name: &'static str,
    method: &'static str,
    /// How operation identifiers begin.
    prefix: &'static str,
    /// What operation identifiers say after the version.
    infix: &'static str,
    on: Target,
    parameters: &'static [Parameters],
    answers: Answer,
    codes: Codes,
}

type Codes = &'static [(&'static str, &'static str)];

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
    /// A status, or what was deleted.
    Deleted,
}

const VERBS: &[Verb] = &[
    verb("list", "get", "list", Target::Collection, &[WATCH, SELECT], Answer::List, &[OK]),
    verb("create", "post", "create", Target::Collection, &[WRITE], Answer::Object, &[OK, CREATED, ACCEPTED]),
    Verb {
        infix: "Collection",
        ..verb("deletecollection", "delete", "delete", Target::Collection, &[SELECT, DELETE], Answer::Status, &[OK])
    },
    verb("get", "get", "read", Target::Item, &[], Answer::Object, &[OK]),
    verb("update", "put", "replace", Target::Item, &[WRITE], Answer::Object, &[OK, CREATED]),
    verb("patch", "patch", "patch", Target::Item, &[PATCH], Answer::Object, &[OK, CREATED]),
    verb("delete", "delete", "delete", Target::Item, &[DELETE], Answer::Deleted, &[OK, ACCEPTED]),
];

const fn verb(
    name: &'static str,
    method: &'static str,
    prefix: &'static str,
    on: Target,
    parameters: &'static [Parameters],
    answers: Answer,
    codes: Codes,
) -> Verb {
    Verb { name, method, prefix, infix: "", on, parameters, answers, codes }
}

impl Verb {
    /// What is done, as documents tell it.
    const fn action(&self) -> &'static str {
        match self.name.as_bytes() {
            b"create" => "post",
            b"update" => "put",
            _ => self.name,
        }
    }
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
#[derive(Clone)]
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
        // Kinds that come at run time are watched with the parameter only.
        let watched = row.verbs.contains(&"watch") && row.ops.own_schema().is_none();
        let mut watch = |path: &str, suffix: String, action| {
            let (start, end) = path.split_at(root.len());
            let path = format!("{start}/watch{end}");
            paths.insert(path.clone(), self.watch(&path, &subject(suffix), action));
        };
        if watched {
            watch(&collection, format!("{namespaced}{}List", row.kind), "watchlist");
            watch(&item, format!("{namespaced}{}", row.kind), "watch");
        }
        if row.namespaced() && row.verbs.contains(&"list") {
            let everywhere = format!("{root}/{}", row.plural);
            if watched {
                watch(&everywhere, format!("{}ListForAllNamespaces", row.kind), "watchlist");
            }
            let all = subject(format!("{}ForAllNamespaces", row.kind));
            paths.insert(everywhere.clone(), self.path(&everywhere, &all, &["list"], Target::Collection));
        }
        for sub in &row.subresources {
            let path = format!("{item}/{}", sub.name);
            let suffix = format!("{namespaced}{}{}", row.kind, capitalized(&sub.name));
            let subject = Subject { row, group: &sub.group, version: &sub.version, kind: &sub.kind, suffix };
            if sub.kind.ends_with("ProxyOptions") {
                let suffix = format!("{}WithPath", subject.suffix);
                let below = format!("{path}/{{path}}");
                paths.insert(below.clone(), self.connected(&below, &Subject { suffix, ..subject.clone() }, PROXIED));
                paths.insert(path.clone(), self.connected(&path, &subject, PROXIED));
            } else if self.schemas.name(&sub.group, &sub.version, &sub.kind).is_none() {
                paths.insert(path.clone(), self.connected(&path, &subject, &["get", "post"]));
            } else {
                paths.insert(path.clone(), self.subresource(&path, &subject, sub));
            }
        }
        paths.retain(|_, path| path.as_object().is_some_and(|path| path.len() > 1));
        paths
    }

    fn path(&self, path: &str, subject: &Subject<'_>, verbs: &[&str], on: Target) -> Value {
        let mut operations = Map::new();
        operations.insert("parameters".to_owned(), self.common_parameters(path, &[PRETTY]));
        for verb in VERBS.iter().filter(|verb| verb.on == on && verbs.contains(&verb.name)) {
            operations.insert(verb.method.to_owned(), self.operation(subject, verb));
        }
        Value::Object(operations)
    }

    /// The old way to watch.
    fn watch(&self, path: &str, subject: &Subject<'_>, action: &str) -> Value {
        let event = self.schemas.name("", "v1", "WatchEvent");
        let mut operation = subject.operation("watch", "", action);
        operation.insert("responses".to_owned(), self.dialect.responses(event.as_deref(), &[OK]));
        json!({"parameters": self.common_parameters(path, &[PRETTY, WATCH, SELECT]), "get": operation})
    }

    /// Connections: nothing is known of what goes through them.
    fn connected(&self, path: &str, subject: &Subject<'_>, methods: &[&str]) -> Value {
        let mut operations = Map::new();
        operations.insert("parameters".to_owned(), self.common_parameters(path, &[options(subject.kind)]));
        for method in methods {
            let mut operation = subject.operation("connect", &capitalized(method), "connect");
            operation.insert("responses".to_owned(), self.dialect.responses(None, &[OK]));
            operations.insert((*method).to_owned(), operation.into());
        }
        Value::Object(operations)
    }

    fn subresource(&self, path: &str, subject: &Subject<'_>, sub: &Subresource) -> Value {
        let query = sub.options.as_deref().map_or(PRETTY, options);
        let mut operations = Map::new();
        operations.insert("parameters".to_owned(), self.common_parameters(path, &[query]));
        let list_verbs = ["list", "deletecollection", "delete"];
        for verb in VERBS.iter().filter(|verb| sub.verbs.contains(&verb.name) && !list_verbs.contains(&verb.name)) {
            let mut operation = self.operation(subject, verb);
            if sub.options.is_some() {
                operation["responses"] = self.dialect.responses(None, verb.codes);
            }
            operations.insert(verb.method.to_owned(), operation);
        }
        Value::Object(operations)
    }

    fn common_parameters(&self, path: &str, query: &[Parameters]) -> Value {
        let in_path = ["name", "namespace", "path"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
        let in_path = in_path.map(|name| self.dialect.parameter(name, "path", "string"));
        in_path.chain(self.query(query)).collect()
    }

    fn query(&self, parameters: &[Parameters]) -> impl Iterator<Item = Value> {
        parameters.iter().copied().flatten().map(|(name, kind)| self.dialect.parameter(name, "query", kind))
    }

    fn operation(&self, subject: &Subject<'_>, verb: &Verb) -> Value {
        let schema = self.schemas.name(subject.group, subject.version, subject.kind);
        let list_kind = format!("{}List", subject.kind);
        let returned = ANSWERS_DELETED.contains(&subject.row.group_resource().as_str());
        let answer = match verb.answers {
            Answer::Deleted if returned => schema.clone(),
            Answer::Object => schema.clone(),
            Answer::List => self.schemas.name(subject.group, subject.version, &list_kind),
            Answer::Status | Answer::Deleted => self.schemas.name("", "v1", "Status"),
        };
        let options = self.schemas.name("", "v1", "DeleteOptions");
        let body = match (verb.method, &schema, &options) {
            ("patch", ..) if subject.row.ops.own_schema().is_some() => Body::PlainPatch,
            ("patch", ..) => Body::Patch,
            ("post" | "put", Some(name), _) => Body::Object(name),
            ("delete", _, Some(name)) => Body::Options(name),
            _ => Body::None,
        };
        let mut operation = subject.operation(verb.prefix, verb.infix, verb.action());
        operation.insert("parameters".to_owned(), self.query(verb.parameters).collect());
        self.dialect.set_body(&mut operation, body);
        operation.insert("responses".to_owned(), self.dialect.responses(answer.as_deref(), verb.codes));
        Value::Object(operation)
    }
}

impl Subject<'_> {
    /// What every operation tells.
    fn operation(&self, prefix: &str, infix: &str, action: &str) -> Map<String, Value> {
        let (group, version) = (operation_group(&self.row.group), &self.row.version);
        let id = format!("{prefix}{group}{}{infix}{}", capitalized(version), self.suffix);
        Map::from_iter([
            ("tags".to_owned(), json!([format!("{}_{version}", lowercased(&group))])),
            ("operationId".to_owned(), id.into()),
            ("x-kubernetes-action".to_owned(), action.into()),
            (
                "x-kubernetes-group-version-kind".to_owned(),
                json!({"group": self.group, "version": self.version, "kind": self.kind}),
            ),
        ])
    }
}

fn options(kind: &str) -> Parameters {
    OPTIONS.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, parameters)| parameters)
}

/// `Core`, `Apps`, `RbacAuthorization`: a group without `.k8s.io`, in operation identifiers.
pub fn operation_group(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    group.split('.').map(capitalized).collect()
}

pub fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

pub fn lowercased(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
