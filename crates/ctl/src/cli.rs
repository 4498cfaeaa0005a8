//! The command line.

use std::ffi::OsString;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

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

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// When it makes no sense; print it with [`clap::Error::exit`].
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::tree();
        let matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

impl Cli {
    /// Every command with its flags.
    #[must_use]
    pub fn tree() -> clap::Command {
        switches_take_values(Self::command())
    }
}

/// Flags that say yes may be given what they say, as kubectl's: `--watch=true`.
fn switches_take_values(command: clap::Command) -> clap::Command {
    // Of a flag that is given twice the last one counts.
    let command = command.args_override_self(true).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .value_parser(truth)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .hide_default_value(true)
            .value_name("BOOL"),
        _ => arg,
    });
    command.mut_subcommands(switches_take_values)
}

/// Truth as Go spells it.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
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
    /// Mark node as unschedulable
    Cordon(commands::cordon::Flags),
    /// Mark node as schedulable
    Uncordon(commands::cordon::Flags),
    /// Drain node in preparation for maintenance
    Drain(commands::drain::Flags),
    /// Update the taints on one or more nodes
    Taint(commands::taint::Flags),
    /// Print the logs of a container
    #[command(visible_alias = "log")]
    Logs(commands::logs::Flags),
    /// Attach to a running container
    Attach(commands::attach::Flags),
    /// Inspect authorization
    Auth(commands::auth::Flags),
    /// Copy files and directories to and from containers
    Cp(commands::cp::Flags),
    /// Create debugging sessions for troubleshooting workloads and nodes
    Debug(commands::debug::Flags),
    /// Run a proxy to the Kubernetes API server
    Proxy(commands::proxy::Flags),
    /// Forward one or more local ports to a pod
    PortForward(commands::port_forward::Flags),
    /// Run a command in a container
    Exec(commands::exec::Flags),
    /// Set a new size for a workload
    Scale(commands::scale::Flags),
    /// Auto-scale a deployment, replica set, stateful set, or replication controller
    Autoscale(commands::autoscale::Flags),
    /// Modify certificate resources
    Certificate(commands::certificate::Flags),
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
    /// Provides utilities for interacting with plugins
    Plugin(commands::plugin::Flags),
    /// Print the list of flags inherited by all commands
    Options,
    /// Commands for features in alpha
    Alpha,
    /// List the server's resources
    ApiResources(commands::api_resources::Flags),
    /// Commands of plugins, and commands that are gone
    #[command(external_subcommand)]
    Foreign(Vec<OsString>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_make_sense() {
        Cli::tree().debug_assert();
    }

    #[test]
    fn switches_are_told_yes_or_no() {
        let skips = |words: &str| {
            let cli = Cli::read(std::iter::once("ctl").chain(words.split(' ')).map(Into::into));
            cli.map(|cli| cli.global.insecure_skip_tls_verify).map_err(|error| error.to_string())
        };
        let set = "config set-cluster kubernetes --server=http://localhost:8080 --insecure-skip-tls-verify";
        for (words, expected) in [
            ("get pods -w".to_owned(), false),
            (set.to_owned(), true),
            (format!("{set}=true"), true),
            (format!("{set}=false"), false),
            ("--insecure-skip-tls-verify=t get pods -Aw --watch-only=0".to_owned(), true),
            ("run -it --rm shell --image=busybox --insecure-skip-tls-verify -- sh -c x=true".to_owned(), true),
        ] {
            assert_eq!(skips(&words), Ok(expected), "{words}");
        }
        assert!(skips(&format!("{set}=maybe")).unwrap_err().contains("neither true nor false"));
    }
}
