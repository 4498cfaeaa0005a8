//! The command line.

use clap::{Parser, Subcommand};

use crate::{commands, connection::GlobalFlags};

/// ctl controls the Kubernetes cluster manager.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ctl",
    about = "ctl controls the Kubernetes cluster manager",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalFlags,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Display one or many resources
    Get(commands::get::Flags),
    /// Show details of resources
    Describe(commands::describe::Flags),
    /// Apply a configuration to resources, creating what is not there
    Apply(commands::apply::Flags),
    /// Create a resource from a file or from flags
    Create(commands::create::Flags),
    /// Delete resources
    Delete(commands::delete::Flags),
    /// Change fields of a resource
    Patch(commands::patch::Flags),
    /// Change the labels of resources
    Label(commands::metadata::Flags),
    /// Change the annotations of resources
    Annotate(commands::metadata::Flags),
    /// Print the logs of a container
    #[command(visible_alias = "log")]
    Logs(commands::logs::Flags),
    /// Run a command in a container
    Exec(commands::exec::Flags),
    /// Set a new size for a workload
    Scale(commands::scale::Flags),
    /// Change features of workloads
    Set(commands::set::Flags),
    /// Manage the rollout of a workload
    Rollout(commands::rollout::Flags),
    /// Make a service for a workload
    Expose(commands::expose::Flags),
    /// Run an image in a pod
    Run(commands::run::Flags),
    /// Change kubeconfig files
    Config(commands::config::Flags),
    /// Name the control plane's address
    ClusterInfo,
    /// Print the versions of client and server
    Version(commands::version::Flags),
    /// List the server's resources
    ApiResources(commands::api_resources::Flags),
}
