//! What was given to which sandbox, one small file each, so that a restarted kubelet knows it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{NetworkError, Result};
use crate::runtime::SandboxId;

/// What is remembered of a sandbox.
pub trait Record: Serialize + DeserializeOwned {
    /// The sandbox.
    fn sandbox(&self) -> &SandboxId;
}

/// All records, in memory and on disk.
#[derive(Debug)]
pub struct Records<R> {
    dir: PathBuf,
    by_sandbox: BTreeMap<SandboxId, R>,
}

const SUFFIX: &str = "json";

impl<R: Record> Records<R> {
    /// Reads the directory, which is made if it is missing. A file that makes no sense is removed with a warning:
    /// it is what a crash leaves, and its sandbox was not connected yet.
    pub fn open(dir: &Path) -> Result<Self> {
        let at = |source| NetworkError::State { path: dir.display().to_string(), source };
        fs::create_dir_all(dir).map_err(at)?;
        let mut by_sandbox = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(at)? {
            let path = entry.map_err(at)?.path();
            match read::<R>(&path) {
                Ok(record) => {
                    by_sandbox.insert(R::sandbox(&record).clone(), record);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), "not a record of a pod's network, removed: {error}");
                    fs::remove_file(&path).map_err(at)?;
                }
            }
        }
        Ok(Self { dir: dir.to_owned(), by_sandbox })
    }

    /// All of them, by sandbox.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.by_sandbox.values()
    }

    /// The one of this sandbox.
    pub fn get(&self, sandbox: &SandboxId) -> Option<&R> {
        self.by_sandbox.get(sandbox)
    }

    /// Remembers; it is on disk when this returns.
    pub fn insert(&mut self, record: R) -> Result<()> {
        let path = self.path(record.sandbox());
        write(&path, &record).map_err(|source| NetworkError::State { path: path.display().to_string(), source })?;
        self.by_sandbox.insert(R::sandbox(&record).clone(), record);
        Ok(())
    }

    /// Forgets.
    pub fn remove(&mut self, sandbox: &SandboxId) -> Result<()> {
        let path = self.path(sandbox);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(NetworkError::State { path: path.display().to_string(), source });
            }
            _ => {}
        }
        self.by_sandbox.remove(sandbox);
        Ok(())
    }

    fn path(&self, sandbox: &SandboxId) -> PathBuf {
        self.dir.join(format!("{sandbox}.{SUFFIX}"))
    }
}

fn read<R: Record>(path: &Path) -> io::Result<R> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(path: &Path, record: &impl Record) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    struct Given {
        sandbox: SandboxId,
        number: u8,
    }

    impl Record for Given {
        fn sandbox(&self) -> &SandboxId {
            &self.sandbox
        }
    }

    #[test]
    fn records_survive_a_restart_and_rubbish_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let record = |id: &str, number| Given { sandbox: id.into(), number };
        let mut records = Records::open(dir.path()).unwrap();
        records.insert(record("a", 2)).unwrap();
        records.insert(record("b", 3)).unwrap();
        records.remove(&"a".into()).unwrap();
        records.remove(&"a".into()).unwrap();
        fs::write(dir.path().join("c.partial"), "{\"sand").unwrap();

        let again: Records<Given> = Records::open(dir.path()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), [&record("b", 3)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
