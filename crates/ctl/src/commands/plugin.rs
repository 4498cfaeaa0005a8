//! `ctl plugin list`.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};

use crate::{
    error::{Error, Result},
    plugin::{PREFIXES, directories, is_executable},
};

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List all visible plugin executables on a user's PATH
    List(List),
}

#[derive(Args, Clone, Debug)]
struct List {
    /// Names only
    #[arg(long)]
    name_only: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is no plugin, or something is wrong with one.
pub fn run(flags: &Flags) -> Result<()> {
    let Verb::List(list) = &flags.verb;
    let plugins = plugins();
    if plugins.is_empty() {
        return Err(Error::usage(format!("unable to find any {} plugins in your PATH", crate::program::name())));
    }
    println!("The following compatible plugins are available:\n");
    let mut seen: Vec<(String, PathBuf)> = Vec::new();
    let mut warnings = 0;
    for (name, path) in plugins {
        println!("{}", if list.name_only { name.clone() } else { path.display().to_string() });
        if !is_executable(&path) {
            warnings += 1;
            eprintln!("  - warning: {} identified as a kubectl plugin, but it is not executable", path.display());
        }
        match seen.iter().find(|(known, _)| *known == name) {
            Some((_, first)) => {
                warnings += 1;
                eprintln!(
                    "  - warning: {} is overshadowed by a similarly named plugin: {}",
                    path.display(),
                    first.display()
                );
            }
            None => seen.push((name, path)),
        }
    }
    match warnings {
        0 => Ok(()),
        1 => Err(Error::usage("one plugin warning was found")),
        count => Err(Error::usage(format!("{count} plugin warnings were found"))),
    }
}

/// Every plugin, in the order in which the path is searched.
fn plugins() -> Vec<(String, PathBuf)> {
    let mut plugins = Vec::new();
    let mut known: Vec<PathBuf> = Vec::new();
    for directory in directories() {
        if known.contains(&directory) {
            continue;
        }
        let mut found: Vec<(String, PathBuf)> = fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .filter_map(std::result::Result::ok)
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .filter(|(name, path)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !path.is_dir())
            .collect();
        found.sort();
        plugins.extend(found);
        known.push(directory);
    }
    plugins
}
