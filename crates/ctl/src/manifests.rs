//! Manifests from files, directories and standard input.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use crate::error::{Error, Result};

/// `-f`, `-R`.
#[derive(Args, Clone, Debug, Default)]
pub struct FileFlags {
    /// Files or directories that hold manifests; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub filenames: Vec<PathBuf>,
    /// Look into directories' directories, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

impl FileFlags {
    /// Every object, in the order of the files; lists are taken apart.
    ///
    /// # Errors
    /// When a file cannot be read or is no manifest.
    pub fn objects(&self) -> Result<Vec<Value>> {
        let mut objects = Vec::new();
        for name in &self.filenames {
            for (source, text) in self.read(name)? {
                objects.extend(parse(&source, &text)?);
            }
        }
        if objects.is_empty() {
            return Err(Error::usage("no objects passed"));
        }
        Ok(objects)
    }

    fn read(&self, name: &Path) -> Result<Vec<(String, String)>> {
        if name == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Error::File(format!("STDIN: {error}")))?;
            return Ok(vec![("STDIN".into(), text)]);
        }
        if !name.exists() {
            return Err(Error::File(format!("the path {:?} does not exist", name.display().to_string())));
        }
        let mut files = Vec::new();
        collect(name, Depth::Named, self.recursive, &mut files).map_err(|error| unreadable(name, &error))?;
        files.sort();
        files
            .into_iter()
            .map(|file| {
                Ok((file.display().to_string(), fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?))
            })
            .collect()
    }
}

/// How a path came to be looked at: what was named is read whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Named,
    Below,
}

fn collect(path: &Path, depth: Depth, recursive: bool, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        let manifest =
            path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        if depth == Depth::Named || manifest {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    if depth == Depth::Below && !recursive {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        collect(&entry?.path(), Depth::Below, recursive, files)?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::File(format!("{}: {error}", path.display()))
}

fn parse(source: &str, text: &str) -> Result<Vec<Value>> {
    let documents =
        api_types::yaml::documents(text).map_err(|error| Error::File(format!("error parsing {source}: {error}")))?;
    let mut objects = Vec::new();
    for mut document in documents {
        let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match document["items"].take() {
            Value::Array(items) if is_list => objects.extend(items),
            items => {
                if !items.is_null() {
                    document["items"] = items;
                } else if let Value::Object(fields) = &mut document {
                    fields.remove("items");
                }
                objects.push(document);
            }
        }
    }
    Ok(objects)
}
