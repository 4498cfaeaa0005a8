//! What an operator does with the embedded store: `kube-apiserver snapshot` and `kube-apiserver defrag`, in the terms of
//! `etcdctl` and `etcdutl`.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, BufReader},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use component::profiling;

use crate::storage::embedded::{
    EmbeddedOptions, maintenance, offline,
    snapshot::{self, Entry, Summary},
};

/// How far a restored store is ahead of its snapshot at least, unless somebody knows better; what etcd's documentation
/// counsels: ten years at three writes a second.
const BUMP: u64 = 1_000_000_000;

/// Looks after the embedded store.
#[derive(Parser)]
#[command(name = "kube-apiserver", version = component::KUBERNETES_VERSION)]
struct Maintenance {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Snapshots of the embedded store
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Makes the embedded store's file as small as it can be; a running server writes nothing meanwhile
    Defrag {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum Snapshot {
    /// Writes everything that is stored as of one moment into a file; a running server goes on meanwhile
    Save {
        /// The file; what is there is replaced once the snapshot is whole
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Makes a store of a snapshot, where there is none
    Restore {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        /// So many revisions later the store goes on, so that it never gives a revision again that clients have seen
        #[arg(long, default_value_t = BUMP, value_parser = clap::value_parser!(u64).range(1..), value_name = "COUNT")]
        bump_revision: u64,
    },
    /// Checks a snapshot and tells what is in it
    Status {
        /// The file
        file: PathBuf,
    },
}

#[derive(Args)]
struct Place {
    /// Directory of the embedded store
    #[arg(long, default_value = "/var/lib/ferrokube", value_name = "DIR")]
    data_dir: PathBuf,
}

impl Place {
    fn store(&self) -> PathBuf {
        self.data_dir.join("store.redb")
    }
}

/// Does what the process's arguments ask for, if that is maintenance and no server.
pub fn run_if_asked() -> Option<ExitCode> {
    profiling::observe_if_asked();
    let first = env::args().nth(1)?;
    if !matches!(first.as_str(), "snapshot" | "defrag") {
        return None;
    }
    let done = match Maintenance::parse().command {
        Command::Snapshot(Snapshot::Save { file, place }) => save(&file, &place.store()),
        Command::Snapshot(Snapshot::Restore { file, place, bump_revision }) => {
            restore(&file, &place.store(), bump_revision)
        }
        Command::Snapshot(Snapshot::Status { file }) => status(&file),
        Command::Defrag { place } => make_small(&place.store()),
    };
    Some(match done {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    })
}

fn save(file: &Path, store: &Path) -> anyhow::Result<String> {
    let part = with_suffix(file, "part");
    // Secrets are in it.
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    let saved = (|| {
        match maintenance::request_snapshot(store)? {
            Some(mut snapshot) => drop(io::copy(&mut snapshot, &mut out)?),
            None => offline::write_snapshot(&existing(store)?, io::BufWriter::new(&mut out))?,
        }
        out.sync_all()?;
        let summary = check(&part).context("checking what was saved")?;
        snapshot::replace(&part, file)?;
        Ok(format!("Snapshot saved at {}: {}", file.display(), described(&summary)))
    })();
    if saved.is_err() {
        fs::remove_file(&part)?;
    }
    saved
}

fn restore(file: &Path, store: &Path, bump: u64) -> anyhow::Result<String> {
    let exists = || format!("there is a store at {} already, which is not touched", store.display());
    ensure!(!fs::exists(store)?, exists());
    let input = BufReader::new(File::open(file).with_context(|| format!("opening {}", file.display()))?);
    let part = with_suffix(store, "restoring");
    let summary = snapshot::build(&part, &EmbeddedOptions::new(store), |builder| {
        let summary = snapshot::read(input, |entry| builder.add(entry))?;
        builder.bump(summary.revision, bump)?;
        Ok(summary)
    })?;
    snapshot::publish(&part, store).with_context(exists)?;
    Ok(format!(
        "Restored to {}: {}; it goes on after revision {}",
        store.display(),
        described(&summary),
        summary.revision + bump
    ))
}

fn status(file: &Path) -> anyhow::Result<String> {
    check(file).map(|summary| described(&summary))
}

fn check(file: &Path) -> anyhow::Result<Summary> {
    let input = BufReader::new(File::open(file).with_context(|| format!("opening {}", file.display()))?);
    snapshot::read(input, |_: Entry| Ok(()))
}

fn described(summary: &Summary) -> String {
    let Summary { revision, keys, records, size } = summary;
    format!("revision {revision}, {keys} keys, {records} versions, {size} bytes")
}

fn make_small(store: &Path) -> anyhow::Result<String> {
    let options = existing(store)?;
    let before = fs::metadata(store)?.len();
    if maintenance::request_defragmentation(store)?.is_none() {
        offline::defragment(&options)?;
    }
    Ok(format!("Defragmented {}: {before} bytes before, {} after", store.display(), fs::metadata(store)?.len()))
}

/// How to open a store that is there.
fn existing(store: &Path) -> anyhow::Result<EmbeddedOptions> {
    ensure!(fs::exists(store)?, "there is no store at {}", store.display());
    Ok(EmbeddedOptions::new(store))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}
