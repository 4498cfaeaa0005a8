//! Everything that is stored as of one revision, as a file that can be kept elsewhere, and a store made of that again.
//!
//! The form does not depend on the database's: a magic text, each entry of the tables, and last the SHA-256 of all that.
//! It is written from one read transaction, while writes go on, and read into a new file that nobody has opened yet.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use redb::{ReadTransaction, ReadableTable};
use sha2::{Digest, Sha256};

use super::{
    EmbeddedOptions, open_database,
    schema::{DEADLINES, INDEX, META, META_COMPACTED, META_REVISION, RECORDS},
};

/// What a snapshot begins with.
const MAGIC: &[u8; 16] = b"ferrokube-store1";
/// The longest piece, in bytes: more than any value or key.
const LONGEST: u32 = 16 << 20;
/// How many entries, and bytes, are written into a new store at once.
const CHUNK: (usize, usize) = (4096, 8 << 20);

/// An entry of one of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A number about the whole store.
    Number(String, u64),
    /// A version of a key.
    Record(u64, Vec<u8>),
    /// The newest version of a key.
    Latest(String, (u64, u64, u64)),
    /// When a key ends.
    Deadline(u64, String),
}

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The revision of its latest write.
    pub revision: u64,
    /// How many keys have a value.
    pub keys: u64,
    /// How many versions are kept.
    pub records: u64,
    /// How large it is, in bytes.
    pub size: u64,
}

/// Hands over all entries of one committed state, in the order of their tables.
///
/// # Errors
/// When the file cannot be read, or whoever takes them fails.
pub fn entries(transaction: &ReadTransaction, mut take: impl FnMut(Entry) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for stored in transaction.open_table(META)?.iter()? {
        let (name, number) = stored?;
        take(Entry::Number(name.value().to_owned(), number.value()))?;
    }
    for stored in transaction.open_table(RECORDS)?.iter()? {
        let (revision, record) = stored?;
        take(Entry::Record(revision.value(), record.value().to_owned()))?;
    }
    for stored in transaction.open_table(INDEX)?.iter()? {
        let (key, latest) = stored?;
        take(Entry::Latest(key.value().to_owned(), latest.value()))?;
    }
    for stored in transaction.open_table(DEADLINES)?.iter()? {
        let deadline = stored?.0;
        let (when, key) = deadline.value();
        take(Entry::Deadline(when, key.to_owned()))?;
    }
    Ok(())
}

/// Writes one committed state.
///
/// # Errors
/// When it cannot be read, or not be written there.
pub fn write(transaction: &ReadTransaction, to: impl Write) -> anyhow::Result<()> {
    let mut out = Hashed { inner: to, hash: Sha256::new(), passed: 0 };
    out.write_all(MAGIC)?;
    entries(transaction, |entry| Ok(entry.encode(&mut out)?))?;
    out.write_all(b".")?;
    let hash = out.hash.clone().finalize();
    out.write_all(&hash)?;
    Ok(out.flush()?)
}

/// Reads a snapshot to its end, and hands over its entries.
///
/// # Errors
/// When it is none, or not whole: then what was handed over must not be used.
pub fn read(from: impl Read, mut take: impl FnMut(Entry) -> anyhow::Result<()>) -> anyhow::Result<Summary> {
    let mut input = Hashed { inner: from, hash: Sha256::new(), passed: 0 };
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).context("it is no snapshot")?;
    ensure!(magic == *MAGIC, "it is no snapshot");
    let mut summary = Summary::default();
    while let Some(entry) = Entry::decode(&mut input).context("the snapshot is not whole")? {
        match &entry {
            Entry::Number(name, revision) if name == META_REVISION => summary.revision = *revision,
            Entry::Latest(_, (_, created, _)) if *created != 0 => summary.keys += 1,
            Entry::Record(..) => summary.records += 1,
            _ => {}
        }
        take(entry)?;
    }
    let hash = input.hash.clone().finalize();
    let mut told = [0; 32];
    input.read_exact(&mut told).context("the snapshot is not whole")?;
    ensure!(hash.as_slice() == told, "the snapshot is damaged: its hash is another");
    ensure!(input.inner.read(&mut [0])? == 0, "something follows the snapshot");
    summary.size = input.passed;
    Ok(summary)
}

/// Makes a store file of the entries that `fill` hands over. Nothing is there when that fails; when this returns, it is
/// durable.
///
/// # Errors
/// When the file cannot be written, or `fill` fails.
pub fn build<T>(
    path: &Path,
    options: &EmbeddedOptions,
    fill: impl FnOnce(&mut Builder) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // What an attempt that was killed has left is not locked.
    if let Ok(left) = File::open(path) {
        left.try_lock().with_context(|| format!("{} is being written by somebody else", path.display()))?;
        remove(path)?;
    }
    let options = EmbeddedOptions { path: path.to_owned(), ..options.clone() };
    let built = Builder::new(&options).and_then(|mut builder| {
        let filled = fill(&mut builder)?;
        builder.flush()?;
        // Room that was kept for further growth is given back.
        while builder.database.compact()? {}
        Ok(filled)
    });
    if built.is_err() {
        remove(path)?;
    }
    built
}

/// Copies one committed state of a store, which must be its latest, into a new file that takes the place of the old one.
///
/// # Errors
/// When it cannot be read or written. The old file is there then.
pub fn remake(transaction: &ReadTransaction, options: &EmbeddedOptions) -> anyhow::Result<()> {
    let fresh = options.path.with_extension("defragmented");
    build(&fresh, options, |builder| entries(transaction, |entry| builder.add(entry)))?;
    replace(&fresh, &options.path)
}

/// Puts a file in the place of another in one step, durably.
///
/// # Errors
/// The kernel's.
pub fn replace(new: &Path, old: &Path) -> anyhow::Result<()> {
    fs::rename(new, old).with_context(|| format!("renaming {} to {}", new.display(), old.display()))?;
    sync_folder(old)
}

/// Gives a file its name, durably, where there is none of that name.
///
/// # Errors
/// When there is one, or the kernel's.
pub fn publish(new: &Path, name: &Path) -> anyhow::Result<()> {
    fs::hard_link(new, name).with_context(|| format!("naming {} {}", new.display(), name.display()))?;
    remove(new)?;
    sync_folder(name)
}

fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A store that is being made.
pub struct Builder {
    database: redb::Database,
    waiting: Vec<Entry>,
    bytes: usize,
}

impl Builder {
    fn new(options: &EmbeddedOptions) -> anyhow::Result<Self> {
        let database = open_database(options).with_context(|| format!("making {}", options.path.display()))?;
        Ok(Self { database, waiting: Vec::new(), bytes: 0 })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.bytes += entry.size();
        self.waiting.push(entry);
        if self.waiting.len() >= CHUNK.0 || self.bytes >= CHUNK.1 {
            self.flush()?;
        }
        Ok(())
    }

    /// Lets the store go on at a later revision than it was at, with nothing before it to be watched: clients may have
    /// seen revisions that it does not know of.
    ///
    /// # Errors
    /// When there are no revisions so high.
    pub fn bump(&mut self, from: u64, by: u64) -> anyhow::Result<()> {
        let revision = from.checked_add(by).filter(|revision| i64::try_from(*revision).is_ok());
        let revision = revision.context("the revision would be too high")?;
        self.add(Entry::Number(META_REVISION.to_owned(), revision))?;
        self.add(Entry::Number(META_COMPACTED.to_owned(), revision))
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let mut records = transaction.open_table(RECORDS)?;
            let mut index = transaction.open_table(INDEX)?;
            let mut deadlines = transaction.open_table(DEADLINES)?;
            for entry in self.waiting.drain(..) {
                match entry {
                    Entry::Number(name, number) => drop(meta.insert(name.as_str(), number)?),
                    Entry::Record(revision, record) => drop(records.insert(revision, record.as_slice())?),
                    Entry::Latest(key, latest) => drop(index.insert(key.as_str(), latest)?),
                    Entry::Deadline(when, key) => drop(deadlines.insert((when, key.as_str()), ())?),
                }
            }
        }
        self.bytes = 0;
        Ok(transaction.commit()?)
    }
}

impl Entry {
    fn size(&self) -> usize {
        match self {
            Self::Number(text, _) | Self::Latest(text, _) | Self::Deadline(_, text) => text.len() + 24,
            Self::Record(_, record) => record.len() + 8,
        }
    }

    /// A letter, numbers, and a text or bytes with their length; numbers are little-endian.
    fn encode(&self, out: &mut impl Write) -> io::Result<()> {
        let (letter, numbers, bytes): (u8, &[u64], &[u8]) = match self {
            Self::Number(name, number) => (b'n', &[*number], name.as_bytes()),
            Self::Record(revision, record) => (b'r', &[*revision], record),
            Self::Latest(key, (revision, created, deadline)) => {
                (b'l', &[*revision, *created, *deadline], key.as_bytes())
            }
            Self::Deadline(when, key) => (b'd', &[*when], key.as_bytes()),
        };
        out.write_all(&[letter])?;
        numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(bytes)
    }

    /// The next entry; `None` when there are no more.
    fn decode(input: &mut impl Read) -> anyhow::Result<Option<Self>> {
        let mut letter = [0];
        input.read_exact(&mut letter)?;
        Ok(Some(match letter[0] {
            b'.' => return Ok(None),
            b'n' => {
                let number = number(input)?;
                Self::Number(text(input)?, number)
            }
            b'r' => Self::Record(number(input)?, bytes(input)?),
            b'l' => {
                let latest = (number(input)?, number(input)?, number(input)?);
                Self::Latest(text(input)?, latest)
            }
            b'd' => Self::Deadline(number(input)?, text(input)?),
            other => bail!("an entry begins with {other}"),
        }))
    }
}

fn number(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn bytes(input: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    ensure!(length <= LONGEST, "an entry is longer than {LONGEST} bytes");
    let mut bytes = Vec::new();
    input.take(length.into()).read_to_end(&mut bytes)?;
    ensure!(bytes.len() == length as usize, "it ends within an entry");
    Ok(bytes)
}

fn text(input: &mut impl Read) -> anyhow::Result<String> {
    Ok(String::from_utf8(bytes(input)?)?)
}

/// What passes is counted and hashed.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
    passed: u64,
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.passed += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        self.passed += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(entries: &[Entry]) -> Vec<u8> {
        let mut out = Hashed { inner: Vec::new(), hash: Sha256::new(), passed: 0 };
        out.write_all(MAGIC).unwrap();
        entries.iter().for_each(|entry| entry.encode(&mut out).unwrap());
        out.write_all(b".").unwrap();
        let hash = out.hash.clone().finalize();
        out.write_all(&hash).unwrap();
        out.inner
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let entries = [
            Entry::Number(META_REVISION.into(), 7),
            Entry::Record(7, b"value".to_vec()),
            Entry::Latest("/a".into(), (7, 7, 9)),
            Entry::Deadline(9, "/a".into()),
        ];
        let whole = snapshot(&entries);
        let mut taken = Vec::new();
        let take = |entry| {
            taken.push(entry);
            Ok(())
        };
        let summary = read(whole.as_slice(), take).unwrap();
        assert_eq!(taken, entries);
        assert_eq!(summary, Summary { revision: 7, keys: 1, records: 1, size: whole.len() as u64 });
        for end in 0..whole.len() {
            assert!(read(&whole[..end], |_| Ok(())).is_err(), "the first {end} bytes");
            let mut damaged = whole.clone();
            damaged[end] ^= 1;
            assert!(read(damaged.as_slice(), |_| Ok(())).is_err(), "another byte at {end}");
        }
        assert!(read([whole.as_slice(), b"x"].concat().as_slice(), |_| Ok(())).is_err());
    }
}
