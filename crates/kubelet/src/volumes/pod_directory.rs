//! Where a pod keeps its files. Everything lives where upstream has it:
//! `<root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::dir::{Dir, Mounts};
use super::{VolumeError, blocking, plugins, remove};
use crate::runtime::PodUid;

/// Permissions of everything on the way to a volume: nobody but root gets there from the node.
const PRIVATE: u32 = 0o750;
const PODS: &str = "pods";
const VOLUMES: &str = "volumes";
const SUB_PATHS: &str = "volume-subpaths";
const CONTAINERS: &str = "containers";
const PREFIX: &str = "kubernetes.io~";

/// The directory of a pod.
#[derive(Debug, Clone)]
pub struct PodDirectory {
    root: PathBuf,
    uid: String,
}

/// How many files of a pod are counted at most.
const COUNTED: usize = 100_000;

/// Follows no link, and enters no other file system: what is there is not on this disk.
fn used_below(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(device) = std::fs::symlink_metadata(path).map(|found| found.dev()) else { return 0 };
    let (mut total, mut left, mut todo) = (0_u64, COUNTED, vec![path.to_owned()]);
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return total,
            };
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() == device {
                total = total.saturating_add(found.blocks().saturating_mul(512));
                if found.is_dir() {
                    todo.push(entry.path());
                }
            }
        }
    }
    total
}

impl PodDirectory {
    /// The directory of a pod under `--root-dir`.
    #[must_use]
    pub fn new(root: &Path, uid: &PodUid) -> Self {
        Self { root: root.to_owned(), uid: uid.as_str().to_owned() }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.join(PODS).join(&self.uid)
    }

    /// A volume's directory.
    #[must_use]
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.path().join(VOLUMES).join(format!("{PREFIX}{plugin}")).join(name)
    }

    /// Where the part of a volume is that a container's mount with this index sees.
    #[must_use]
    pub fn sub_path(&self, volume: &str, container: &str, index: usize) -> PathBuf {
        self.path().join(SUB_PATHS).join(volume).join(container).join(index.to_string())
    }

    /// Where a container's termination message files are.
    #[must_use]
    pub fn container(&self, name: &str) -> PathBuf {
        self.path().join(CONTAINERS).join(name)
    }

    /// The pod's `/etc/hosts`.
    #[must_use]
    pub fn etc_hosts(&self) -> PathBuf {
        self.path().join("etc-hosts")
    }

    /// Bytes that the pod's files take on disk, as far as they can be counted. Blocking; of a pod with very many files
    /// some are left out.
    #[must_use]
    pub fn used(&self) -> u64 {
        used_below(&self.path())
    }

    /// Where what the pod holds of the node is noted.
    #[must_use]
    pub fn allocation(&self) -> PathBuf {
        self.path().join("allocation")
    }

    /// Makes the directory and that of a container's files. Blocking.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make_container(&self, name: &str) -> Result<(), VolumeError> {
        self.make(&[CONTAINERS, name]).map(drop).map_err(VolumeError::disk("creating", &self.container(name)))
    }

    /// Makes the directory itself. Blocking.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make_own(&self) -> io::Result<()> {
        self.make(&[]).map(drop)
    }

    /// The directory of a plugin's volumes.
    pub(super) fn make_plugin(&self, plugin: &str) -> io::Result<Dir> {
        self.make(&[VOLUMES, &format!("{PREFIX}{plugin}")])
    }

    /// The directory of a container's parts of a volume.
    pub(super) fn make_sub_paths(&self, volume: &str, container: &str) -> io::Result<Dir> {
        self.make(&[SUB_PATHS, volume, container])
    }

    fn make(&self, names: &[&str]) -> io::Result<Dir> {
        let pods = Dir::open(&self.root)?.make(PODS, PRIVATE)?;
        names.iter().try_fold(pods.make(&self.uid, PRIVATE)?, |dir, name| dir.make(name, PRIVATE))
    }

    /// A directory that exists.
    fn find(&self, names: &[&str]) -> io::Result<Option<Dir>> {
        let way: PathBuf = [PODS, &self.uid].iter().chain(names).collect();
        match Dir::open(&self.root).and_then(|root| root.enter(way, Mounts::Enter)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Unmounts and removes a volume's directory.
    pub(super) async fn remove_volume(&self, plugin: &str, name: &str) -> Result<(), VolumeError> {
        let (this, plugin, name) = (self.clone(), format!("{PREFIX}{plugin}"), name.to_owned());
        let failed = VolumeError::disk("removing", &self.path().join(VOLUMES).join(&plugin).join(&name));
        let remove = move || match this.find(&[VOLUMES, &plugin])? {
            Some(parent) => remove::remove(&parent, OsStr::new(&name)),
            None => Ok(()),
        };
        blocking(move || remove().map_err(failed)).await
    }

    /// Takes away everything that the pod has on this node's disk: first what only refers to volumes, then the
    /// volumes, each by its plugin, then the rest. What an earlier process has begun is brought to its end.
    ///
    /// # Errors
    /// When something in it is in use, or belongs to a plugin that this kubelet does not have.
    pub async fn remove(&self) -> Result<(), VolumeError> {
        self.remove_part(SUB_PATHS).await?;
        let this = self.clone();
        let failed = VolumeError::disk("reading", &self.path());
        for (plugin, volume) in blocking(move || this.volumes().map_err(failed)).await? {
            let found = plugin.strip_prefix(PREFIX).and_then(plugins::by_name);
            let found = found.ok_or_else(|| VolumeError::NoPlugin {
                volume: volume.clone(),
                why: format!("no volume plugin matched {plugin}"),
            })?;
            found.tear_down(self, &volume).await?;
        }
        let (this, failed) = (self.clone(), VolumeError::disk("removing", &self.path()));
        blocking(move || this.remove_rest().map_err(failed)).await
    }

    async fn remove_part(&self, name: &'static str) -> Result<(), VolumeError> {
        let (this, failed) = (self.clone(), VolumeError::disk("removing", &self.path().join(name)));
        let remove = move || match this.find(&[])? {
            Some(own) => remove::remove(&own, OsStr::new(name)),
            None => Ok(()),
        };
        blocking(move || remove().map_err(failed)).await
    }

    fn remove_rest(&self) -> io::Result<()> {
        match Dir::open(&self.root).and_then(|root| root.enter(PODS, Mounts::Enter)) {
            Ok(pods) => remove::remove(&pods, OsStr::new(&self.uid)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The volumes on disk: the name of the plugin's directory and their own.
    fn volumes(&self) -> io::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        let Some(volumes) = self.find(&[VOLUMES])? else { return Ok(found) };
        let text = |name: OsString| name.into_string().map_err(|_| io::Error::other("a name that is no text"));
        for plugin in volumes.names()? {
            for volume in volumes.enter(&plugin, Mounts::Refuse)?.names()? {
                found.push((text(plugin.clone())?, text(volume)?));
            }
        }
        Ok(found)
    }
}

/// Pods that have a directory for a volume, by uid. Blocking.
pub(super) fn pods_with_volume(root: &Path, plugin: &str, name: &str) -> io::Result<Vec<String>> {
    let pods = match std::fs::read_dir(root.join(PODS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        pods => pods?,
    };
    let mut found = Vec::new();
    for pod in pods {
        let uid = pod?.file_name().to_string_lossy().into_owned();
        let directory = PodDirectory { root: root.to_owned(), uid };
        if directory.volume(plugin, name).try_exists()? {
            found.push(directory.uid);
        }
    }
    Ok(found)
}

/// Pods that have a directory. Blocking.
#[must_use]
pub fn pods_on_disk(root: &Path) -> Vec<PodUid> {
    let entries = std::fs::read_dir(root.join(PODS)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).map(PodUid).collect()
}
