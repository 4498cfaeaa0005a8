//! The kernel's table of mounts.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// This process's own view.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// Everything that is mounted at or below a path without links, the innermost and newest first.
///
/// # Errors
/// When the table cannot be read or understood: then nothing is known, not even that nothing is mounted.
pub(super) fn at_or_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut below: Vec<PathBuf> =
        parse(&std::fs::read(TABLE)?)?.into_iter().filter(|mounted| mounted.starts_with(path)).collect();
    // The table is in the order of mounting.
    below.reverse();
    below.sort_by_key(|mounted| std::cmp::Reverse(mounted.components().count()));
    Ok(below)
}

/// The mount points: the fifth field of every line.
fn parse(table: &[u8]) -> io::Result<Vec<PathBuf>> {
    let lines = table.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let points: Option<Vec<PathBuf>> =
        lines.map(|line| line.split(|byte| *byte == b' ').nth(4).and_then(unescape)).collect();
    // There is always a root.
    let known = points.filter(|points| !points.is_empty());
    known.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the mount table cannot be understood"))
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 8).ok()?);
        rest = rest.get(3..)?;
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read() {
        let table = b"22 1 8:1 / / rw shared:1 - ext4 /dev/sda rw\n\
            90 22 0:5 / /a\\040b/\\134c rw,relatime shared:2 master:1 - tmpfs tmpfs rw\n";
        assert_eq!(parse(table).unwrap(), [PathBuf::from("/"), PathBuf::from("/a b/\\c")]);
        for broken in ["", "\n", "1 2 3", "1 2 3 4 relative rw", "1 2 3 4 /a\\0 rw", "1 2 3 4 /a\\xyz rw"] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_innermost_comes_first() {
        let all = at_or_below(Path::new("/")).unwrap();
        assert_eq!(all.last(), Some(&PathBuf::from("/")));
        assert!(at_or_below(Path::new("/no/such/path")).unwrap().is_empty());
    }
}
