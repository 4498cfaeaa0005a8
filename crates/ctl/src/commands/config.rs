//! `ctl config`: reading and changing kubeconfig files.

use std::{fs, os::unix::fs::OpenOptionsExt, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    connection::{GlobalFlags, kubeconfig_paths},
    error::{Error, Result},
    output::tabs::Tabs,
};

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Show the kubeconfig, secrets left out
    View(View),
    /// Set a value by its path, such as contexts.a.namespace
    Set { path: String, value: String },
    /// Remove a value by its path
    Unset { path: String },
    /// Choose the context to use
    #[command(alias = "use")]
    UseContext { name: String },
    /// Print the context in use
    CurrentContext,
    /// List contexts
    GetContexts,
    /// Make or change a cluster; --server and --insecure-skip-tls-verify are its fields
    SetCluster { name: String },
    /// Make or change a user; --token, --client-certificate and --client-key are its fields
    SetCredentials(Credentials),
    /// Make or change a context; --cluster, --user and --namespace are its fields
    SetContext(Context),
    /// Remove a context
    DeleteContext { name: String },
    /// Remove a cluster
    DeleteCluster { name: String },
    /// Remove a user
    DeleteUser { name: String },
}

#[derive(Args, Clone, Debug)]
struct View {
    /// Show secrets, too
    #[arg(long)]
    raw: bool,
    /// Only what the context in use needs
    #[arg(long)]
    minify: bool,
}

#[derive(Args, Clone, Debug)]
struct Credentials {
    name: String,
    /// Name for basic authentication
    #[arg(long)]
    username: Option<String>,
    /// Password for basic authentication
    #[arg(long)]
    password: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct Context {
    name: Option<String>,
    /// Change the context in use
    #[arg(long)]
    current: bool,
}

/// Runs the command; no server is asked.
///
/// # Errors
/// When the file cannot be read or written, or a name is unknown.
pub fn run(global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let mut file = File::open(global)?;
    match &flags.verb {
        Verb::View(view) => return file.view(view),
        Verb::CurrentContext => return file.print_current(),
        Verb::GetContexts => {
            print!("{}", file.contexts());
            return Ok(());
        }
        Verb::Set { path, value } => {
            file.set(path, Some(value))?;
            println!("Property {path:?} set.");
        }
        Verb::Unset { path } => {
            file.set(path, None)?;
            println!("Property {path:?} unset.");
        }
        Verb::UseContext { name } => file.use_context(name)?,
        Verb::SetCluster { name } => {
            let fields = json!({"server": global.server, "certificate-authority": global.certificate_authority,
                "insecure-skip-tls-verify": global.insecure_skip_tls_verify.then_some(true)});
            file.put("clusters", "cluster", name, &fields);
            println!("Cluster {name:?} set.");
        }
        Verb::SetCredentials(user) => {
            let fields = json!({"token": global.token, "client-certificate": global.client_certificate,
                "client-key": global.client_key, "username": user.username, "password": user.password});
            file.put("users", "user", &user.name, &fields);
            println!("User {:?} set.", user.name);
        }
        Verb::SetContext(context) => file.set_context(global, context)?,
        Verb::DeleteContext { name } => file.delete("contexts", "context", name)?,
        Verb::DeleteCluster { name } => file.delete("clusters", "cluster", name)?,
        Verb::DeleteUser { name } => file.delete("users", "user", name)?,
    }
    file.save()
}

/// A kubeconfig file, kept as a tree so that unknown fields survive a change.
struct File {
    path: PathBuf,
    tree: Value,
}

impl File {
    fn open(global: &GlobalFlags) -> Result<Self> {
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

    fn save(&self) -> Result<()> {
        let text = api_types::yaml::to_string(&self.tree).map_err(|error| Error::File(error.to_string()))?;
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

    fn entry(&self, list: &str, name: &str) -> Option<&Value> {
        self.tree[list].as_array()?.iter().find(|entry| entry["name"] == name)
    }

    fn entry_mut(&mut self, list: &str, field: &str, name: &str) -> &mut Value {
        if !self.tree[list].is_array() {
            self.tree[list] = json!([]);
        }
        let Value::Array(entries) = &mut self.tree[list] else { unreachable!("made an array above") };
        let at = entries.iter().position(|entry| entry["name"] == name).unwrap_or_else(|| {
            entries.push(json!({"name": name, field: {}}));
            entries.len() - 1
        });
        if !entries[at][field].is_object() {
            entries[at][field] = json!({});
        }
        &mut entries[at][field]
    }

    /// Sets the fields that are not null.
    fn put(&mut self, list: &str, field: &str, name: &str, fields: &Value) {
        let entry = self.entry_mut(list, field, name);
        for (key, value) in fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            entry[key] = value.clone();
        }
    }

    fn delete(&mut self, list: &str, what: &str, name: &str) -> Result<()> {
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
    fn set(&mut self, path: &str, value: Option<&str>) -> Result<()> {
        let mut steps: Vec<&str> = path.split('.').collect();
        let last = steps.pop().unwrap_or_default();
        let lists = [("clusters", "cluster"), ("contexts", "context"), ("users", "user")];
        let named = steps.first().and_then(|step| lists.into_iter().find(|(list, _)| list == step));
        let mut at = match (named, steps.get(1)) {
            (Some((list, field)), Some(name)) => {
                let name = (*name).to_owned();
                steps.drain(..2);
                self.entry_mut(list, field, &name)
            }
            (Some(_), None) => return Err(Error::usage(format!("{path:?} names no field"))),
            (None, _) => &mut self.tree,
        };
        for step in steps {
            if !at[step].is_object() {
                at[step] = json!({});
            }
            at = &mut at[step];
        }
        let fields = at.as_object_mut().ok_or_else(|| Error::usage(format!("{path:?} names no field")))?;
        match value {
            None => {
                fields.remove(last);
            }
            Some(text) => {
                let value = text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from);
                fields.insert(last.to_owned(), value);
            }
        }
        Ok(())
    }

    fn use_context(&mut self, name: &str) -> Result<()> {
        if self.entry("contexts", name).is_none() {
            return Err(Error::usage(format!("no context exists with the name: {name:?}")));
        }
        self.tree["current-context"] = name.into();
        println!("Switched to context {name:?}.");
        Ok(())
    }

    fn set_context(&mut self, global: &GlobalFlags, context: &Context) -> Result<()> {
        let current = self.tree["current-context"].as_str().filter(|_| context.current).map(str::to_owned);
        let name =
            context.name.clone().or(current).ok_or_else(|| Error::usage("a context's name or --current is needed"))?;
        let known = self.entry("contexts", &name).is_some();
        let fields = json!({"cluster": global.cluster, "user": global.user, "namespace": global.namespace});
        self.put("contexts", "context", &name, &fields);
        println!("Context {name:?} {}.", if known { "modified" } else { "created" });
        Ok(())
    }

    fn print_current(&self) -> Result<()> {
        match self.tree["current-context"].as_str().filter(|name| !name.is_empty()) {
            Some(name) => println!("{name}"),
            None => return Err(Error::usage("current-context is not set")),
        }
        Ok(())
    }

    fn contexts(&self) -> String {
        let mut tabs = Tabs::default();
        tabs.line(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]);
        for entry in self.tree["contexts"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let current = if entry["name"] == self.tree["current-context"] { "*" } else { "" };
            let context = &entry["context"];
            tabs.line([
                current.to_owned(),
                text(&entry["name"]),
                text(&context["cluster"]),
                text(&context["user"]),
                text(&context["namespace"]),
            ]);
        }
        tabs.render()
    }

    fn view(&self, flags: &View) -> Result<()> {
        let mut tree = self.tree.clone();
        if flags.minify {
            self.minify(&mut tree)?;
        }
        if !flags.raw {
            redact(&mut tree);
        }
        print!("{}", api_types::yaml::to_string(&tree).map_err(|error| Error::File(error.to_string()))?);
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
