//! The side of the process that is observed: it starts its observer and takes what that found.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use rustix::process::{PTracer, Pid, set_ptracer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::{Semaphore, TryAcquireError},
    time::timeout,
};

use super::observer::ASKED;

/// One observer at a time.
static PLACE: Semaphore = Semaphore::const_new(1);
/// How much longer than its profile an observer may take: it reads the program's symbols.
const EXTRA: Duration = Duration::from_secs(60);
/// The longest answer of an observer, in bytes.
const LONGEST: u64 = 64 << 20;
/// What every compressed profile begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A profile of this process over so many seconds, compressed.
///
/// # Errors
/// When another is being made, or the observer may not look at this process.
pub(super) async fn profile(seconds: u64) -> anyhow::Result<Bytes> {
    let _place = match PLACE.try_acquire() {
        Ok(place) => place,
        Err(TryAcquireError::NoPermits) => bail!("cpu profiling already in use"),
        Err(error) => return Err(error.into()),
    };
    let found = observe(&format!("profile {seconds}\n"), Duration::from_secs(seconds) + EXTRA).await?;
    ensure!(found.starts_with(&GZIP), "this program cannot observe itself");
    Ok(found)
}

/// The names of functions of this process by address.
///
/// # Errors
/// When the observer cannot read them.
pub(super) async fn symbols(addresses: &[u64]) -> anyhow::Result<BTreeMap<u64, String>> {
    let _place = PLACE.acquire().await?;
    let addresses: Vec<String> = addresses.iter().map(u64::to_string).collect();
    let found = observe(&format!("symbols {}\n", addresses.join(" ")), EXTRA).await?;
    let line = |line: &str| {
        let (address, name) = line.split_once(' ')?;
        Some((address.parse().ok()?, name.to_owned()))
    };
    Ok(String::from_utf8_lossy(&found).lines().filter_map(line).collect())
}

/// Has an observer do this, and answers what it says. When nobody waits for it any longer it is ended.
async fn observe(order: &str, limit: Duration) -> anyhow::Result<Bytes> {
    let pipes = |command: &mut Command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()
    };
    let mut observer = pipes(Command::new("/proc/self/exe").arg(ASKED).env_clear()).context("starting the observer")?;
    let _allowed = Allowed::to(&observer);
    let talk = async {
        // Its input stays open while it is wanted.
        let mut input = observer.stdin.take().context("no pipe")?;
        input.write_all(order.as_bytes()).await?;
        let (found, complaint) = tokio::try_join!(read(observer.stdout.take()), read(observer.stderr.take()))?;
        let ended = observer.wait().await?;
        ensure!(ended.success(), "{}", String::from_utf8_lossy(&complaint).trim());
        anyhow::Ok(Bytes::from(found))
    };
    timeout(limit, talk).await.context("the observer took too long")?
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.context("no pipe")?.take(LONGEST).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The permission of a child to look at its parent, where the kernel's Yama lets only ancestors do so. Ends when dropped.
struct Allowed;

impl Allowed {
    fn to(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = set_ptracer(PTracer::ProcessID(pid))
        {
            tracing::debug!("there is no Yama to be asked: {error}");
        }
        Self
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        // Where this is unknown there was nothing to take back.
        let _ = set_ptracer(PTracer::None);
    }
}
