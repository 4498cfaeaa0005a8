//! `fsGroup` of volumes that were there before: everything in them is given to the group, by descriptor, through no link
//! and onto no mount.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, ResolveFlag};
use nix::sys::stat::{self, SFlag};
use nix::unistd::{self, Gid};

use super::dir::{Dir, Mounts, is_directory, open_below, proc_path};
use super::ownership::Share;

/// Directories deeper than this keep whose they are: so many are open at a time.
const DEEPEST: usize = 256;

/// When a volume's files change hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangePolicy {
    /// Whenever it is set up.
    Always,
    /// When the volume's own directory is not the group's.
    OnRootMismatch,
}

/// A directory that is being walked, and what is left of it.
struct Level {
    dir: Dir,
    names: Vec<OsString>,
}

/// Gives a directory and everything in it to the group. The directory itself comes last: when it is the group's, all is.
pub(super) fn give_tree(root: &Dir, share: Share, policy: ChangePolicy) -> io::Result<()> {
    let Some(group) = share.group() else { return Ok(()) };
    let own = root.status()?;
    let is_given = own.st_gid == group && own.st_mode & 0o7777 == share.of_directory(own.st_mode) & 0o7777;
    if policy == ChangePolicy::OnRootMismatch && is_given {
        return Ok(());
    }
    let mut levels = vec![Level { names: root.names()?, dir: root.reopen()? }];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { break };
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        // What goes, or becomes something else, meanwhile is left to whoever does that.
        match level.dir.find(&name)? {
            None => {}
            Some(found) if is_directory(&found) => {
                if let Some(next) = enter(&level.dir, &name, share, depth)? {
                    levels.push(next);
                }
            }
            Some(_) => give_one(&level.dir, &name, share, group)?,
        }
    }
    share.give_directory(root.as_fd())
}

fn enter(parent: &Dir, name: &OsString, share: Share, depth: usize) -> io::Result<Option<Level>> {
    let Ok(dir) = parent.enter(Path::new(name), Mounts::Refuse) else { return Ok(None) };
    share.give_directory(dir.as_fd())?;
    if depth >= DEEPEST {
        tracing::warn!(depth, "directories of a volume that are this deep are not given to its group");
        return Ok(None);
    }
    Ok(Some(Level { names: dir.names()?, dir }))
}

fn give_one(dir: &Dir, name: &OsString, share: Share, group: u32) -> io::Result<()> {
    let how = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let opened = open_below(dir.as_fd(), Path::new(name), OFlag::O_PATH | OFlag::O_NOFOLLOW, how);
    let Ok(file) = opened else { return Ok(()) };
    let found = stat::fstat(&file)?;
    let wanted = share.of_file(found.st_mode);
    if found.st_gid == group && found.st_mode == wanted {
        return Ok(());
    }
    unistd::fchownat(&file, "", None, Some(Gid::from_raw(group)), AtFlags::AT_EMPTY_PATH)?;
    // A link has no permissions of its own.
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG {
        fs::set_permissions(proc_path(&file), Permissions::from_mode(wanted & 0o7777))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::volumes::Ownership;
    use crate::volumes::testing::{Disk, needs_root};

    fn said(path: &Path) -> String {
        let found = fs::symlink_metadata(path).unwrap();
        format!("{} {:o}", found.gid(), found.mode() & 0o7777)
    }

    #[test]
    fn everything_in_the_volume_is_given_and_nothing_else() {
        if !needs_root() {
            return;
        }
        let disk = Disk::new();
        let at = |name: &str| disk.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        for name in ["a", "a/b", "."] {
            fs::set_permissions(at(name), Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(at("a/b/file"), "").unwrap();
        fs::set_permissions(at("a/b/file"), Permissions::from_mode(0o600)).unwrap();
        symlink(disk.canary(), at("a/link")).unwrap();
        symlink(disk.canary().parent().unwrap(), at("a/directory")).unwrap();
        let before = said(&disk.canary());
        let root = Dir::open(disk.path()).unwrap();
        let share = Share::write(Ownership { group: Some(77), user: None });
        give_tree(&root, share, ChangePolicy::Always).unwrap();
        let all = [".", "a", "a/b", "a/b/file", "a/link"].map(|name| said(&at(name)));
        assert_eq!(all, ["77 2775", "77 2775", "77 2775", "77 660", "77 777"]);
        assert_eq!(said(&disk.canary()), before);
        assert_eq!(said(disk.canary().parent().unwrap()).split_once(' ').unwrap().0, before.split_once(' ').unwrap().0);
        // Who has it is not looked for again, if so wanted.
        fs::write(at("new"), "").unwrap();
        unistd::chown(&at("new"), None, Some(Gid::from_raw(5))).unwrap();
        give_tree(&root, share, ChangePolicy::OnRootMismatch).unwrap();
        assert!(said(&at("new")).starts_with("5 "));
        give_tree(&root, share, ChangePolicy::Always).unwrap();
        assert!(said(&at("new")).starts_with("77 "));
    }
}
