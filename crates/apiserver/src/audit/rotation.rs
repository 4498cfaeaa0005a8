//! A file that is set aside when it has become large. What was set aside is compressed and removed after a while, in a
//! thread of its own. Names and rules are those of lumberjack, which upstream uses.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use api_types::jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use flate2::{Compression, write::GzEncoder};

/// How large a file becomes when nobody says, in bytes.
const DEFAULT_SIZE: u64 = 100 << 20;

/// The time in the name of a file that was set aside, in UTC.
const LAYOUT: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// What ends the name of a file that is compressed.
const COMPRESSED: &str = ".gz";

/// How long what was set aside is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How large the file becomes, in bytes; 0 for 100 MiB.
    pub size: u64,
    /// How many files are kept besides; 0 for all.
    pub backups: usize,
    /// How long they are kept; zero for ever.
    pub age: Duration,
    /// Whether they are compressed.
    pub compress: bool,
}

/// A file to append to.
pub struct RotatingFile {
    path: PathBuf,
    most: u64,
    file: File,
    size: u64,
    /// Wakes the thread that looks after what was set aside.
    tidier: SyncSender<()>,
}

impl RotatingFile {
    /// Opens the file; makes it, with its folder, when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, retention: Retention) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = append_to(path, 0o600)?;
        let size = file.metadata()?.len();
        let (tidier, wake) = sync_channel(1);
        let aside = Aside { path: path.to_owned(), retention };
        thread::Builder::new().name("audit-log".into()).spawn(move || aside.look_after(&wake))?;
        // What an earlier run left.
        let _ = tidier.try_send(());
        let most = if retention.size == 0 { DEFAULT_SIZE } else { retention.size };
        Ok(Self { path: path.to_owned(), most, file, size, tidier })
    }

    /// Appends; a line is never split, and what is left of one that could not be written whole is taken back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size.saturating_add(line.len() as u64) > self.most {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(line) {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mode = self.file.metadata().map_or(0o600, |metadata| metadata.mode() & 0o777);
        match fs::rename(&self.path, free_name(&self.path, Timestamp::now())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = append_to(&self.path, mode)?;
        self.size = self.file.metadata()?.len();
        // It is awake already when it has not taken the last call.
        let _ = self.tidier.try_send(());
        Ok(())
    }
}

fn append_to(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

/// `audit-2006-01-02T15-04-05.000.log` for `audit.log`, at that time or the next millisecond at which nothing is there.
fn free_name(path: &Path, now: Timestamp) -> PathBuf {
    let (start, end) = parts(path);
    let at = |millis: i64| {
        let time = Timestamp::from_millisecond(millis).unwrap_or(now).to_zoned(TimeZone::UTC);
        path.with_file_name(format!("{start}{}{end}", time.strftime(LAYOUT)))
    };
    let taken = |path: &PathBuf| path.exists() || path.with_added_extension("gz").exists();
    let mut millis = now.as_millisecond();
    while taken(&at(millis)) {
        millis += 1;
    }
    at(millis)
}

/// What the names of files that were set aside begin and end with.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let end = text(path.extension()).map_or_else(String::new, |extension| format!(".{extension}"));
    (format!("{}-", text(path.file_stem()).unwrap_or_default()), end)
}

/// The files that were set aside.
struct Aside {
    path: PathBuf,
    retention: Retention,
}

impl Aside {
    /// Works whenever it is woken, until the file is closed.
    fn look_after(&self, wake: &Receiver<()>) {
        while wake.recv().is_ok() {
            let report = |error| tracing::error!(path = %self.path.display(), "looking after old audit logs: {error}");
            self.tidy(report).unwrap_or_else(report);
        }
    }

    /// What cannot be done to one file is reported, and the others have their turn.
    fn tidy(&self, report: impl Fn(io::Error)) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<io::Result<Vec<String>>>()?;
        let plan = plan(&parts(&self.path), names, self.retention, Timestamp::now());
        plan.remove.iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap_or_else(&report));
        plan.compress.iter().for_each(|name| compress(&folder.join(name)).unwrap_or_else(&report));
        Ok(())
    }
}

/// What has to be done with files that were set aside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    remove: Vec<String>,
    compress: Vec<String>,
}

fn plan((start, end): &(String, String), names: Vec<String>, retention: Retention, now: Timestamp) -> Plan {
    let time = |name: &str| {
        let name = name.strip_suffix(COMPRESSED).unwrap_or(name);
        let time = name.strip_prefix(&**start)?.strip_suffix(&**end)?;
        DateTime::strptime(LAYOUT, time).ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
    };
    let mut known: Vec<(Timestamp, String)> = names.into_iter().filter_map(|name| Some((time(&name)?, name))).collect();
    known.sort_unstable_by(|one, other| other.cmp(one));
    let mut plan = Plan::default();
    let mut kept: Vec<Timestamp> = Vec::new();
    for (time, name) in known {
        if !kept.contains(&time) {
            kept.push(time);
        }
        let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
        let surplus = retention.backups > 0 && kept.len() > retention.backups;
        if surplus || (!retention.age.is_zero() && age > retention.age) {
            plan.remove.push(name);
        } else if retention.compress && !name.ends_with(COMPRESSED) {
            plan.compress.push(name);
        }
    }
    plan
}

/// The whole is written under another name first, so that nothing is lost when that ends half-way.
fn compress(path: &Path) -> io::Result<()> {
    let (compressed, half) = (path.with_added_extension("gz"), path.with_added_extension("tmp"));
    let mut source = File::open(path)?;
    let mode = source.metadata()?.mode() & 0o777;
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&half)?;
    let mut encoder = GzEncoder::new(target, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(half, compressed)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn aside(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "audit.log").collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_large_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/audit.log");
        let mut file = RotatingFile::open(&path, Retention { size: 10, ..Retention::default() }).unwrap();
        for line in ["12345\n", "678\n", "too long for any file\n", "9\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let aside = aside(path.parent().unwrap());
        let read = |name: &String| fs::read_to_string(path.with_file_name(name)).unwrap();
        assert_eq!(aside.iter().map(read).collect::<Vec<_>>(), ["12345\n678\n", "too long for any file\n"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "9\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(file);
        let mut file = RotatingFile::open(&path, Retention { size: 10, ..Retention::default() }).unwrap();
        file.write(b"0\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "9\n0\n", "it goes on where it was");
    }

    #[test]
    fn old_files_are_removed_and_compressed() {
        let names = [
            "audit-2026-01-05T00-00-00.000.log",
            "audit-2026-01-04T00-00-00.000.log",
            "audit-2026-01-03T00-00-00.000.log.gz",
            "audit-2026-01-02T00-00-00.000.log.gz",
            "audit-2026-01-01T00-00-00.000.log",
            "audit.log",
            "audit-of-others.log",
            "audit-2026-01-01T00-00-00.000.txt",
        ];
        let now = "2026-01-05T12:00:00Z".parse().unwrap();
        let decide = |retention| {
            let plan = plan(&parts(Path::new("/x/audit.log")), names.map(str::to_owned).to_vec(), retention, now);
            let day = |name: &String| name["audit-2026-01-".len()..]["05".len() - 2..2].to_owned();
            (plan.remove.iter().map(day).collect::<String>(), plan.compress.iter().map(day).collect::<String>())
        };
        let check = |retention, removed: &str, compressed: &str| {
            assert_eq!(decide(retention), (removed.to_owned(), compressed.to_owned()), "{retention:?}");
        };
        let all = Retention::default();
        check(all, "", "");
        check(Retention { compress: true, ..all }, "", "050401");
        check(Retention { backups: 2, ..all }, "030201", "");
        check(Retention { age: Duration::from_secs(3 * 86_400), compress: true, ..all }, "0201", "0504");
    }

    #[test]
    fn nothing_is_lost_by_compression() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit-2026-01-01T00-00-00.000.log");
        fs::write(&path, "a line\n").unwrap();
        compress(&path).unwrap();
        assert_eq!(aside(directory.path()), ["audit-2026-01-01T00-00-00.000.log.gz"]);
        let mut text = String::new();
        let file = File::open(path.with_added_extension("gz")).unwrap();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a line\n");
    }
}
