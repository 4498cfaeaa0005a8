//! `auth can-i`.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::Api,
    error::{Error, Result},
    output::tabs::Tabs,
    resources::Catalog,
};

/// What to ask.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// VERB, and TYPE, TYPE/NAME or a path
    arguments: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Everything that is allowed
    #[arg(long)]
    list: bool,
    /// With --list: no headings
    #[arg(long)]
    no_headers: bool,
    /// Only the exit code
    #[arg(short, long)]
    quiet: bool,
    /// Such as log or scale
    #[arg(long, default_value = "")]
    subresource: String,
}

/// Runs the command.
///
/// # Errors
/// When the server refuses; silently when the answer is no.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    if flags.list {
        if !flags.arguments.is_empty() {
            return Err(Error::usage("list option must be specified with no arguments"));
        }
        return list(api, flags).await;
    }
    let [verb, what] = flags.arguments.as_slice() else {
        return Err(Error::usage(format!(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee '{} auth can-i -h' for help and examples.",
            crate::program::name()
        )));
    };
    let spec = flags.question(api, verb, what).await?;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
    let allowed = answer["status"]["allowed"] == true;
    if !flags.quiet {
        println!("{}", said(&answer["status"]));
    }
    if allowed { Ok(()) } else { Err(Error::Printed) }
}

fn said(status: &Value) -> String {
    let mut words = if status["allowed"] == true { "yes".to_owned() } else { "no".to_owned() };
    if let Some(reason) = status["reason"].as_str().filter(|reason| !reason.is_empty()) {
        words = format!("{words} - {reason}");
    }
    if let Some(error) = status["evaluationError"].as_str().filter(|error| !error.is_empty()) {
        words = format!("{words} - {error}");
    }
    words
}

const VERBS: [&str; 15] = [
    "*",
    "get",
    "delete",
    "list",
    "create",
    "update",
    "patch",
    "watch",
    "proxy",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
    "approve",
];
const URL_VERBS: [&str; 8] = ["*", "get", "post", "put", "delete", "patch", "head", "options"];

impl Flags {
    async fn question(&self, api: &Api, verb: &str, what: &str) -> Result<Value> {
        let known = if what.starts_with('/') { &URL_VERBS[..] } else { &VERBS[..] };
        if !known.contains(&verb) && !self.quiet {
            eprintln!("Warning: verb '{verb}' is not a known verb\n");
        }
        if what.starts_with('/') {
            if !self.subresource.is_empty() {
                return Err(Error::usage("--subresource can not be used with NonResourceURL"));
            }
            return Ok(json!({"nonResourceAttributes": {"verb": verb, "path": what}}));
        }
        let (kind, name) = what.split_once('/').unwrap_or((what, ""));
        let (group, version, resource) = self.resource(api, kind).await?;
        let namespace = if self.all_namespaces { "" } else { &api.namespace };
        Ok(json!({"resourceAttributes": {"namespace": namespace, "verb": verb, "group": group, "version": version,
            "resource": resource, "subresource": self.subresource, "name": name}}))
    }

    /// Group, version and plural.
    async fn resource(&self, api: &Api, kind: &str) -> Result<(String, String, String)> {
        if kind == "*" {
            return Ok(("*".to_owned(), "*".to_owned(), "*".to_owned()));
        }
        let found = match Catalog::discover(api).await?.find(kind) {
            Ok(found) => found,
            Err(_) => {
                let (name, group) = kind.split_once('.').unwrap_or((kind, ""));
                if !self.quiet {
                    match group {
                        "" => eprintln!("Warning: the server doesn't have a resource type '{name}'\n"),
                        group => {
                            eprintln!("Warning: the server doesn't have a resource type '{name}' in group '{group}'\n");
                        }
                    }
                }
                return Ok((group.to_owned(), String::new(), name.to_owned()));
            }
        };
        if !found.namespaced && !self.all_namespaces && !self.quiet {
            match found.group.as_str() {
                "" => eprintln!("Warning: resource '{}' is not namespace scoped\n", found.plural),
                group => eprintln!("Warning: resource '{}' is not namespace scoped in group '{group}'\n", found.plural),
            }
        }
        Ok((found.group.clone(), found.version.clone(), found.plural.clone()))
    }
}

async fn list(api: &Api, flags: &Flags) -> Result<()> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": api.namespace}});
    let answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review).await?;
    let status = &answer["status"];
    if status["incomplete"] == true {
        let why = status["evaluationError"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
        eprintln!("warning: the list may be incomplete{why}");
    }
    print!("{}", table(status, flags.no_headers));
    Ok(())
}

/// Resources that one rule allows the same of stand on one line.
fn table(status: &Value, no_headers: bool) -> String {
    let mut lines: Vec<[String; 4]> = Vec::new();
    for rule in status["resourceRules"].as_array().into_iter().flatten() {
        for resource in combined(rule) {
            lines.push([resource, "[]".to_owned(), words(&rule["resourceNames"]), words(&rule["verbs"])]);
        }
    }
    lines.sort();
    for rule in status["nonResourceRules"].as_array().into_iter().flatten() {
        lines.push([String::new(), words(&rule["nonResourceURLs"]), "[]".to_owned(), words(&rule["verbs"])]);
    }
    let mut tabs = Tabs::default();
    if !no_headers {
        tabs.line(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]);
    }
    lines.into_iter().for_each(|line| tabs.line(line));
    tabs.render()
}

fn combined(rule: &Value) -> Vec<String> {
    let texts = |field: &str| -> Vec<String> {
        let items = rule[field].as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
    };
    let groups = texts("apiGroups");
    let qualified = |resource: &String, group: &String| {
        if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") }
    };
    texts("resources")
        .iter()
        .flat_map(|resource| groups.iter().map(|group| qualified(resource, group)).collect::<Vec<_>>())
        .collect()
}

/// A list as Go shows it.
fn words(list: &Value) -> String {
    let items = list.as_array().into_iter().flatten();
    let items: Vec<&str> = items.map(|item| item.as_str().unwrap_or_default()).collect();
    format!("[{}]", items.join(" "))
}
