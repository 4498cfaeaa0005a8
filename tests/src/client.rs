//! kubectl and ctl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A command-line client with a kubeconfig.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    kubeconfig: PathBuf,
}

impl Client {
    /// A client.
    #[must_use]
    pub fn new(path: PathBuf, kubeconfig: &Path) -> Self {
        Self { path, kubeconfig: kubeconfig.to_owned() }
    }

    /// Its file name.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// The command, with arguments separated by spaces.
    #[must_use]
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments.split_whitespace());
        command
    }

    /// Runs it, whatever comes of it.
    #[must_use]
    pub fn try_run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, arguments: &str) -> String {
        let output = self.try_run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments}: {errors}", self.name());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Stock kubectls on this machine, oldest first: the one on the path, and those beside it.
pub(crate) fn kubectls() -> Vec<PathBuf> {
    let Ok(output) = Command::new("sh").args(["-c", "readlink -f $(command -v kubectl)"]).output() else {
        return Vec::new();
    };
    let main = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let Some(directory) = main.parent().filter(|directory| directory.is_dir()) else { return Vec::new() };
    let minor =
        |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.strip_prefix("kubectl.1.")?.parse().ok() };
    let beside = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    let mut versioned: Vec<PathBuf> = beside.filter(|path| minor(path).is_some()).collect();
    versioned.sort_by_key(minor);
    if versioned.is_empty() { vec![main] } else { versioned }
}
