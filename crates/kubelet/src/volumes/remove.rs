//! Taking directories away: what is mounted in them first, then what is in them, never leaving their mount.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::dir::{Dir, Mounts, is_directory};
use super::mount_table;

/// So many directories are open at a time; what lies deeper is brought up first.
const DEEPEST: usize = 32;
/// Unmounts and removes a directory and everything in it. One that is gone is fine.
///
/// # Errors
/// When something is still in use, or the mount table cannot be read; then nothing has been removed that is not the
/// directory's own.
pub(super) fn remove(parent: &Dir, name: &OsStr) -> io::Result<()> {
    remove_by(parent, name, mount_table::at_or_below)
}

/// Where mounts are looked for.
type Table = fn(&Path) -> io::Result<Vec<PathBuf>>;

fn remove_by(parent: &Dir, name: &OsStr, table: Table) -> io::Result<()> {
    let Some(found) = parent.find(name)? else { return Ok(()) };
    unmount_by(parent, name, table)?;
    if !is_directory(&found) {
        return parent.unlink(name);
    }
    clear(&parent.enter(name, Mounts::Refuse)?)?;
    parent.remove_empty(name)
}

/// Unmounts everything at and below a name.
///
/// # Errors
/// When something is in use, or the mount table cannot be read.
pub(super) fn unmount(parent: &Dir, name: &OsStr) -> io::Result<()> {
    unmount_by(parent, name, mount_table::at_or_below)
}

fn unmount_by(parent: &Dir, name: &OsStr, table: Table) -> io::Result<()> {
    let root = parent.real_path()?;
    let mut left = usize::MAX;
    let mut last = Ok(());
    loop {
        let mounted = table(&root.join(name))?;
        if mounted.is_empty() {
            return Ok(());
        }
        if mounted.len() >= left {
            return last;
        }
        left = mounted.len();
        last = Err(io::Error::other("more is mounted again and again"));
        for path in mounted {
            let below = path.strip_prefix(&root).map_err(io::Error::other)?;
            // A mount that is hidden by another comes in the next round.
            if let Err(error) = unmount_one(parent, below) {
                last = Err(error);
            }
        }
    }
}

/// A path from the table is only a name: what it leads to is found without following any link, or not at all.
fn unmount_one(root: &Dir, below: &Path) -> io::Result<()> {
    let Some(name) = below.file_name() else { return Err(io::Error::other("a mount on the directory itself")) };
    let way = below.parent().filter(|way| !way.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = root.enter(way, Mounts::Enter)?;
    Ok(umount2(&parent.proc_path_of(name)?, MntFlags::UMOUNT_NOFOLLOW)?)
}

/// Removes everything in a directory. The first mount is an error: it is neither entered nor removed.
fn clear(top: &Dir) -> io::Result<()> {
    let mut lifted = Lifted(0);
    loop {
        let before = lifted.0;
        clear_one(top, top, DEEPEST, &mut lifted)?;
        if lifted.0 == before {
            return Ok(());
        }
    }
}

/// How many directories have been moved up to the top.
struct Lifted(u64);

/// Recursion and open descriptors are bounded, however deep a container has nested its directories.
fn clear_one(dir: &Dir, top: &Dir, depth: usize, lifted: &mut Lifted) -> io::Result<()> {
    for name in dir.names()? {
        match dir.find(&name)? {
            None => {}
            Some(found) if !is_directory(&found) => dir.unlink(&name)?,
            Some(_) if depth == 0 => lift(dir, &name, top, lifted)?,
            Some(_) => {
                clear_one(&dir.enter(&name, Mounts::Refuse)?, top, depth - 1, lifted)?;
                dir.remove_empty(&name)?;
            }
        }
    }
    Ok(())
}

fn lift(dir: &Dir, name: &OsStr, top: &Dir, lifted: &mut Lifted) -> io::Result<()> {
    loop {
        lifted.0 += 1;
        let new = OsString::from(format!("..lifted-{}", lifted.0));
        match dir.move_to(name, top, &new) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            moved => return moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::mount::{MsFlags, mount};

    use super::*;
    use crate::volumes::testing::{Disk, needs_root};

    fn open(disk: &Disk) -> Dir {
        Dir::open(disk.path()).unwrap()
    }

    #[test]
    fn what_is_linked_stays() {
        let disk = Disk::new();
        let canary = disk.canary();
        let victim = disk.path().join("victim");
        fs::create_dir_all(victim.join("a/b")).unwrap();
        symlink(canary.parent().unwrap(), victim.join("a/link")).unwrap();
        symlink(&canary, victim.join("file")).unwrap();
        symlink(canary.parent().unwrap(), disk.path().join("itself")).unwrap();
        remove(&open(&disk), OsStr::new("victim")).unwrap();
        remove(&open(&disk), OsStr::new("itself")).unwrap();
        remove(&open(&disk), OsStr::new("absent")).unwrap();
        assert!(!victim.exists() && disk.path().join("itself").symlink_metadata().is_err());
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
    }

    #[test]
    fn depth_is_no_obstacle() {
        let disk = Disk::new();
        let top = open(&disk);
        let mut dir = top.make("deep", 0o755).unwrap();
        dir.make("..lifted-1", 0o755).unwrap();
        for _ in 0..1_500 {
            dir = dir.make("d", 0o755).unwrap();
        }
        dir.write_new(OsStr::new("file"), b"", 0o644).unwrap();
        drop(dir);
        remove(&top, OsStr::new("deep")).unwrap();
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    }

    #[test]
    fn mounts_are_taken_off_and_what_is_in_them_stays() {
        if !needs_root() {
            return;
        }
        let disk = Disk::new();
        let canary = disk.canary();
        let victim = disk.path().join("victim");
        fs::create_dir_all(victim.join("a dir/inner")).unwrap();
        let bind = |at: &Path| mount(canary.parent(), at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        bind(&victim.join("a dir"));
        fs::create_dir_all(canary.parent().unwrap().join("deeper")).unwrap();
        bind(&victim.join("a dir/deeper"));
        bind(&victim.join("a dir"));
        fs::write(victim.join("file"), "").unwrap();
        mount(Some(&canary), &victim.join("file"), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let busy = fs::File::open(victim.join("file")).unwrap();
        assert!(remove(&open(&disk), OsStr::new("victim")).is_err(), "what is in use is not forced");
        drop(busy);
        remove(&open(&disk), OsStr::new("victim")).unwrap();
        assert!(!victim.exists());
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
    }

    #[test]
    fn without_a_mount_table_nothing_is_removed() {
        let disk = Disk::new();
        fs::create_dir(disk.path().join("victim")).unwrap();
        let unreadable = |_: &Path| Err(io::Error::other("unreadable"));
        assert!(remove_by(&open(&disk), OsStr::new("victim"), unreadable).is_err());
        assert!(disk.path().join("victim").exists());
    }

    #[test]
    fn a_mount_that_is_still_there_is_not_entered() {
        if !needs_root() {
            return;
        }
        let disk = Disk::new();
        let canary = disk.canary();
        fs::create_dir_all(disk.path().join("victim/a")).unwrap();
        let at = disk.path().join("victim/a");
        mount(canary.parent(), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let hiding = |_: &Path| Ok(Vec::new());
        assert!(remove_by(&open(&disk), OsStr::new("victim"), hiding).is_err());
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
    }

    #[test]
    fn links_in_the_way_of_an_unmount_are_not_followed() {
        if !needs_root() {
            return;
        }
        let disk = Disk::new();
        let canary = disk.canary();
        let elsewhere = canary.parent().unwrap();
        fs::create_dir(elsewhere.join("m")).unwrap();
        mount(Some("tmpfs"), &elsewhere.join("m"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::create_dir(disk.path().join("victim")).unwrap();
        symlink(elsewhere, disk.path().join("victim/a")).unwrap();
        symlink(elsewhere.join("m"), disk.path().join("victim/b")).unwrap();
        for way in ["victim/a/m", "victim/b"] {
            assert!(unmount_one(&open(&disk), Path::new(way)).is_err(), "{way}");
        }
        assert_eq!(mount_table::at_or_below(&elsewhere.join("m")).unwrap().len(), 1);
    }
}
