//! Logs that have become too long: they are put aside, and the runtime is told to begin another. Of those put aside the
//! oldest go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use jiff::Timestamp;

use super::client::Method;
use super::protocol::{Nothing, OfId};
use super::{ContainerStatus, Result, RuntimeError, Shared};

/// How often lengths are looked at: upstream's.
const PERIOD: Duration = Duration::from_secs(10);

/// Rotates logs until the runtime is not used any more.
pub(super) async fn run(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.rotate_logs().await;
    }
}

impl Shared {
    /// Rotates the logs of running containers that are too long.
    pub(super) async fn rotate_logs(&self) {
        for container in self.cache.running() {
            if let Err(error) = self.rotate_log(&container).await {
                tracing::warn!(container = %container.id, "rotating its log: {error}");
            }
        }
    }

    async fn rotate_log(&self, container: &ContainerStatus) -> Result<()> {
        let Some(log) = container.log_path.clone() else { return Ok(()) };
        let (max_size, kept) = (self.config.log_max_size, self.config.log_max_files.saturating_sub(1));
        let aside = tokio::task::spawn_blocking(move || put_aside(&log, max_size, kept)).await;
        let aside = aside.map_err(io::Error::other).and_then(|aside| aside);
        let aside =
            aside.map_err(|source| RuntimeError::Broken { operation: "put a log aside", source: source.into() })?;
        let Some((log, aside)) = aside else { return Ok(()) };
        let question = OfId { id: container.id.0.clone() };
        let reopened = self.client.call(Method::REOPEN_LOG, container.id.as_str(), question).await;
        if reopened.is_err() {
            // The runtime goes on writing to the same file, which has to have its name for that.
            let _ = tokio::fs::rename(aside, log).await;
        }
        reopened.map(|Nothing {}| ())
    }
}

/// Gives a log that is too long another name, and removes the oldest of such: both paths, if it was. Blocking.
fn put_aside(log: &Path, max_size: u64, kept: u32) -> io::Result<Option<(PathBuf, PathBuf)>> {
    match fs::symlink_metadata(log) {
        Ok(metadata) if metadata.is_file() && metadata.len() > max_size => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut earlier = beside(log)?;
    earlier.sort();
    let room = usize::try_from(kept).unwrap_or(usize::MAX).max(1);
    for path in earlier.iter().take((earlier.len() + 1).saturating_sub(room)) {
        fs::remove_file(path)?;
    }
    let mut name = log.as_os_str().to_owned();
    name.push(Timestamp::now().strftime(".%Y%m%d-%H%M%S").to_string());
    let aside = PathBuf::from(name);
    fs::rename(log, &aside)?;
    Ok(Some((log.to_owned(), aside)))
}

/// Removes a log and what was put aside of it. Blocking.
pub(super) fn remove(log: &Path) -> io::Result<()> {
    for path in beside(log)?.iter().map(PathBuf::as_path).chain([log]) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What was put aside of a log, in no order.
fn beside(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let beginning = format!("{}.", name.to_string_lossy());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let own = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&beginning));
    Ok(own.map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_logs_are_put_aside_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("0.log");
        for name in ["0.log", "0.log.20200101-000000", "0.log.20200102-000000", "10.log"] {
            fs::write(directory.path().join(name), "0123456789").unwrap();
        }
        assert_eq!(put_aside(&log, 10, 2).unwrap(), None);
        let (_, aside) = put_aside(&log, 9, 2).unwrap().unwrap();
        let there = |name: &str| directory.path().join(name).exists();
        assert!(aside.exists() && !log.exists() && there("10.log"));
        assert!(!there("0.log.20200101-000000") && there("0.log.20200102-000000"));
        assert_eq!(put_aside(&log, 9, 2).unwrap(), None);
        remove(&log).unwrap();
        remove(&log).unwrap();
        assert!(!aside.exists() && !there("0.log.20200102-000000") && there("10.log"));
    }
}
