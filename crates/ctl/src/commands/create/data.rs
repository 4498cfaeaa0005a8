//! Where the data of config maps and secrets come from: literals, files, directories, files of variables.

use std::{fs, path::Path};

use api_types::validation::names;
use clap::Args;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// `--from-file`, `--from-literal`, `--from-env-file`, `--append-hash`.
#[derive(Args, Clone, Debug, Default)]
pub struct Sources {
    /// [KEY=]FILE, or a directory
    #[arg(long, value_delimiter = ',')]
    from_file: Vec<String>,
    /// KEY=VALUE
    #[arg(long)]
    from_literal: Vec<String>,
    /// A file with a KEY=VALUE on each line
    #[arg(long, value_delimiter = ',')]
    from_env_file: Vec<String>,
}

/// A key and what is in it.
pub type Entry = (String, Vec<u8>);

impl Sources {
    /// Files only.
    #[must_use]
    pub fn of_files(from_file: Vec<String>) -> Self {
        Self { from_file, ..Self::default() }
    }

    /// What all sources say.
    ///
    /// # Errors
    /// When a source is malformed or cannot be read.
    pub fn entries(&self, into: &Into) -> Result<Vec<Entry>> {
        if !self.from_env_file.is_empty() && (!self.from_file.is_empty() || !self.from_literal.is_empty()) {
            return Err(Error::usage("from-env-file cannot be combined with from-file or from-literal"));
        }
        let mut entries = Vec::new();
        for source in &self.from_literal {
            into.add(&mut entries, literal(source)?)?;
        }
        for source in &self.from_file {
            for entry in files(source)? {
                into.add(&mut entries, entry)?;
            }
        }
        for path in &self.from_env_file {
            for entry in variables(path)? {
                into.add(&mut entries, entry)?;
            }
        }
        Ok(entries)
    }
}

/// What the entries go into, for what is said of those that cannot.
pub struct Into<'a> {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// The object's name.
    pub name: &'a str,
}

impl Into<'_> {
    fn add(&self, entries: &mut Vec<Entry>, entry: Entry) -> Result<()> {
        let key = &entry.0;
        let faults = names::config_key(key);
        if !faults.is_empty() {
            let faults = faults.join(",");
            return Err(Error::usage(match self.kind {
                "Secret" => format!("{key:?} is not valid key name for a Secret {faults}"),
                kind => format!("{key:?} is not a valid key name for a {kind}: {faults}"),
            }));
        }
        if entries.iter().any(|(known, _)| known == key) {
            return Err(Error::usage(match self.kind {
                "Secret" => format!("cannot add key {key}, another key by that name already exists"),
                kind => format!(
                    "cannot add key {key:?}, another key by that name already exists in Data for {kind} {:?}",
                    self.name
                ),
            }));
        }
        entries.push(entry);
        Ok(())
    }
}

fn literal(source: &str) -> Result<Entry> {
    let pair = source.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) =
        pair.ok_or_else(|| Error::usage(format!("invalid literal source {source}, expected key=value")))?;
    Ok((key.to_owned(), value.as_bytes().to_vec()))
}

/// Key and path of `[KEY=]PATH`.
fn key_and_path(source: &str) -> Result<(Option<&str>, &str)> {
    match source.split_once('=') {
        None => Ok((None, source)),
        Some((_, path)) if path.contains('=') => Err(Error::usage("key names or file paths cannot contain '='")),
        Some(("", path)) => Err(Error::usage(format!("key name for file path {path} missing"))),
        Some((key, "")) => Err(Error::usage(format!("file path for key name {key} missing"))),
        Some((key, path)) => Ok((Some(key), path)),
    }
}

fn files(source: &str) -> Result<Vec<Entry>> {
    let (key, path) = key_and_path(source)?;
    let unreadable = |error: std::io::Error| unreadable(path, &error);
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.is_dir() {
        return match key {
            None => directory(path).map_err(unreadable),
            Some(_) => Err(Error::usage("cannot give a key name for a directory path")),
        };
    }
    let name = || Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let key = key.map_or_else(name, str::to_owned);
    Ok(vec![(key, fs::read(path).map_err(unreadable)?)])
}

/// The plain files of a directory, by their names.
fn directory(path: &str) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            entries.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
        }
    }
    entries.sort();
    Ok(entries)
}

/// A file's lines `KEY=VALUE`; a key alone takes its value from the environment.
fn variables(path: &str) -> Result<Vec<Entry>> {
    let text = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(text)
        .map_err(|error| Error::usage(format!("env file {path} contains invalid utf8 bytes: {error}")))?;
    let mut entries = Vec::new();
    for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => (line, std::env::var(line).unwrap_or_default()),
        };
        check_variable(key)?;
        entries.push((key.to_owned(), value.into_bytes()));
    }
    Ok(entries)
}

/// Refuses what cannot be a variable's name in a shell.
///
/// # Errors
/// In kubectl's words.
pub fn check_variable(name: &str) -> Result<()> {
    let word = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
    if !name.is_empty() && !name.starts_with(|char: char| char.is_ascii_digit()) && name.chars().all(word) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{name:?} is not a valid key name: a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')"
    )))
}

fn unreadable(path: &str, error: &std::io::Error) -> Error {
    Error::usage(match error.kind() {
        std::io::ErrorKind::NotFound => format!("error reading {path}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("error reading {path}: permission denied"),
        _ => format!("error reading {path}: {error}"),
    })
}

/// What the hash sees where there is nothing.
#[must_use]
pub fn or_empty(data: &serde_json::Value) -> serde_json::Value {
    if data.is_null() { serde_json::json!({}) } else { data.clone() }
}

/// The suffix that tells objects of other contents apart: kustomize's.
#[must_use]
pub fn hash(contents: &serde_json::Value) -> String {
    let digest = Sha256::digest(crate::typed::line(contents));
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let letter = |digit| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    hex.chars().map(letter).collect()
}
