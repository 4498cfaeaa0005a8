//! `subPath`: part of a volume. Containers can write to the volume while it is looked for, so it is found below the
//! volume by descriptor, and what was found is mounted on a path that no container can touch; that is what the
//! runtime gets.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, ResolveFlag};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{FileStat, fstat};

use super::dir::{Dir, is_directory, open_below, proc_path};
use super::{PodDirectory, remove};

/// Links may lead about in the volume, but not out of it.
const INSIDE: ResolveFlag = ResolveFlag::RESOLVE_BENEATH.union(ResolveFlag::RESOLVE_NO_MAGICLINKS);
/// Permissions of what is mounted upon.
const DIRECTORY: u32 = 0o750;
const FILE: u32 = 0o640;

/// Which part of which volume is for which mount.
pub(super) struct SubPath<'a> {
    /// Where the volume is.
    pub(super) volume_path: &'a Path,
    /// The volume's name.
    pub(super) volume: &'a str,
    /// The path in it.
    pub(super) path: &'a Path,
    /// The container's name.
    pub(super) container: &'a str,
    /// Which of the container's mounts.
    pub(super) index: usize,
}

impl SubPath<'_> {
    /// Opens it, whatever it is. What is not there is made: directories with the permissions of the volume.
    ///
    /// # Errors
    /// When it is not in the volume.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        let volume = Dir::open(self.volume_path)?;
        match inside(&volume, self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&volume, self.path),
            opened => opened,
        }
    }

    /// Mounts what was opened where the runtime finds it, and answers where that is.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn bind(&self, part: &OwnedFd, directory: &PodDirectory) -> io::Result<PathBuf> {
        let parent = directory.make_sub_paths(self.volume, self.container)?;
        let name = OsString::from(self.index.to_string());
        let path = directory.sub_path(self.volume, self.container, self.index);
        let wanted = fstat(part)?;
        if parent.is_mount(&name)? {
            if is_same(&fstat(&point(&parent, &name)?)?, &wanted) {
                return Ok(path);
            }
            remove::unmount(&parent, &name)?;
        }
        let point = make_point(&parent, &name, is_directory(&wanted))?;
        mount(Some(&proc_path(part)), &proc_path(&point), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(path)
    }
}

fn inside(volume: &Dir, path: &Path) -> io::Result<OwnedFd> {
    open_below(volume.as_fd(), path, OFlag::O_PATH, INSIDE)
}

/// Makes the directories that are missing; whatever appears in their place meanwhile is an error.
fn make(volume: &Dir, path: &Path) -> io::Result<OwnedFd> {
    let mode = volume.status()?.st_mode & 0o7777;
    let mut parent = volume.reopen()?;
    let mut components = path.components();
    let mut done = PathBuf::new();
    for component in components.by_ref() {
        done.push(component);
        match open_below(volume.as_fd(), &done, OFlag::O_DIRECTORY | OFlag::O_RDONLY, INSIDE) {
            Ok(found) => parent = Dir::from(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                parent = parent.make_new(component.as_os_str(), mode)?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    for component in components {
        parent = parent.make_new(component.as_os_str(), mode)?;
    }
    Ok(parent.into())
}

fn point(parent: &Dir, name: &OsString) -> io::Result<OwnedFd> {
    open_below(parent.as_fd(), Path::new(name), OFlag::O_PATH | OFlag::O_NOFOLLOW, INSIDE)
}

/// Something of the right kind to mount upon.
fn make_point(parent: &Dir, name: &OsString, directory: bool) -> io::Result<OwnedFd> {
    match parent.find(name)? {
        Some(found) if is_directory(&found) == directory => {}
        Some(_) => {
            remove::remove(parent, name)?;
            return make_point(parent, name, directory);
        }
        None if directory => drop(parent.make_new(name, DIRECTORY)?),
        None => drop(parent.write_new(name, b"", FILE)?),
    }
    point(parent, name)
}

fn is_same(a: &FileStat, b: &FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}
