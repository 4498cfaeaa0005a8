//! `ctl config`: reading and changing kubeconfig files. [`file`] is a file, kept as a tree so that unknown fields survive.

mod fields;
mod file;

use clap::{Args, Subcommand};

use crate::{connection::GlobalFlags, error::Result};

use fields::{Cluster, Credentials};
use file::File;

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Display merged kubeconfig settings or a specified kubeconfig file
    View(View),
    /// Set an individual value in a kubeconfig file
    Set(Set),
    /// Unset an individual value in a kubeconfig file
    Unset { path: String },
    /// Set the current-context in a kubeconfig file
    #[command(visible_alias = "use")]
    UseContext { name: String },
    /// Display the current-context
    CurrentContext,
    /// Describe one or many contexts
    GetContexts(GetContexts),
    /// Display clusters defined in the kubeconfig
    GetClusters,
    /// Display users defined in the kubeconfig
    GetUsers,
    /// Rename a context from the kubeconfig file
    RenameContext { from: String, to: String },
    /// Set a cluster entry in kubeconfig
    SetCluster(Cluster),
    /// Set a user entry in kubeconfig
    SetCredentials(Credentials),
    /// Set a context entry in kubeconfig
    SetContext(Context),
    /// Delete the specified context from the kubeconfig
    DeleteContext { name: String },
    /// Delete the specified cluster from the kubeconfig
    DeleteCluster { name: String },
    /// Delete the specified user from the kubeconfig
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
    /// Files that it names become part of it
    #[arg(long)]
    flatten: bool,
    /// Accepted: files are always merged
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    merge: bool,
    /// Format: yaml, json
    #[arg(short, long, default_value = "yaml")]
    output: crate::output::Format,
}

#[derive(Args, Clone, Debug)]
struct Set {
    /// Such as contexts.a.namespace
    path: String,
    value: String,
    /// The value of a binary field is no base64
    #[arg(long)]
    set_raw_bytes: bool,
}

#[derive(Args, Clone, Debug)]
struct GetContexts {
    names: Vec<String>,
    /// No headings
    #[arg(long)]
    no_headers: bool,
    /// Format: name
    #[arg(short, long, default_value = "")]
    output: String,
}

/// --cluster, --user and --namespace are its fields.
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
        Verb::View(view) => return file.view(global, view),
        Verb::CurrentContext => return file.print_current(),
        Verb::GetContexts(which) => return file.contexts(which),
        Verb::GetClusters => return file.names("clusters"),
        Verb::GetUsers => return file.names("users"),
        Verb::Set(set) => {
            file.set(&set.path, Some(&set.value), set.set_raw_bytes)?;
            println!("Property {:?} set.", set.path);
        }
        Verb::Unset { path } => {
            file.set(path, None, true)?;
            println!("Property {path:?} unset.");
        }
        Verb::UseContext { name } => file.use_context(name)?,
        Verb::RenameContext { from, to } => file.rename_context(from, to)?,
        Verb::SetCluster(cluster) => cluster.set(global, &mut file)?,
        Verb::SetCredentials(user) => user.set(global, &mut file)?,
        Verb::SetContext(context) => file.set_context(global, context)?,
        Verb::DeleteContext { name } => file.delete("contexts", "context", name)?,
        Verb::DeleteCluster { name } => file.delete("clusters", "cluster", name)?,
        Verb::DeleteUser { name } => file.delete("users", "user", name)?,
    }
    file.save()
}
