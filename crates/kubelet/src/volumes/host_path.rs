//! `hostPath`: what `type` demands or makes.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{VolumeError, make_directory};

/// Checks that the path is what `kind` says, or makes it.
pub(super) fn check(path: &Path, kind: &str) -> Result<(), VolumeError> {
    let found = fs::metadata(path);
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_ok_and(|metadata| test(&metadata.file_type()));
    let (good, expected) = match kind {
        // Docker makes a directory where nothing is; other runtimes refuse, and so does a bind mount.
        "" => {
            if found.is_err() {
                make_directory(path, 0o755)?;
            }
            (true, "")
        }
        "DirectoryOrCreate" => {
            if found.is_err() {
                make_directory(path, 0o755)?;
            }
            (path.is_dir(), "a directory")
        }
        "FileOrCreate" => {
            if found.is_err() {
                fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(VolumeError::disk("creating", path))?;
            }
            (path.is_file(), "a file")
        }
        "Directory" => (is(fs::FileType::is_dir), "a directory"),
        "File" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(|kind| kind.is_socket()), "a socket file"),
        "CharDevice" => (is(|kind| kind.is_char_device()), "a character device"),
        "BlockDevice" => (is(|kind| kind.is_block_device()), "a block device"),
        _ => (false, "of a known hostPath type"),
    };
    if good { Ok(()) } else { Err(VolumeError::HostPath { path: path.display().to_string(), expected }) }
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
            (root.path().to_owned(), "Directory", true),
            (file.clone(), "Directory", false),
            (file.clone(), "File", true),
            (root.path().to_owned(), "File", false),
            (root.path().join("new-dir"), "Directory", false),
            (root.path().join("new-dir"), "DirectoryOrCreate", true),
            (root.path().join("new-file"), "FileOrCreate", true),
            (root.path().join("new-file"), "DirectoryOrCreate", false),
            ("/dev/null".into(), "CharDevice", true),
            ("/dev/null".into(), "BlockDevice", false),
            (file, "Socket", false),
            (root.path().join("any"), "", true),
        ];
        for (path, kind, good) in cases {
            assert_eq!(check(&path, kind).is_ok(), good, "{} as {kind}", path.display());
        }
    }
}
