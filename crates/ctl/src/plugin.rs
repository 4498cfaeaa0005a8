//! Plugins: programs called `kubectl-NAME` or `ctl-NAME` on the path are commands called `NAME`.

use std::{
    ffi::OsString,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// What the names of plugins begin with.
pub const PREFIXES: [&str; 2] = ["kubectl-", "ctl-"];

/// The plugin that the words name, with the words that are left for it. `a b-c` is `kubectl-a-b_c`, or else `kubectl-a`.
#[must_use]
pub fn find(words: &[OsString]) -> Option<(PathBuf, &[OsString])> {
    let names: Vec<String> = words
        .iter()
        .map_while(|word| word.to_str().filter(|word| !word.starts_with('-')))
        .map(|word| word.replace('-', "_"))
        .collect();
    (1..=names.len()).rev().find_map(|count| {
        let name = names[..count].join("-");
        let found = PREFIXES.iter().find_map(|prefix| on_path(&format!("{prefix}{name}")))?;
        Some((found, &words[count..]))
    })
}

/// Becomes the plugin; why not, when that fails.
#[must_use]
pub fn become_plugin(program: &Path, words: &[OsString]) -> std::io::Error {
    Command::new(program).args(words).exec()
}

fn on_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    directories().into_iter().map(|directory| directory.join(name)).find(|path| is_executable(path))
}

/// Where programs are looked for.
#[must_use]
pub fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|directory| !directory.as_os_str().is_empty()).collect()
}

/// Whether a file can be run.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
