//! `ctl`: the command line, with kubectl's verbs, flags and output.
//!
//! [`cli`] parses; [`connection`] reads the kubeconfig; [`api`] speaks HTTP; [`resources`] turns
//! what people type into resources, through discovery; [`manifests`] reads files; [`commands`] has
//! one file a verb; [`typed`] gives objects that are made here Go's form, and [`strategic`] tells what
//! changed of an object; [`output`] prints; [`usage`] tells what is wrong with a command line.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::{ffi::OsString, process::ExitCode};

pub mod api;
pub mod cli;
pub mod commands;
pub mod connection;
pub mod dry_run;
pub mod error;
pub mod manifests;
pub mod output;
pub mod plugin;
pub mod program;
pub mod resources;
pub mod strategic;
pub mod typed;
pub mod usage;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match cli::Cli::read(words.clone()) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, &cli::Cli::tree(), &words),
    };
    if let cli::Command::Foreign(words) = &cli.command {
        return foreign(words);
    }
    component::daemon::install_crypto_provider();
    if cli.global.v > 5 {
        component::daemon::init_logging(&component::flags::LoggingFlags { v: cli.global.v });
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(commands::run(cli));
    // Reading standard input cannot be interrupted: do not wait for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// A command that is not one of ours: a plugin's, or one that is gone.
fn foreign(words: &[OsString]) -> ExitCode {
    if let Some((program, rest)) = plugin::find(words) {
        let error = plugin::become_plugin(&program, rest);
        eprintln!("error: {}: {error}", program.display());
        return ExitCode::FAILURE;
    }
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    match commands::options::successor(&name) {
        Some(words) => eprintln!("error: {words}"),
        None => eprintln!("error: unknown command {name:?} for {:?}", program::name()),
    }
    ExitCode::FAILURE
}
