//! This node's own volumes: directories that are made for claims, beside each other in one directory. They stay when
//! their pods go, and are taken away when whoever made the volumes asks for it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use component::volumes::local::is_name;
use parking_lot::Mutex;

use super::dir::{Dir, is_directory};
use super::pod_directory::pods_with_volume;
use super::remove;

/// Nobody but root gets to the volumes from the node.
const PRIVATE: u32 = 0o750;
/// Whatever user a container has, it can write.
const MODE: u32 = 0o777;
/// The plugin whose directories tell which pods have a local volume.
pub(super) const PLUGIN: &str = "local-volume";

/// Why a volume's directory is not taken away.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It is none of this node's volumes.
    #[error("{0} is no directory of a local volume of this node")]
    NotOurs(String),
    /// A pod has it.
    #[error("volume {volume} is still in use by pods: {pods}")]
    InUse {
        /// The volume.
        volume: String,
        /// Uids of pods.
        pods: String,
    },
    /// The file system refused.
    #[error("removing the directory of volume {volume}: {source}")]
    Disk {
        /// The volume.
        volume: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct LocalVolumes {
    /// What they are in.
    directory: PathBuf,
    /// `--root-dir`, where pods say what they use.
    root: PathBuf,
    /// Held while a directory comes or goes.
    changing: Mutex<()>,
}

impl LocalVolumes {
    /// Volumes in `directory` of pods under `root`.
    #[must_use]
    pub fn new(directory: PathBuf, root: PathBuf) -> Arc<Self> {
        Arc::new(Self { directory, root, changing: Mutex::default() })
    }

    /// Where the volume of this name is; `None` if no volume here is called so.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        is_name(name).then(|| self.directory.join(name))
    }

    /// Makes a volume's directory unless it is there. It gets its name when it is complete. Blocking.
    pub(super) fn make(&self, name: &str) -> io::Result<()> {
        if !is_name(name) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let _changing = self.changing.lock();
        std::fs::create_dir_all(&self.directory)?;
        let all = Dir::open(&self.directory)?;
        all.set_mode(PRIVATE)?;
        match all.find(name)? {
            Some(found) if is_directory(&found) => return Ok(()),
            Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
            None => {}
        }
        let unfinished = marked(".", name);
        all.make(&unfinished, MODE)?;
        all.rename(&unfinished, OsStr::new(name))
    }

    /// Takes a volume's directory away, with everything in it; `path` is where whoever asks believes it to be. One that is
    /// gone is fine. Blocking.
    ///
    /// # Errors
    /// When it is none of this node's volumes, a pod has it, or the file system refuses. What an earlier attempt has left
    /// is taken away by the next.
    pub fn remove(&self, name: &str, path: &Path) -> Result<(), RemoveError> {
        if self.path(name).is_none_or(|own| own != path) {
            return Err(RemoveError::NotOurs(path.display().to_string()));
        }
        let failed = |source| RemoveError::Disk { volume: name.to_owned(), source };
        let all = match Dir::open(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let removed = marked("..removed-", name);
        {
            let _changing = self.changing.lock();
            let pods = pods_with_volume(&self.root, PLUGIN, name).map_err(failed)?;
            if !pods.is_empty() {
                return Err(RemoveError::InUse { volume: name.to_owned(), pods: pods.join(", ") });
            }
            // From here on it cannot be had again, whatever becomes of this attempt.
            if all.find(&removed).map_err(failed)?.is_none() && all.find(name).map_err(failed)?.is_some() {
                all.rename(OsStr::new(name), &removed).map_err(failed)?;
            }
        }
        for left in [removed, OsString::from(name), marked(".", name)] {
            remove::remove(&all, &left).map_err(failed)?;
        }
        Ok(())
    }
}

fn marked(mark: &str, name: &str) -> OsString {
    OsString::from(format!("{mark}{name}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::runtime::PodUid;
    use crate::volumes::PodDirectory;
    use crate::volumes::testing::{Disk, needs_root};

    const NAME: &str = "pvc-0f39d2a0-7a3b-4c5d-8e9f-001122334455";

    fn volumes(disk: &Disk) -> Arc<LocalVolumes> {
        LocalVolumes::new(disk.path().join("volumes"), disk.path().join("root"))
    }

    #[test]
    fn a_directory_comes_once_and_goes_whole() {
        let disk = Disk::new();
        let own = volumes(&disk);
        let path = own.path(NAME).unwrap();
        own.remove(NAME, &path).unwrap();
        own.make(NAME).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o777);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o7777, 0o750);
        fs::write(path.join("data"), "kept").unwrap();
        own.make(NAME).unwrap();
        assert_eq!(fs::read_to_string(path.join("data")).unwrap(), "kept");
        // What a container leaves there leads nowhere.
        fs::create_dir_all(path.join("deep/er")).unwrap();
        symlink(disk.canary(), path.join("deep/link")).unwrap();
        symlink(disk.canary().parent().unwrap(), path.join("directory")).unwrap();
        own.remove(NAME, &path).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        assert!(disk.canary_lives());
        own.remove(NAME, &path).unwrap();
    }

    #[test]
    fn only_volumes_are_touched() {
        let disk = Disk::new();
        let own = volumes(&disk);
        fs::create_dir_all(disk.path().join("volumes/other")).unwrap();
        for (name, path) in [
            ("other", disk.path().join("volumes/other")),
            ("..", disk.path().join("volumes/..")),
            (NAME, disk.canary()),
            (NAME, disk.path().join("volumes").join(format!("../{NAME}"))),
        ] {
            assert!(matches!(own.remove(name, &path), Err(RemoveError::NotOurs(_))), "{name}");
        }
        assert!(own.make("other").is_err() && own.path("..").is_none());
        // A name that leads elsewhere is no volume, and what it leads to stays.
        symlink(disk.canary().parent().unwrap(), own.path(NAME).unwrap()).unwrap();
        assert!(own.make(NAME).is_err());
        own.remove(NAME, &own.path(NAME).unwrap()).unwrap();
        assert!(disk.canary_lives() && disk.path().join("volumes/other").exists());
    }

    #[test]
    fn what_a_pod_has_stays() {
        let disk = Disk::new();
        let own = volumes(&disk);
        let path = own.path(NAME).unwrap();
        own.make(NAME).unwrap();
        fs::create_dir_all(disk.path().join("root")).unwrap();
        let pod = PodDirectory::new(&disk.path().join("root"), &PodUid("u".to_owned()));
        pod.make_plugin(PLUGIN).unwrap().make(NAME, 0o750).unwrap();
        assert!(matches!(own.remove(NAME, &path), Err(RemoveError::InUse { pods, .. }) if pods == "u"));
        assert!(path.exists());
        fs::remove_dir(pod.volume(PLUGIN, NAME)).unwrap();
        own.remove(NAME, &path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_removal_that_was_cut_short_is_brought_to_its_end() {
        let disk = Disk::new();
        let own = volumes(&disk);
        let path = own.path(NAME).unwrap();
        own.make(NAME).unwrap();
        let left = path.with_file_name(format!("..removed-{NAME}"));
        fs::rename(&path, &left).unwrap();
        fs::write(left.join("data"), "").unwrap();
        own.remove(NAME, &path).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn nothing_is_left_mounted_below() {
        if !needs_root() {
            return;
        }
        let disk = Disk::new();
        let own = volumes(&disk);
        let path = own.path(NAME).unwrap();
        own.make(NAME).unwrap();
        fs::create_dir(path.join("m")).unwrap();
        let source = disk.canary().parent().unwrap().to_owned();
        nix::mount::mount(Some(&source), &path.join("m"), None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>)
            .unwrap();
        own.remove(NAME, &path).unwrap();
        assert!(disk.canary_lives() && !path.exists());
    }
}
