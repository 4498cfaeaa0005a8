//! An allocation on disk, in the pod's directory: a kubelet that is started again must not take a wish for a promise.

use std::io::{self, Read};
use std::path::Path;

use super::Allocation;

/// More than any pod's allocation needs, in bytes.
const LARGEST: u64 = 1 << 20;

/// The allocation in this file; `None` when there is none. Blocking.
///
/// # Errors
/// When it cannot be read or understood.
pub fn read(path: &Path) -> io::Result<Option<Allocation>> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map(Some).map_err(io::Error::from)
}

/// Writes the allocation, whole or not at all, in a directory that is there. Blocking.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, allocation: &Allocation) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, allocation)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
