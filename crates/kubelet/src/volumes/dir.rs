//! Directories by descriptor: whatever a container makes of a name meanwhile, what was opened is what is meant.
//!
//! Below a [`Dir`] no link is followed on the way, and only single names are handed to the system.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{self, AT_FDCWD, AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag};
use nix::sys::stat::{self, FileStat, Mode, SFlag};
use nix::unistd::{self, Gid, Uid, UnlinkatFlags};

/// Below the directory, through no link.
const PLAIN: ResolveFlag =
    ResolveFlag::RESOLVE_BENEATH.union(ResolveFlag::RESOLVE_NO_SYMLINKS).union(ResolveFlag::RESOLVE_NO_MAGICLINKS);
/// A container that renames busily can make the kernel give up on one attempt.
const ATTEMPTS: usize = 16;

/// Whether the way may lead onto another mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounts {
    /// It may.
    Enter,
    /// It may not, not even onto another mount of the same file system.
    Refuse,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir {
    descriptor: OwnedFd,
}

impl Dir {
    /// A directory of the node's own, to which links may lead.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Self { descriptor: fcntl::openat(AT_FDCWD, path, flags, Mode::empty())? })
    }

    /// A directory below, several names down if need be.
    pub(super) fn enter(&self, path: impl AsRef<Path>, mounts: Mounts) -> io::Result<Self> {
        let no_mounts = if mounts == Mounts::Refuse { ResolveFlag::RESOLVE_NO_XDEV } else { ResolveFlag::empty() };
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
        Ok(Self { descriptor: open_below(self.descriptor.as_fd(), path.as_ref(), flags, PLAIN | no_mounts)? })
    }

    /// The directory itself once more.
    pub(super) fn reopen(&self) -> io::Result<Self> {
        self.enter(".", Mounts::Refuse)
    }

    /// A directory of this name with these permissions, made if it is not there.
    pub(super) fn make(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        let name = single(name.as_ref())?;
        match stat::mkdirat(&self.descriptor, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let made = self.enter(name, Mounts::Enter)?;
        made.set_mode(mode)?;
        Ok(made)
    }

    /// A directory of this name with these permissions; it must not be there yet.
    pub(super) fn make_new(&self, name: &OsStr, mode: u32) -> io::Result<Self> {
        stat::mkdirat(&self.descriptor, single(name)?, Mode::S_IRWXU)?;
        let made = self.enter(name, Mounts::Refuse)?;
        made.set_mode(mode)?;
        Ok(made)
    }

    /// All names in it.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(self.proc_path())?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    /// What a name stands for, a link for itself; `None` is nothing.
    pub(super) fn find(&self, name: impl AsRef<OsStr>) -> io::Result<Option<FileStat>> {
        match stat::fstatat(&self.descriptor, single(name.as_ref())?, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether something is mounted on a name.
    pub(super) fn is_mount(&self, name: &OsStr) -> io::Result<bool> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let resolve = PLAIN | ResolveFlag::RESOLVE_NO_XDEV;
        match open_below(self.descriptor.as_fd(), Path::new(single(name)?), flags, resolve) {
            Ok(_) => Ok(false),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EXDEV) => Ok(true),
                Some(Errno::ENOENT | Errno::ELOOP) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Where a link leads.
    pub(super) fn read_link(&self, name: impl AsRef<OsStr>) -> io::Result<OsString> {
        Ok(fcntl::readlinkat(&self.descriptor, single(name.as_ref())?)?)
    }

    /// What is in a file.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let file = open_below(self.descriptor.as_fd(), path, flags, PLAIN | ResolveFlag::RESOLVE_NO_XDEV)?;
        let mut content = Vec::new();
        File::from(file).read_to_end(&mut content)?;
        Ok(content)
    }

    /// A new file, which must not be there yet, with these permissions.
    pub(super) fn write_new(&self, name: &OsStr, content: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor = fcntl::openat(&self.descriptor, single(name)?, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let mut file = File::from(descriptor);
        file.write_all(content)?;
        stat::fchmod(&file, bits(mode))?;
        Ok(file)
    }

    /// Links a name.
    pub(super) fn link(&self, target: &Path, name: &OsStr) -> io::Result<()> {
        Ok(unistd::symlinkat(target, &self.descriptor, single(name)?)?)
    }

    /// Renames in this directory; what has the new name gives way.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(fcntl::renameat(&self.descriptor, single(from)?, &self.descriptor, single(to)?)?)
    }

    /// Moves to another directory; nothing may have the new name.
    pub(super) fn move_to(&self, name: &OsStr, other: &Self, new: &OsStr) -> io::Result<()> {
        let flags = RenameFlags::RENAME_NOREPLACE;
        Ok(fcntl::renameat2(&self.descriptor, single(name)?, &other.descriptor, single(new)?, flags)?)
    }

    /// Removes a name that is no directory's. One that is gone is fine.
    pub(super) fn unlink(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.remove(name.as_ref(), UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty directory. One that is gone is fine.
    pub(super) fn remove_empty(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.remove(name.as_ref(), UnlinkatFlags::RemoveDir)
    }

    fn remove(&self, name: &OsStr, flags: UnlinkatFlags) -> io::Result<()> {
        match unistd::unlinkat(&self.descriptor, single(name)?, flags) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What it is itself.
    pub(super) fn status(&self) -> io::Result<FileStat> {
        Ok(stat::fstat(&self.descriptor)?)
    }

    /// Sets its permissions, whatever the umask is.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(stat::fchmod(&self.descriptor, bits(mode))?)
    }

    /// The way to it through `/proc`, for system calls that take no descriptor. Good while it is open.
    pub(super) fn proc_path(&self) -> PathBuf {
        proc_path(&self.descriptor)
    }

    /// The way to a name in it, likewise; only for calls that do not follow a link there.
    pub(super) fn proc_path_of(&self, name: &OsStr) -> io::Result<PathBuf> {
        Ok(self.proc_path().join(single(name)?))
    }

    /// Where it is now, as the mount table spells it.
    pub(super) fn real_path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(self.proc_path())
    }
}

impl From<OwnedFd> for Dir {
    fn from(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.descriptor
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Opens what `path` leads to below a directory.
pub(super) fn open_below(root: BorrowedFd<'_>, path: &Path, flags: OFlag, how: ResolveFlag) -> io::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(how);
    let mut left = ATTEMPTS;
    loop {
        match fcntl::openat2(root, path, how) {
            Err(Errno::EAGAIN) if left > 0 => left -= 1,
            opened => return Ok(opened?),
        }
    }
}

/// The way to an open file through `/proc`.
pub(super) fn proc_path(descriptor: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Whether it is a directory.
pub(super) fn is_directory(status: &FileStat) -> bool {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

/// Gives an open file or directory to somebody, and adds permissions: those that a change of owner takes away too.
pub(super) fn give(file: impl AsFd + Copy, user: Option<u32>, group: Option<u32>, add: u32) -> io::Result<()> {
    let mode = stat::fstat(file)?.st_mode;
    unistd::fchown(file, user.map(Uid::from_raw), group.map(Gid::from_raw))?;
    Ok(stat::fchmod(file, bits(mode | add))?)
}

/// Permission bits from a number.
pub(super) fn bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

/// Refuses what is more than a name: it could lead elsewhere.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name && !name.as_bytes().contains(&b'/') => Ok(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a name", name.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_names_are_taken() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open(root.path()).unwrap();
        for name in ["", ".", "..", "/", "/etc", "a/b", "a/", "./a", "../a"] {
            assert!(dir.make(name, 0o750).is_err(), "{name:?}");
        }
        assert!(dir.names().unwrap().is_empty());
    }

    #[test]
    fn no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::fs::write(root.path().join("real/file"), "x").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        let dir = Dir::open(root.path()).unwrap();
        assert!(dir.enter("real", Mounts::Refuse).is_ok());
        assert_eq!(dir.read(Path::new("real/file")).unwrap(), b"x");
        for path in ["link", "link/.", "real/../link", "/", ".."] {
            assert!(dir.enter(path, Mounts::Enter).is_err(), "{path}");
        }
        assert!(dir.read(Path::new("link/file")).is_err());
        assert!(dir.make("link", 0o750).is_err());
        assert!(dir.find("link").unwrap().is_some_and(|status| !is_directory(&status)));
    }

    #[test]
    fn permissions_do_not_depend_on_the_umask() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open(root.path()).unwrap();
        for mode in [0o777, 0o750, 0o2770] {
            dir.make("a", mode).unwrap();
            let found = std::fs::metadata(root.path().join("a")).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode);
        }
    }
}
