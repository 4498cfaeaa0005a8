//! `hostPath`: a path of the node, and what `type` demands or makes.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use api_types::core::Volume;
use async_trait::async_trait;

use super::{Attributes, Medium, Request, VolumePlugin};
use crate::volumes::{PodDirectory, VolumeError, blocking};

/// Permissions of what is made, as upstream.
const DIRECTORY: u32 = 0o755;
const FILE: u32 = 0o644;

pub(super) struct HostPath;

#[async_trait]
impl VolumePlugin for HostPath {
    fn name(&self) -> &'static str {
        "host-path"
    }

    fn supports(&self, volume: &Volume) -> bool {
        volume.host_path.is_some()
    }

    fn attributes(&self, _: &Volume) -> Attributes {
        Attributes { medium: Medium::Node, read_only: false, owned: false }
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<PathBuf, VolumeError> {
        let source = request.volume.host_path.clone().unwrap_or_default();
        let path = PathBuf::from(&source.path);
        blocking(move || check(&path, source.type_.as_deref().unwrap_or_default()).map(|()| path)).await
    }

    async fn tear_down(&self, _: &PodDirectory, _: &str) -> Result<(), VolumeError> {
        Ok(())
    }
}

/// Checks that the path is what `kind` says, or makes it.
pub(super) fn check(path: &Path, kind: &str) -> Result<(), VolumeError> {
    let refused = |why: String| Err(VolumeError::HostPath(why));
    if path.components().any(|component| component == Component::ParentDir) {
        return refused(format!("invalid HostPath `{}`: must not contain '..'", path.display()));
    }
    let (wanted, described) = match kind {
        // Docker makes a directory where nothing is; other runtimes refuse, and so does a bind mount.
        "" => return if path.exists() { Ok(()) } else { make_directory(path) },
        "DirectoryOrCreate" if !path.exists() => return make_directory(path),
        "FileOrCreate" if !path.exists() => return make_file(path),
        "Directory" | "DirectoryOrCreate" => ("Directory", "directory"),
        "File" | "FileOrCreate" => ("File", "file"),
        "Socket" => ("Socket", "socket file"),
        "CharDevice" => ("CharDevice", "character device"),
        "BlockDevice" => ("BlockDevice", "block device"),
        other => return refused(format!("{other} is an invalid volume type")),
    };
    let path_text = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => refused(format!("hostPath {path_text} doesn't exist")),
        Err(error) => refused(format!(
            "hostPath type check failed, {path_text} is not a {described}, unable to determine its type: {error}"
        )),
        Ok(found) => match type_of(found.file_type()) {
            found if found == wanted => Ok(()),
            found => refused(format!("hostPath type check failed: {path_text} is not a {described}, it's a {found}")),
        },
    }
}

fn type_of(found: fs::FileType) -> &'static str {
    let types: [(&str, bool); 5] = [
        ("Directory", found.is_dir()),
        ("File", found.is_file()),
        ("Socket", found.is_socket()),
        ("CharDevice", found.is_char_device()),
        ("BlockDevice", found.is_block_device()),
    ];
    types.into_iter().find(|(_, is)| *is).map_or("named pipe", |(name, _)| name)
}

fn make_directory(path: &Path) -> Result<(), VolumeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY).create(path);
    made.map_err(VolumeError::disk("creating", path))
}

fn make_file(path: &Path) -> Result<(), VolumeError> {
    let made = fs::OpenOptions::new().create(true).append(true).mode(FILE).open(path);
    made.map(drop).map_err(VolumeError::disk("creating", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_or_made() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let cases = [
            (root.path().to_owned(), "Directory", None),
            (file.clone(), "Directory", Some("PATH is not a directory, it's a File")),
            (file.clone(), "File", None),
            (root.path().to_owned(), "File", Some("PATH is not a file, it's a Directory")),
            (root.path().join("new-dir"), "Directory", Some("hostPath PATH doesn't exist")),
            (root.path().join("new-dir"), "DirectoryOrCreate", None),
            (root.path().join("new-file"), "FileOrCreate", None),
            (root.path().join("new-file"), "DirectoryOrCreate", Some("PATH is not a directory, it's a File")),
            ("/dev/null".into(), "CharDevice", None),
            ("/dev/null".into(), "BlockDevice", Some("PATH is not a block device, it's a CharDevice")),
            (file.clone(), "Socket", Some("PATH is not a socket file, it's a File")),
            (file.join("x"), "File", Some("PATH is not a file, unable to determine its type: ")),
            (root.path().join("any"), "", None),
            (root.path().join("../any"), "", Some("invalid HostPath `PATH`: must not contain '..'")),
            (root.path().to_owned(), "Door", Some("Door is an invalid volume type")),
        ];
        for (path, kind, expected) in cases {
            let found = check(&path, kind).map_err(|error| error.to_string());
            match expected.map(|words| words.replace("PATH", &path.display().to_string())) {
                None => assert_eq!(found, Ok(()), "{} as {kind}", path.display()),
                Some(words) => assert!(found.as_ref().is_err_and(|why| why.contains(&words)), "{found:?}: {words}"),
            }
        }
    }
}
