//! A kubeconfig file.

use std::{fs, os::unix::fs::OpenOptionsExt, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Context, GetContexts, View};
use crate::{
    connection::{GlobalFlags, kubeconfig_paths},
    error::{Error, Result},
    output::{render, tabs::Tabs},
};

/// A kubeconfig file, kept as a tree so that unknown fields survive a change.
pub struct File {
    path: PathBuf,
    tree: Value,
}

/// Lists of entries, and what an entry has besides its name.
const LISTS: [(&str, &str); 3] = [("clusters", "cluster"), ("contexts", "context"), ("users", "user")];

/// Fields that are bytes, in base64.
fn is_binary(field: &str) -> bool {
    field.ends_with("-data")
}

/// Sets the value at the end of some steps, or removes it.
fn change(at: &mut Value, steps: &[&str], value: Option<&str>, raw: bool) -> Result<()> {
    let Some((last, way)) = steps.split_last() else { return Ok(()) };
    let mut at = at;
    for step in way {
        if !at[*step].is_object() {
            at[*step] = json!({});
        }
        at = &mut at[*step];
    }
    let fields = at.as_object_mut().ok_or_else(|| Error::usage(format!("{last:?} names no field")))?;
    match value {
        None => {
            fields.remove(*last);
        }
        Some(text) if is_binary(last) => {
            let bytes = if raw { Ok(text.as_bytes().to_vec()) } else { BASE64_STANDARD.decode(text) };
            let bytes = bytes.map_err(|error| Error::usage(format!("error decoding bytes: {error}")))?;
            fields.insert((*last).to_owned(), BASE64_STANDARD.encode(bytes).into());
        }
        // Go leaves out what is false.
        Some("false") => {
            fields.remove(*last);
        }
        Some("true") => {
            fields.insert((*last).to_owned(), true.into());
        }
        Some(text) => {
            fields.insert((*last).to_owned(), text.into());
        }
    }
    Ok(())
}

impl File {
    pub(super) fn open(global: &GlobalFlags) -> Result<Self> {
        let paths = kubeconfig_paths(global);
        let path = paths.iter().find(|path| path.exists()).or(paths.first()).cloned();
        let path = path.ok_or_else(|| Error::usage("neither --kubeconfig nor $HOME names a kubeconfig"))?;
        let tree = match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => api_types::yaml::from_str(&text).map_err(|error| {
                Error::File(format!("error loading config file {:?}: {error}", path.display().to_string()))
            })?,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File(format!("{}: {error}", path.display())));
            }
            _ => {
                json!({"apiVersion": "v1", "kind": "Config", "preferences": {}, "clusters": [], "contexts": [], "users": [], "current-context": ""})
            }
        };
        Ok(Self { path, tree })
    }

    pub(super) fn save(&self) -> Result<()> {
        let mut tree = self.tree.clone();
        normal(&mut tree);
        let text = api_types::yaml::to_string(&tree).map_err(|error| Error::File(error.to_string()))?;
        let write = || -> std::io::Result<()> {
            if let Some(directory) = self.path.parent() {
                fs::create_dir_all(directory)?;
            }
            // A crash must not leave half a file: write beside it, then rename.
            let new = self.path.with_extension("new");
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|error| Error::File(format!("{}: {error}", self.path.display())))
    }

    pub(super) fn entry(&self, list: &str, name: &str) -> Option<&Value> {
        self.tree[list].as_array()?.iter().find(|entry| entry["name"] == name)
    }

    pub(super) fn entry_mut(&mut self, list: &str, field: &str, name: &str) -> &mut Value {
        if !self.tree[list].is_array() {
            self.tree[list] = json!([]);
        }
        let Value::Array(entries) = &mut self.tree[list] else { unreachable!("made an array above") };
        let at = entries.iter().position(|entry| entry["name"] == name).unwrap_or_else(|| {
            entries
                .push(json!({"name": name, field: if field == "cluster" { json!({"server": ""}) } else { json!({}) }}));
            entries.len() - 1
        });
        if !entries[at][field].is_object() {
            entries[at][field] = json!({});
        }
        &mut entries[at][field]
    }

    /// Sets the fields that are not null.
    pub(super) fn put(&mut self, list: &str, field: &str, name: &str, fields: &Value) {
        let entry = self.entry_mut(list, field, name);
        for (key, value) in fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            entry[key] = value.clone();
        }
    }

    pub(super) fn delete(&mut self, list: &str, what: &str, name: &str) -> Result<()> {
        if self.entry(list, name).is_none() {
            return Err(Error::usage(format!("cannot delete {what} {name}, not in {}", self.path.display())));
        }
        if let Some(entries) = self.tree[list].as_array_mut() {
            entries.retain(|entry| entry["name"] != name);
        }
        println!("deleted {what} {name} from {}", self.path.display());
        Ok(())
    }

    /// Walks a dotted path; `clusters`, `contexts` and `users` are walked by name.
    pub(super) fn set(&mut self, path: &str, value: Option<&str>, raw: bool) -> Result<()> {
        let steps: Vec<&str> = path.split('.').collect();
        let list = LISTS.iter().find(|(list, _)| *list == steps[0]);
        match (list, steps.as_slice()) {
            (Some((list, _)), [_, name]) if value.is_none() => {
                if let Some(entries) = self.tree[list].as_array_mut() {
                    entries.retain(|entry| entry["name"] != *name);
                }
                Ok(())
            }
            (Some((list, _)), [_, name, ..]) if value.is_none() && self.entry(list, name).is_none() => {
                Err(Error::usage(format!("current map key `{name}` is invalid")))
            }
            (Some((list, field)), [_, name, rest @ ..]) if !rest.is_empty() => {
                let name = (*name).to_owned();
                change(self.entry_mut(list, field, &name), rest, value, raw)
            }
            (None, ["current-context" | "preferences", ..]) => change(&mut self.tree, &steps, value, raw),
            (None, _) => Err(Error::usage(format!("unable to parse {path} after [] at api.Config"))),
            _ => Err(Error::usage(format!("{path:?} names no field"))),
        }
    }

    pub(super) fn use_context(&mut self, name: &str) -> Result<()> {
        if self.entry("contexts", name).is_none() {
            return Err(Error::usage(format!("no context exists with the name: {name:?}")));
        }
        self.tree["current-context"] = name.into();
        println!("Switched to context {name:?}.");
        Ok(())
    }

    pub(super) fn set_context(&mut self, global: &GlobalFlags, context: &Context) -> Result<()> {
        let current = self.tree["current-context"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let name = match (&context.name, context.current) {
            (Some(_), true) => return Err(Error::usage("you cannot specify a name and --current")),
            (Some(name), false) if !name.is_empty() => name.clone(),
            (_, false) => return Err(Error::usage("you must specify a non-empty context name or --current")),
            (None, true) => current.ok_or_else(|| Error::usage("no current context is set"))?,
        };
        let known = self.entry("contexts", &name).is_some();
        let fields = json!({"cluster": global.cluster, "user": global.user, "namespace": global.namespace});
        self.put("contexts", "context", &name, &fields);
        println!("Context {name:?} {}.", if known { "modified" } else { "created" });
        Ok(())
    }

    pub(super) fn print_current(&self) -> Result<()> {
        match self.tree["current-context"].as_str().filter(|name| !name.is_empty()) {
            Some(name) => println!("{name}"),
            None => return Err(Error::usage("current-context is not set")),
        }
        Ok(())
    }

    pub(super) fn contexts(&self, which: &GetContexts) -> Result<()> {
        let entries = self.tree["contexts"].as_array().cloned().unwrap_or_default();
        let mut entries: Vec<Value> = entries
            .into_iter()
            .filter(|entry| which.names.is_empty() || which.names.iter().any(|name| entry["name"] == *name))
            .collect();
        entries.sort_by_key(|entry| text(&entry["name"]));
        match which.output.as_str() {
            "name" => entries.iter().for_each(|entry| println!("{}", text(&entry["name"]))),
            "" => print!("{}", self.context_table(&entries, which.no_headers)),
            other => {
                let words = format!("output must be one of '' or 'name': {other}");
                return Err(Error::usage(words));
            }
        }
        match which.names.iter().find(|name| self.entry("contexts", name).is_none()) {
            Some(missing) => Err(Error::usage(format!("context {missing} not found"))),
            None => Ok(()),
        }
    }

    fn context_table(&self, entries: &[Value], no_headers: bool) -> String {
        let mut tabs = Tabs::default();
        if !no_headers {
            tabs.line(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]);
        }
        for entry in entries {
            let current = if entry["name"] == self.tree["current-context"] { "*" } else { "" };
            let fields = ["cluster", "user", "namespace"].map(|field| text(&entry["context"][field]));
            tabs.line([current.to_owned(), text(&entry["name"])].into_iter().chain(fields));
        }
        tabs.render()
    }

    /// Prints the names of a list's entries.
    pub(super) fn names(&self, list: &str) -> Result<()> {
        let mut names: Vec<String> =
            self.tree[list].as_array().into_iter().flatten().map(|entry| text(&entry["name"])).collect();
        names.sort();
        println!("NAME");
        names.iter().for_each(|name| println!("{name}"));
        Ok(())
    }

    pub(super) fn rename_context(&mut self, from: &str, to: &str) -> Result<()> {
        let path = self.path.display().to_string();
        if self.entry("contexts", from).is_none() {
            return Err(Error::usage(format!("cannot rename the context {from:?}, it's not in {path}")));
        }
        if self.entry("contexts", to).is_some() {
            return Err(Error::usage(format!(
                "cannot rename the context {from:?}, the context {to:?} already exists in {path}"
            )));
        }
        for entry in self.tree["contexts"].as_array_mut().into_iter().flatten() {
            if entry["name"] == from {
                entry["name"] = to.into();
            }
        }
        if self.tree["current-context"] == from {
            self.tree["current-context"] = to.into();
        }
        println!("Context {from:?} renamed to {to:?}.");
        Ok(())
    }

    pub(super) fn view(&self, global: &GlobalFlags, flags: &View) -> Result<()> {
        let mut tree = merged(global, &self.tree)?;
        if let Some(context) = &global.context {
            tree["current-context"] = context.clone().into();
        }
        if flags.flatten {
            flatten(&mut tree)?;
        }
        let whole = Self { path: self.path.clone(), tree: tree.clone() };
        if flags.minify {
            whole.minify(&mut tree)?;
        }
        if !flags.raw && !flags.flatten {
            redact(&mut tree);
        }
        normal(&mut tree);
        print!("{}", render(&flags.output, &tree)?);
        Ok(())
    }

    fn minify(&self, tree: &mut Value) -> Result<()> {
        let name = self.tree["current-context"].as_str().unwrap_or_default();
        let context = self
            .entry("contexts", name)
            .ok_or_else(|| Error::usage("current-context must exist in order to minify"))?;
        let keep = [
            ("contexts", &context["name"]),
            ("clusters", &context["context"]["cluster"]),
            ("users", &context["context"]["user"]),
        ];
        for (list, wanted) in keep {
            if let Some(entries) = tree[list].as_array_mut() {
                entries.retain(|entry| entry["name"] == *wanted);
            }
        }
        Ok(())
    }
}

/// kubectl's placeholders for what should not be shown.
fn redact(tree: &mut Value) {
    let secrets = [
        ("users", "user", "client-certificate-data", "DATA+OMITTED"),
        ("users", "user", "client-key-data", "DATA+OMITTED"),
        ("users", "user", "token", "REDACTED"),
        ("users", "user", "password", "REDACTED"),
        ("clusters", "cluster", "certificate-authority-data", "DATA+OMITTED"),
    ];
    for (list, field, key, shown) in secrets {
        for entry in tree[list].as_array_mut().into_iter().flatten() {
            if let Some(value) = entry.get_mut(field).and_then(|fields| fields.get_mut(key)) {
                *value = shown.into();
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// All files as one: of an entry that is in several the first counts.
fn merged(global: &GlobalFlags, first: &Value) -> Result<Value> {
    let mut tree = first.clone();
    for path in kubeconfig_paths(global) {
        let Ok(words) = fs::read_to_string(&path) else { continue };
        let Ok(other) = api_types::yaml::from_str(&words) else { continue };
        for (list, _) in LISTS {
            for entry in other[list].as_array().into_iter().flatten() {
                let known = tree[list].as_array().into_iter().flatten().any(|known| known["name"] == entry["name"]);
                match tree[list].as_array_mut() {
                    Some(entries) if !known => entries.push(entry.clone()),
                    None => tree[list] = json!([entry]),
                    _ => {}
                }
            }
        }
        if text(&tree["current-context"]).is_empty() {
            tree["current-context"] = other["current-context"].clone();
        }
    }
    Ok(tree)
}

/// Puts the contents of files in the place of their names.
fn flatten(tree: &mut Value) -> Result<()> {
    const FILES: [(&str, &str, &str); 3] = [
        ("clusters", "cluster", "certificate-authority"),
        ("users", "user", "client-certificate"),
        ("users", "user", "client-key"),
    ];
    for (list, field, key) in FILES {
        for entry in tree[list].as_array_mut().into_iter().flatten() {
            let Some(fields) = entry[field].as_object_mut() else { continue };
            if let Some(path) = fields.remove(key) {
                fields.insert(format!("{key}-data"), super::fields::embedded(&text(&path))?.into());
            }
        }
    }
    Ok(())
}

/// The order and the shape in which kubectl has it.
fn normal(tree: &mut Value) {
    for (list, _) in LISTS {
        match tree[list].as_array_mut() {
            Some(entries) if !entries.is_empty() => entries.sort_by_key(|entry| text(&entry["name"])),
            _ => tree[list] = Value::Null,
        }
    }
    if tree["preferences"].as_object().is_none_or(serde_json::Map::is_empty)
        && let Some(fields) = tree.as_object_mut()
    {
        fields.remove("preferences");
    }
}
