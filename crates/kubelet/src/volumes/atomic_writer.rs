//! Replaces all files of a volume at once: readers see the old set or the new one, never a mixture.
//!
//! Files live in `..<time>`, `..data` links to it, and the visible names link through `..data`; renaming a new
//! `..data` over the old one is the moment of change. The names are upstream's, since people watch for them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::{Ownership, Payload, VolumeError};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Brings the directory up to date; says nothing and does nothing if it is already. Blocking.
///
/// # Errors
/// When a path in the payload leaves the volume, or the disk refuses.
pub fn write(volume: &Path, payload: &Payload, ownership: &Ownership) -> Result<(), VolumeError> {
    for path in payload.keys() {
        check_path(Path::new(path))?;
    }
    if is_current(volume, payload) {
        return Ok(());
    }
    let old = fs::read_link(volume.join(DATA)).ok();
    let fresh = write_files(volume, payload, ownership)?;
    swap(volume, &fresh)?;
    link_names(volume, payload)?;
    if let Some(old) = old.filter(|old| *old != fresh) {
        let old = volume.join(old);
        fs::remove_dir_all(&old).map_err(VolumeError::disk("removing", &old))?;
    }
    Ok(())
}

/// Only plain relative paths, and no name of the writer's own.
fn check_path(path: &Path) -> Result<(), VolumeError> {
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    let ours = path.to_string_lossy().starts_with("..");
    if plain && !ours && path.components().next().is_some() {
        return Ok(());
    }
    let refused = io::Error::new(io::ErrorKind::InvalidInput, "the path must stay in the volume");
    Err(VolumeError::disk("writing", path)(refused))
}

fn is_current(volume: &Path, payload: &Payload) -> bool {
    let data = volume.join(DATA);
    let Ok(present) = files_below(&data) else { return false };
    let wanted: BTreeSet<PathBuf> = payload.keys().map(PathBuf::from).collect();
    let linked = top_names(payload).iter().all(|name| volume.join(name).symlink_metadata().is_ok());
    present == wanted
        && linked
        && payload.iter().all(|(path, file)| {
            let path = data.join(path);
            let same_mode =
                fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o777 >= file.mode & 0o777);
            same_mode && fs::read(&path).is_ok_and(|content| content == file.content)
        })
}

fn files_below(directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        for entry in fs::read_dir(directory.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

/// Writes a fresh set; answers the name of its directory.
fn write_files(volume: &Path, payload: &Payload, ownership: &Ownership) -> Result<PathBuf, VolumeError> {
    let name = PathBuf::from(format!("..{}", api_types::jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%9f")));
    let directory = volume.join(&name);
    make_directory(&directory, ownership)?;
    for (path, file) in payload {
        let path = directory.join(path);
        for missing in missing_parents(&directory, &path) {
            make_directory(&missing, ownership)?;
        }
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(file.mode).open(&path);
        opened
            .and_then(|mut open| open.write_all(&file.content))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)))
            .map_err(VolumeError::disk("writing", &path))?;
        ownership.apply_to_file(&path)?;
    }
    Ok(name)
}

fn missing_parents(root: &Path, path: &Path) -> Vec<PathBuf> {
    let parents = path.ancestors().skip(1).take_while(|parent| *parent != root && !parent.exists());
    let mut missing: Vec<PathBuf> = parents.map(Path::to_owned).collect();
    missing.reverse();
    missing
}

fn make_directory(path: &Path, ownership: &Ownership) -> Result<(), VolumeError> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(VolumeError::disk("creating", path))?;
    ownership.apply_to_directory(path)
}

fn swap(volume: &Path, fresh: &Path) -> Result<(), VolumeError> {
    let new = volume.join(DATA_NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(VolumeError::disk("removing", &new)(error));
        }
        _ => {}
    }
    symlink(fresh, &new).map_err(VolumeError::disk("linking", &new))?;
    fs::rename(&new, volume.join(DATA)).map_err(VolumeError::disk("renaming", &new))
}

fn top_names(payload: &Payload) -> BTreeSet<&OsStr> {
    payload.keys().filter_map(|path| Path::new(path).components().next()).map(Component::as_os_str).collect()
}

/// Links the visible names, and removes those that are no more.
fn link_names(volume: &Path, payload: &Payload) -> Result<(), VolumeError> {
    let names = top_names(payload);
    for name in &names {
        let link = volume.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(name), &link).map_err(VolumeError::disk("linking", &link))?;
        }
    }
    for entry in fs::read_dir(volume).map_err(VolumeError::disk("reading", volume))?.flatten() {
        let name = entry.file_name();
        let ours = name.to_string_lossy().starts_with("..");
        if !ours && !names.contains(name.as_os_str()) {
            fs::remove_file(entry.path()).map_err(VolumeError::disk("removing", &entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::payload::File;
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |content: &str| File { content: content.as_bytes().to_vec(), mode: 0o640 };
        files.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    }

    fn visible(volume: &Path) -> Vec<String> {
        let names = fs::read_dir(volume).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..")).collect();
        names.sort();
        names
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
            write(volume, &payload(files), &Ownership::default()).unwrap();
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
        write(directory.path(), &payload(&[("a", "1")]), &Ownership::default()).unwrap();
        let before = fs::read_link(directory.path().join(DATA)).unwrap();
        write(directory.path(), &payload(&[("a", "1")]), &Ownership::default()).unwrap();
        assert_eq!(fs::read_link(directory.path().join(DATA)).unwrap(), before);
    }

    #[test]
    fn paths_stay_in_the_volume() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["../x", "/etc/passwd", "a/../../x", "..data", "..x", ""] {
            let written = write(directory.path(), &payload(&[(path, "")]), &Ownership::default());
            assert!(written.is_err(), "{path:?}");
        }
    }
}
