//! One file a verb.

pub mod api_resources;
pub mod apply;
pub mod attach;
pub mod auth;
pub mod autoscale;
pub mod certificate;
pub mod cluster_info;
pub mod config;
pub mod cordon;
pub mod cp;
pub mod create;
pub mod debug;
pub mod delete;
pub mod describe;
pub mod drain;
pub mod editor;
pub mod exec;
pub mod expose;
pub mod get;
pub mod logs;
pub mod metadata;
pub mod objects;
pub mod options;
pub mod overrides;
pub mod patch;
pub mod plugin;
pub mod pods;
pub mod port_forward;
pub mod proxy;
pub mod rollout;
pub mod run;
pub mod scale;
pub mod select;
pub mod set;
pub mod taint;
pub mod version;
pub mod watch;
pub mod watching;
pub mod writing;

use crate::{
    api::Api,
    cli::{Cli, Command},
    error::{Error, Result},
};

/// Runs a command.
///
/// # Errors
/// Whatever it failed with, in kubectl's words.
pub async fn run(cli: Cli) -> Result<()> {
    let global = cli.global;
    if let Command::Config(flags) = &cli.command {
        return config::run(&global, flags);
    }
    if let Command::Plugin(flags) = &cli.command {
        return plugin::run(flags);
    }
    match &cli.command {
        Command::Version(flags) => return version::run(&global, flags).await,
        Command::Options => {
            options::print();
            return Ok(());
        }
        Command::Alpha => {
            eprintln!("No alpha commands are available in this version of {}", crate::program::name());
            return Ok(());
        }
        _ => {}
    }
    let api = Api::new(&global).await?;
    match cli.command {
        Command::Get(flags) => get::run(&api, &flags).await,
        Command::Describe(flags) => describe::run(&api, &flags).await,
        Command::Apply(flags) => apply::run(&api, &global, &flags).await,
        Command::Create(flags) => create::run(&api, &global, &flags).await,
        Command::Delete(flags) => delete::run(&api, &global, &flags).await,
        Command::Patch(flags) => patch::run(&api, &global, &flags).await,
        Command::Label(flags) => metadata::run(&api, &global, metadata::Map::Labels, &flags).await,
        Command::Annotate(flags) => metadata::run(&api, &global, metadata::Map::Annotations, &flags).await,
        Command::Cordon(flags) => cordon::run(&api, &global, &flags, cordon::Wanted::Cordoned).await,
        Command::Uncordon(flags) => cordon::run(&api, &global, &flags, cordon::Wanted::Uncordoned).await,
        Command::Drain(flags) => drain::run(&api, &global, &flags).await,
        Command::Taint(flags) => taint::run(&api, &global, &flags).await,
        Command::Logs(flags) => logs::run(&api, &flags).await,
        Command::Attach(flags) => attach::run(&api, &flags).await,
        Command::Exec(flags) => exec::run(&api, &flags).await,
        Command::Scale(flags) => scale::run(&api, &global, &flags).await,
        Command::Autoscale(flags) => autoscale::run(&api, &global, &flags).await,
        Command::Certificate(flags) => certificate::run(&api, &global, &flags).await,
        Command::Set(flags) => set::run(&api, &global, &flags).await,
        Command::Rollout(flags) => rollout::run(&api, &global, &flags).await,
        Command::Expose(flags) => expose::run(&api, &global, &flags).await,
        Command::Run(flags) => run::run(&api, &global, &flags).await,
        Command::Config(_)
        | Command::Plugin(_)
        | Command::Version(_)
        | Command::Options
        | Command::Alpha
        | Command::Foreign(_) => Ok(()),
        Command::Auth(flags) => auth::run(&api, &global, &flags).await,
        Command::Cp(flags) => cp::run(&api, &flags).await,
        Command::Debug(flags) => debug::run(&api, &global, &flags).await,
        Command::Proxy(flags) => proxy::run(&api, &flags).await,
        Command::PortForward(flags) => port_forward::run(&api, &flags).await,
        Command::ClusterInfo => cluster_info::run(&api).await,
        Command::ApiResources(flags) => api_resources::run(&api, &flags).await,
    }
}

/// Prints the errors of several targets as they come; fails when there was one.
#[derive(Debug, Default)]
pub struct Failures {
    any: bool,
}

impl Failures {
    /// Prints an error and goes on; a server that is not there ends the command.
    ///
    /// # Errors
    /// When going on is pointless.
    pub fn note(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(error @ (Error::Server(_) | Error::Usage(_) | Error::Unknown(_) | Error::File(_))) => {
                eprintln!("{error}");
                self.any = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The command's result.
    ///
    /// # Errors
    /// When there was an error.
    pub fn result(self) -> Result<()> {
        if self.any { Err(Error::Printed) } else { Ok(()) }
    }
}

/// Percent-encodes query parameters; absent values are left out.
#[must_use]
pub fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}
