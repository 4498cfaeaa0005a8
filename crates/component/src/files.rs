//! What is made of files, and made anew when they change: keys, certificates, tokens. Nobody polls: whoever asks for the
//! value looks, once a second at most, whether the files are still the same.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// So long the files are taken to be the same.
const INTERVAL: Duration = Duration::from_secs(1);

/// What distinguishes a file from the one that was there before; `None` when there is none.
type Mark = Option<(SystemTime, u64, u64)>;

type Make<T> = Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>;

/// A value made of files.
pub struct FromFiles<T> {
    /// As the log names it.
    what: String,
    paths: Vec<PathBuf>,
    make: Make<T>,
    value: ArcSwap<T>,
    seen: Mutex<Seen>,
}

/// What was seen of the files, and when.
struct Seen {
    when: Instant,
    marks: Vec<Mark>,
}

impl<T> FromFiles<T> {
    /// The value that `make` reads from these files now.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(
        what: impl Into<String>,
        paths: Vec<PathBuf>,
        make: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        // What is changed while it is read is seen to have changed.
        let seen = Seen { when: Instant::now(), marks: marks(&paths) };
        let value = ArcSwap::from_pointee(make()?);
        Ok(Self { what: what.into(), paths, make: Box::new(make), value, seen: Mutex::new(seen) })
    }

    /// A value that no file can change.
    #[must_use]
    pub fn constant(value: T) -> Self {
        let seen = Seen { when: Instant::now(), marks: Vec::new() };
        let make: Make<T> = Box::new(|| anyhow::bail!("it is made of no file"));
        let value = ArcSwap::from_pointee(value);
        Self { what: String::new(), paths: Vec::new(), make, value, seen: Mutex::new(seen) }
    }

    /// The value. When the files have changed into something unusable, it stays what it was.
    pub fn get(&self) -> Arc<T> {
        if let Some(mut seen) = self.seen.try_lock()
            && seen.when.elapsed() >= INTERVAL
        {
            self.look(&mut seen);
        }
        self.value.load_full()
    }

    fn look(&self, seen: &mut Seen) {
        seen.when = Instant::now();
        let marks = marks(&self.paths);
        if marks == seen.marks {
            return;
        }
        seen.marks = marks;
        match (self.make)() {
            Ok(value) => {
                tracing::info!("{} has changed and was read again", self.what);
                self.value.store(Arc::new(value));
            }
            Err(error) => tracing::warn!("{} has changed, but cannot be used: {error:#}", self.what),
        }
    }
}

impl<T> FromFiles<Option<T>> {
    /// The same of files that need not be there yet: `None` until `make` has made something of them.
    pub fn awaited(
        what: impl Into<String>,
        paths: Vec<PathBuf>,
        make: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> Self {
        let what = what.into();
        let seen = Seen { when: Instant::now(), marks: marks(&paths) };
        let made = make().inspect_err(|error| tracing::info!("{what}: not usable yet: {error:#}")).ok();
        let value = ArcSwap::from_pointee(made);
        Self { what, paths, make: Box::new(move || make().map(Some)), value, seen: Mutex::new(seen) }
    }
}

fn marks(paths: &[PathBuf]) -> Vec<Mark> {
    let mark = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    paths.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if the last look had been long ago.
    fn get_again<T>(value: &FromFiles<T>) -> Arc<T> {
        let long_ago = Instant::now().checked_sub(INTERVAL).unwrap();
        value.seen.lock().when = long_ago;
        value.get()
    }

    fn look_again(value: &FromFiles<String>) -> String {
        get_again(value).as_str().to_owned()
    }

    #[test]
    fn a_file_may_come_later_and_what_was_good_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let read = path.clone();
        let value = FromFiles::awaited("the file", vec![path.clone()], move || Ok(fs::read_to_string(&read)?));
        assert_eq!(*value.get(), None);
        fs::write(&path, "one").unwrap();
        assert_eq!(get_again(&value).as_deref(), Some("one"));
        fs::remove_file(&path).unwrap();
        assert_eq!(get_again(&value).as_deref(), Some("one"));
    }

    #[test]
    fn a_file_is_read_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let read = path.clone();
        let value = || {
            let read = read.clone();
            FromFiles::new("the file", vec![read.clone()], move || {
                let text = fs::read_to_string(&read)?;
                anyhow::ensure!(!text.is_empty(), "nothing is in it");
                Ok(text)
            })
        };
        assert!(value().is_err());
        fs::write(&path, "one").unwrap();
        let value = value().unwrap();
        fs::write(&path, "three").unwrap();
        assert_eq!(look_again(&value), "three");
        for unusable in [Some(""), None] {
            unusable.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
            assert_eq!(look_again(&value), "three", "what was good stays");
        }
        fs::write(&path, "four").unwrap();
        assert_eq!(look_again(&value), "four");
    }
}
