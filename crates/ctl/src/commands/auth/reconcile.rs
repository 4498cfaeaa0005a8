//! `auth reconcile`: roles get the rules, and bindings the subjects, that files have; what else they have stays, unless it
//! shall not.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::Api,
    commands::{Failures, apply::namespace_of, writing::Writing},
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
    resources::{Catalog, Target},
};

/// What to reconcile, and how far.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    files: FileFlags,
    /// Take away what roles allow besides
    #[arg(long)]
    remove_extra_permissions: bool,
    /// Take away whom bindings bind besides
    #[arg(long)]
    remove_extra_subjects: bool,
    #[command(flatten)]
    writing: Writing,
}

/// Kinds, and what of them is reconciled.
const KINDS: [(&str, &str); 4] =
    [("Role", "rules"), ("ClusterRole", "rules"), ("RoleBinding", "subjects"), ("ClusterRoleBinding", "subjects")];

/// Runs the command.
///
/// # Errors
/// When a file is malformed or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    if flags.files.filenames.is_empty() {
        return Err(Error::usage("must specify one of -f and -k"));
    }
    if flags.writing.dry_run() == DryRun::Server {
        return Err(Error::usage("--dry-run=server for command reconcile is not supported yet"));
    }
    let objects = flags.files.objects()?;
    let catalog = Catalog::discover(api).await?;
    let mut failures = Failures::default();
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        if let Some((_, list)) = KINDS.iter().find(|(known, _)| *known == kind) {
            failures.note(flags.reconcile(api, global, &catalog, object, list).await)?;
        }
    }
    failures.result()
}

impl Flags {
    async fn reconcile(
        &self,
        api: &Api,
        global: &GlobalFlags,
        catalog: &Catalog,
        object: Value,
        list: &str,
    ) -> Result<()> {
        let resource = catalog.of_object(&object)?;
        let namespace = namespace_of(api, global, &object)?;
        let name = object["metadata"]["name"].as_str().map(str::to_owned);
        let target = Target { resource, name };
        let path = target.path(Some(&namespace));
        let after = match api.get(&path).await {
            Err(error) if error.is_not_found() => {
                self.write(api, &target.resource.collection(Some(&namespace)), &object, Write::Create).await?
            }
            Ok(known) if list == "subjects" && known["roleRef"] != object["roleRef"] => {
                self.remake(api, &target, &namespace, &path, &object).await?
            }
            Ok(known) => {
                let wanted = self.merged(&known, &object, list);
                if wanted == known { known } else { self.write(api, &path, &wanted, Write::Replace).await? }
            }
            Err(error) => return Err(error),
        };
        self.writing.print_made(&target.resource, &after, "reconciled")
    }

    /// What a binding binds to never changes: another binding takes its place.
    async fn remake(&self, api: &Api, target: &Target, namespace: &str, path: &str, object: &Value) -> Result<Value> {
        if self.writing.dry_run() == DryRun::None {
            api.delete(path, &json!({})).await?;
        }
        self.write(api, &target.resource.collection(Some(namespace)), object, Write::Create).await
    }

    async fn write(&self, api: &Api, path: &str, object: &Value, write: Write) -> Result<Value> {
        let url = self.writing.url(path, "kubectl-auth-reconcile");
        match (self.writing.dry_run(), write) {
            (DryRun::Client, _) => Ok(object.clone()),
            (_, Write::Create) => api.post(&url, object).await,
            (_, Write::Replace) => api.put(&url, object).await,
        }
    }

    /// What is there, with what the file has besides.
    fn merged(&self, known: &Value, object: &Value, list: &str) -> Value {
        let mut merged = known.clone();
        for map in ["labels", "annotations"] {
            for (key, value) in object["metadata"][map].as_object().into_iter().flatten() {
                merged["metadata"][map][key] = value.clone();
            }
        }
        let remove = if list == "rules" { self.remove_extra_permissions } else { self.remove_extra_subjects };
        let items = |object: &Value| object[list].as_array().cloned().unwrap_or_default();
        let (have, want) = (items(known), items(object));
        let missing: Vec<Value> = want.iter().filter(|item| !covered(&have, item, list)).cloned().collect();
        let kept = have.into_iter().filter(|item| !remove || covered(&want, item, list));
        let merged_list: Vec<Value> = kept.chain(missing).collect();
        if !merged_list.is_empty() || known[list].is_array() {
            merged[list] = merged_list.into();
        }
        merged
    }
}

#[derive(Clone, Copy)]
enum Write {
    Create,
    Replace,
}

/// Whether a subject is one of these, or what a rule allows is allowed by one of these.
fn covered(items: &[Value], item: &Value, list: &str) -> bool {
    let same = |other: &Value| ["kind", "name", "namespace"].iter().all(|field| other[field] == item[field]);
    let covers = |other: &Value| RULE.iter().all(|(field, empty)| includes(&other[field], &item[field], *empty));
    items.iter().any(|other| if list == "rules" { covers(other) } else { same(other) })
}

/// What an empty list of a rule means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    Nothing,
    Everything,
}

const RULE: [(&str, Empty); 5] = [
    ("verbs", Empty::Nothing),
    ("apiGroups", Empty::Nothing),
    ("resources", Empty::Nothing),
    ("resourceNames", Empty::Everything),
    ("nonResourceURLs", Empty::Nothing),
];

fn includes(have: &Value, want: &Value, empty: Empty) -> bool {
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let (have, want) = (items(have), items(want));
    if empty == Empty::Everything && (have.is_empty() || want.is_empty()) {
        return have.is_empty();
    }
    have.contains(&json!("*")) || want.iter().all(|item| have.contains(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_cover_what_they_allow() {
        let rule = |verbs: &[&str], names: &[&str]| json!({"apiGroups": [""], "resources": ["pods"], "verbs": verbs, "resourceNames": names});
        for (have, want, expected) in [
            (rule(&["get", "list"], &[]), rule(&["get"], &[]), true),
            (rule(&["get"], &[]), rule(&["get", "list"], &[]), false),
            (rule(&["*"], &[]), rule(&["get"], &["a"]), true),
            (rule(&["get"], &["a"]), rule(&["get"], &[]), false),
        ] {
            assert_eq!(covered(&[have], &want, "rules"), expected);
        }
    }
}
