//! Replaces all files of a volume at once: readers see the old set or the new one, never a mixture.
//!
//! Files live in `..<time>`, `..data` links to it, and the visible names link through `..data`; renaming a new
//! `..data` over the old one is the moment of change. The names are upstream's, since people watch for them.
//! Nothing in the volume is trusted: no link is followed, `..data` only counts if it names a directory beside it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::FileStat;

use super::dir::{Dir, Mounts, is_directory};
use super::ownership::Share;
use super::payload::File;
use super::{Payload, remove};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";
/// Permissions of the directories.
const DIRECTORY: u32 = 0o755;

/// Brings the directory up to date; says nothing and does nothing if it is already. Blocking.
///
/// # Errors
/// When a path in the payload leaves the volume, or the disk refuses.
pub(super) fn write(volume: &Dir, payload: &Payload, share: Share) -> io::Result<()> {
    for path in payload.keys() {
        check_path(Path::new(path))?;
    }
    let current = current(volume)?.filter(|(_, data)| is_current(data, payload, share));
    let name = match current {
        Some((name, _)) => name,
        None => renew(volume, payload, share)?,
    };
    link_names(volume, payload)?;
    remove_stale(volume, &name)
}

/// Writes all files anew and has the names lead to them; the name of their directory. What an attempt writes that fails
/// half-way does not stay: the next attempts would fill the disk or, of a secret, the memory.
fn renew(volume: &Dir, payload: &Payload, share: Share) -> io::Result<OsString> {
    let present = volume.read_link(DATA).unwrap_or_default();
    remove_stale(volume, &present)?;
    let renewed = write_files(volume, payload, share).and_then(|fresh| swap(volume, &fresh).map(|()| fresh));
    if renewed.is_err() {
        remove_stale(volume, &present)?;
    }
    renewed
}

/// Only plain relative paths, and no name of the writer's own.
fn check_path(path: &Path) -> io::Result<()> {
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    let ours = path.as_os_str().as_bytes().starts_with(b"..");
    if plain && !ours && path.components().next().is_some() {
        return Ok(());
    }
    let refused = format!("{}: the path must stay in the volume", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, refused))
}

/// The directory of the present files.
fn current(volume: &Dir) -> io::Result<Option<(OsString, Dir)>> {
    let Ok(name) = volume.read_link(DATA) else { return Ok(None) };
    if !is_ours(&name) || name == DATA || name == DATA_NEW {
        return Ok(None);
    }
    Ok(volume.enter(&name, Mounts::Refuse).ok().map(|data| (name, data)))
}

/// Whether the writer made something of this name.
fn is_ours(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}

fn is_current(data: &Dir, payload: &Payload, share: Share) -> bool {
    let Ok(present) = files_below(data) else { return false };
    present.len() == payload.len()
        && payload.iter().all(|(path, file)| {
            let path = Path::new(path);
            present.get(path).is_some_and(|found| is_same(found, file, share))
                && data.read(path).is_ok_and(|content| content == file.content)
        })
}

fn is_same(found: &FileStat, file: &File, share: Share) -> bool {
    found.st_mode & 0o777 == share.of_file(file.mode)
        && share.group().is_none_or(|group| group == found.st_gid)
        && file.owner.is_none_or(|owner| owner == found.st_uid)
}

type Found = std::collections::BTreeMap<PathBuf, FileStat>;

fn files_below(directory: &Dir) -> io::Result<Found> {
    let mut found = Found::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let here = if relative.as_os_str().is_empty() {
            directory.reopen()?
        } else {
            directory.enter(&relative, Mounts::Refuse)?
        };
        for name in here.names()? {
            let Some(status) = here.find(&name)? else { continue };
            let path = relative.join(&name);
            if is_directory(&status) {
                open.push(path);
            } else {
                found.insert(path, status);
            }
        }
    }
    Ok(found)
}

/// Writes a fresh set; answers the name of its directory.
fn write_files(volume: &Dir, payload: &Payload, share: Share) -> io::Result<OsString> {
    let name = OsString::from(format!("..{}", api_types::jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%9f")));
    let directory = volume.make_new(&name, DIRECTORY)?;
    share.give_directory(directory.as_fd())?;
    for (path, file) in payload {
        let path = Path::new(path);
        let mut parent = directory.reopen()?;
        for component in path.parent().into_iter().flat_map(Path::components) {
            parent = parent.make(component.as_os_str(), DIRECTORY)?;
            share.give_directory(parent.as_fd())?;
        }
        let Some(last) = path.file_name() else { continue };
        let written = parent.write_new(last, &file.content, file.mode)?;
        share.give_file(written.as_fd(), file.owner)?;
    }
    Ok(name)
}

fn swap(volume: &Dir, fresh: &OsStr) -> io::Result<()> {
    clear_name(volume, DATA_NEW.as_ref())?;
    if volume.find(DATA)?.is_some_and(|found| is_directory(&found)) {
        clear_name(volume, DATA.as_ref())?;
    }
    volume.link(Path::new(fresh), DATA_NEW.as_ref())?;
    volume.rename(DATA_NEW.as_ref(), DATA.as_ref())
}

fn clear_name(volume: &Dir, name: &OsStr) -> io::Result<()> {
    if volume.find(name)?.is_some() { remove::remove(volume, name) } else { Ok(()) }
}

fn top_names(payload: &Payload) -> BTreeSet<&OsStr> {
    payload.keys().filter_map(|path| Path::new(path).components().next()).map(Component::as_os_str).collect()
}

/// Links the visible names, and removes those that are no more. What is no link of the writer's is left alone: other
/// volumes may be mounted on it.
fn link_names(volume: &Dir, payload: &Payload) -> io::Result<()> {
    let names = top_names(payload);
    for name in &names {
        let target = Path::new(DATA).join(name);
        match volume.read_link(name) {
            Ok(present) if present == target => continue,
            Ok(_) => volume.unlink(name)?,
            Err(_) => {}
        }
        if volume.find(name)?.is_none() {
            volume.link(&target, name)?;
        }
    }
    for name in volume.names()?.iter().filter(|name| !is_ours(name) && !names.contains(name.as_os_str())) {
        let leads_to_data = |target: OsString| Path::new(&target).starts_with(DATA);
        if volume.read_link(name).is_ok_and(leads_to_data) {
            volume.unlink(name)?;
        }
    }
    Ok(())
}

/// Removes earlier sets, and what an earlier process did not come to the end of.
fn remove_stale(volume: &Dir, current: &OsStr) -> io::Result<()> {
    let names = volume.names()?;
    for name in names.iter().filter(|name| is_ours(name) && *name != current && *name != DATA) {
        remove::remove(volume, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::Ownership;
    use super::super::testing::{Disk, needs_root};
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |content: &str| File { content: content.as_bytes().to_vec(), mode: 0o640, owner: None };
        files.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    }

    fn write(volume: &Path, payload: &Payload) -> io::Result<()> {
        super::write(&Dir::open(volume).unwrap(), payload, Share::read(Ownership::default()))
    }

    fn visible(volume: &Path) -> Vec<String> {
        let names = fs::read_dir(volume).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..")).collect();
        names.sort();
        names
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path();
        write(volume, &payload(&[("a", "1")])).unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(volume).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        for impossible in [[("a", "1"), ("a/b", "2")], [("a", "1"), (&*"x".repeat(300), "2")]] {
            assert!(write(volume, &payload(&impossible)).is_err());
            assert_eq!(names(), before);
        }
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "1");
    }

    #[test]
    fn a_volume_follows_its_payload_step_by_step() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path();
        type Files = &'static [(&'static str, &'static str)];
        let steps: [(Files, &[&str]); 5] = [
            (&[("a", "1"), ("sub/b", "2")], &["a", "sub"]),
            (&[("a", "1"), ("sub/b", "2")], &["a", "sub"]),
            (&[("a", "changed")], &["a"]),
            (&[("a", "changed"), ("c", "new")], &["a", "c"]),
            (&[], &[]),
        ];
        for (files, names) in steps {
            write(volume, &payload(files)).unwrap();
            assert_eq!(visible(volume), names);
            for (path, content) in files {
                let path = volume.join(path);
                assert_eq!(fs::read_to_string(&path).unwrap(), *content);
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            }
            let versions = fs::read_dir(volume).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
            let real = versions.filter(|entry| !entry.as_ref().unwrap().file_type().unwrap().is_symlink()).count();
            assert_eq!(real, 1, "old versions are removed");
        }
    }

    #[test]
    fn nothing_is_touched_when_nothing_changes() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &payload(&[("a", "1")])).unwrap();
        let before = fs::read_link(directory.path().join(DATA)).unwrap();
        write(directory.path(), &payload(&[("a", "1")])).unwrap();
        assert_eq!(fs::read_link(directory.path().join(DATA)).unwrap(), before);
    }

    #[test]
    fn a_link_in_place_of_the_data_leads_nowhere() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let canary = outside.path().join("canary");
        for target in [outside.path().to_owned(), Path::new("..").join(outside.path().file_name().unwrap())] {
            fs::write(&canary, "alive").unwrap();
            write(directory.path(), &payload(&[("a", "1")])).unwrap();
            fs::remove_file(directory.path().join(DATA)).unwrap();
            symlink(&target, directory.path().join(DATA)).unwrap();
            write(directory.path(), &payload(&[("a", "2")])).unwrap();
            assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), "2");
            assert_eq!(fs::read_to_string(&canary).unwrap(), "alive", "{}", target.display());
        }
    }

    #[test]
    fn what_an_earlier_process_left_half_done_is_removed() {
        let disk = Disk::new();
        let volume = disk.path();
        write(volume, &payload(&[("a", "1")])).unwrap();
        fs::create_dir_all(volume.join("..2026_01_01/sub")).unwrap();
        fs::create_dir(volume.join("point")).unwrap();
        symlink("..2026_01_01", volume.join(DATA_NEW)).unwrap();
        for content in ["1", "2"] {
            write(volume, &payload(&[("a", content)])).unwrap();
            assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), content);
            let mut names: Vec<String> =
                fs::read_dir(volume).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            let current = fs::read_link(volume.join(DATA)).unwrap().into_os_string().into_string().unwrap();
            names.sort();
            let mut expected = [current, DATA.to_owned(), "a".to_owned(), "point".to_owned()];
            expected.sort();
            assert_eq!(names, expected);
        }
    }

    /// A container that does what it can, as fast as it can, in a volume that it can write to.
    #[test]
    fn a_busy_container_gets_nowhere() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let disk = Disk::new();
        let canary = disk.canary();
        let (volume, outside) = (disk.path().to_owned(), canary.parent().unwrap().to_owned());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for name in [DATA, DATA_NEW, "a", "sub"] {
                        let _ = fs::remove_file(volume.join(name));
                        let _ = symlink(&outside, volume.join(name));
                    }
                    for entry in fs::read_dir(&volume).into_iter().flatten().flatten() {
                        let _ = fs::rename(entry.path(), volume.join("..moved"));
                        let _ = symlink(&outside, entry.path());
                    }
                }
            });
            for round in 0..500 {
                let text = round.to_string();
                let _ = write(&volume, &payload(&[("a", &text), ("sub/b", &text)]));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
        let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["canary"], "nothing is written outside");
    }

    #[test]
    fn files_are_given_to_the_group_and_the_user() {
        use std::os::unix::fs::MetadataExt;
        if !needs_root() {
            return;
        }
        let disk = Disk::new();
        let dir = Dir::open(disk.path()).unwrap();
        let share = Share::read(Ownership { group: Some(77), user: None });
        let token = File { content: b"x".to_vec(), mode: 0o600, owner: Some(55) };
        let files = Payload::from([("sub/token".to_owned(), token)]);
        super::write(&dir, &files, share).unwrap();
        let found = fs::metadata(disk.path().join("sub/token")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o640, 55, 77));
        let parent = fs::metadata(disk.path().join("sub")).unwrap();
        assert_eq!((parent.mode() & 0o7777, parent.uid(), parent.gid()), (0o2755, 0, 77));
        let before = fs::read_link(disk.path().join(DATA)).unwrap();
        super::write(&dir, &files, share).unwrap();
        assert_eq!(fs::read_link(disk.path().join(DATA)).unwrap(), before);
    }

    #[test]
    fn paths_stay_in_the_volume() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["../x", "/etc/passwd", "a/../../x", "..data", "..x", ""] {
            let written = write(directory.path(), &payload(&[(path, "")]));
            assert!(written.is_err(), "{path:?}");
        }
    }
}
