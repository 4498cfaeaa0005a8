//! What an operator asks of a running store: a snapshot, or that its file gives back what it does not need.
//!
//! The door is a Unix socket beside the store's file. It opens to those who may read that file anyway: its owner, and
//! root. Nothing leads there from the network. One is served at a time.

use std::{
    fs,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream as Connection,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::spawn_blocking,
};

use super::{apply::Command, read::Reads, snapshot, upkeep::ask, writer::Request};

/// How long the other end may take for its next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest order, in bytes.
const LONGEST_ORDER: u64 = 64;
/// What is written at once, in bytes.
const BUFFER: usize = 256 << 10;

const SNAPSHOT: &str = "snapshot";
const DEFRAGMENT: &str = "defragment";

/// Where the store at this path is asked.
#[must_use]
pub fn socket(store: &Path) -> PathBuf {
    store.with_file_name("maintenance.sock")
}

/// The store as operators see it.
pub struct Maintenance {
    pub(super) reads: Arc<Reads>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) path: PathBuf,
}

impl Maintenance {
    /// Opens the door. What an earlier server has left there is replaced: whoever has the store's file open may do so.
    ///
    /// # Errors
    /// When there can be no socket there.
    pub fn listen(&self) -> io::Result<UnixListener> {
        let path = socket(&self.path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Serves one after the other, for ever.
    pub async fn serve(self, listener: UnixListener) {
        loop {
            let served = match listener.accept().await {
                Ok((connection, _)) => self.answer(connection).await,
                Err(error) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Err(error.into())
                }
            };
            if let Err(error) = served {
                tracing::warn!("maintenance of the store: {error:#}");
            }
        }
    }

    async fn answer(&self, connection: UnixStream) -> anyhow::Result<()> {
        let peer = connection.peer_cred()?.uid();
        let owner = fs::metadata(&self.path)?.uid();
        ensure!(peer == 0 || peer == owner, "user {peer} is not let in");
        let connection = connection.into_std()?;
        connection.set_nonblocking(false)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let (connection, order) = spawn_blocking(move || -> io::Result<_> {
            let mut order = String::new();
            BufReader::new((&connection).take(LONGEST_ORDER)).read_line(&mut order)?;
            Ok((connection, order))
        })
        .await??;
        match order.trim_end() {
            SNAPSHOT => {
                let reads = self.reads.clone();
                spawn_blocking(move || send_snapshot(&reads, &connection)).await?
            }
            DEFRAGMENT => self.defragment(connection).await,
            other => bail!("{other:?} is no order"),
        }
    }

    async fn defragment(&self, mut connection: Connection) -> anyhow::Result<()> {
        let told = match ask(&self.requests, Command::Defragment).await {
            Ok(_) => "+".to_owned(),
            Err(error) => format!("-{error}"),
        };
        Ok(spawn_blocking(move || connection.write_all(told.as_bytes())).await??)
    }
}

fn send_snapshot(reads: &Reads, connection: &Connection) -> anyhow::Result<()> {
    let transaction = reads.begin_read()?;
    let mut out = BufWriter::with_capacity(BUFFER, connection);
    out.write_all(b"+")?;
    snapshot::write(&transaction, &mut out).context("sending a snapshot")
}

/// Asks the server that has the store open for a snapshot, which is to be read from what is returned. `None` when there is
/// no server.
///
/// # Errors
/// When it says why not.
pub fn request_snapshot(store: &Path) -> anyhow::Result<Option<impl Read>> {
    let answer = order(store, SNAPSHOT, Some(PATIENCE))?;
    Ok(answer.map(|answer| BufReader::with_capacity(BUFFER, answer)))
}

/// Asks the server that has the store open to make its file as small as it can be, and waits for that. `None` when there
/// is no server.
///
/// # Errors
/// When it says why not.
pub fn request_defragmentation(store: &Path) -> anyhow::Result<Option<()>> {
    // It answers when it is done, whenever that is.
    Ok(order(store, DEFRAGMENT, None)?.map(drop))
}

fn order(store: &Path, order: &str, patience: Option<Duration>) -> anyhow::Result<Option<Connection>> {
    let path = socket(store);
    let mut connection = match Connection::connect(&path) {
        // A server that was killed leaves its socket.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        connected => connected.with_context(|| format!("asking at {}", path.display()))?,
    };
    connection.set_read_timeout(patience)?;
    connection.write_all(format!("{order}\n").as_bytes())?;
    let mut answer = [0];
    connection.read_exact(&mut answer).context("the server gives no answer")?;
    if answer == *b"+" {
        return Ok(Some(connection));
    }
    let mut why = String::new();
    connection.take(4096).read_to_string(&mut why)?;
    bail!("the server refuses: {why}")
}
