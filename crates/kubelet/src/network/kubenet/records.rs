//! What was given to which sandbox, one small file each, so that a restarted kubelet knows it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::super::{HostPort, NetworkError, Result};
use crate::runtime::{PodIdentity, SandboxId};

/// What one sandbox was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Its pod.
    pub pod: PodIdentity,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Ports of the node that lead to it.
    pub host_ports: Vec<HostPort>,
}

/// A record as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    sandbox: String,
    uid: String,
    namespace: String,
    name: String,
    ip: Ipv4Addr,
    #[serde(default)]
    host_ports: Vec<HostPort>,
}

/// All records, in memory and on disk.
#[derive(Debug)]
pub struct Records {
    dir: PathBuf,
    by_sandbox: BTreeMap<SandboxId, Record>,
}

const SUFFIX: &str = "json";

impl Records {
    /// Reads the directory, which is made if it is missing. A file that makes no sense is removed with a warning:
    /// it is what a crash leaves, and its sandbox was not connected yet.
    pub fn open(dir: &Path) -> Result<Self> {
        let at = |source| NetworkError::State { path: dir.display().to_string(), source };
        fs::create_dir_all(dir).map_err(at)?;
        let mut by_sandbox = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(at)? {
            let path = entry.map_err(at)?.path();
            match read(&path) {
                Ok(record) => {
                    by_sandbox.insert(record.sandbox.clone(), record);
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
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_sandbox.values()
    }

    /// The one of this sandbox.
    pub fn get(&self, sandbox: &SandboxId) -> Option<&Record> {
        self.by_sandbox.get(sandbox)
    }

    /// Remembers; it is on disk when this returns.
    pub fn insert(&mut self, record: Record) -> Result<()> {
        let path = self.path(&record.sandbox);
        write(&path, &record).map_err(|source| NetworkError::State { path: path.display().to_string(), source })?;
        self.by_sandbox.insert(record.sandbox.clone(), record);
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

fn read(path: &Path) -> io::Result<Record> {
    let stored: Stored = serde_json::from_slice(&fs::read(path)?)?;
    let pod = PodIdentity { uid: stored.uid.into(), namespace: stored.namespace, name: stored.name };
    Ok(Record { sandbox: stored.sandbox.into(), pod, ip: stored.ip, host_ports: stored.host_ports })
}

fn write(path: &Path, record: &Record) -> io::Result<()> {
    let stored = Stored {
        sandbox: record.sandbox.0.clone(),
        uid: record.pod.uid.0.clone(),
        namespace: record.pod.namespace.clone(),
        name: record.pod.name.clone(),
        ip: record.ip,
        host_ports: record.host_ports.clone(),
    };
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial)?;
    file.write_all(&serde_json::to_vec(&stored)?)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::super::super::Protocol;
    use super::*;

    #[test]
    fn records_survive_a_restart_and_rubbish_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let record = |id: &str, last| Record {
            sandbox: id.into(),
            pod: PodIdentity { uid: "u".into(), namespace: "ns".into(), name: "web".into() },
            ip: Ipv4Addr::new(10, 0, 0, last),
            host_ports: vec![HostPort { host_ip: None, host_port: 80, container_port: 8080, protocol: Protocol::Tcp }],
        };
        let mut records = Records::open(dir.path()).unwrap();
        records.insert(record("a", 2)).unwrap();
        records.insert(record("b", 3)).unwrap();
        records.remove(&"a".into()).unwrap();
        records.remove(&"a".into()).unwrap();
        fs::write(dir.path().join("c.partial"), "{\"sand").unwrap();

        let again = Records::open(dir.path()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), [&record("b", 3)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
