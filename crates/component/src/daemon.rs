//! The life of a daemon: start, run until a signal, drain.

use std::{future::Future, io, process::ExitCode, sync::OnceLock, time::Duration};

use anyhow::Context;
use futures::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        Formatter,
        format::{DefaultFields, Format},
    },
    reload,
};

use crate::{
    flags::LoggingFlags,
    liveness::Liveness,
    notify::{Notifier, State},
    serve::raise_descriptors,
};

/// How long tasks may take to end after a signal.
const DRAIN: Duration = Duration::from_secs(20);

/// What a running daemon hands to its parts: the token that ends them and the tracker that waits
/// for them.
#[derive(Clone, Debug, Default)]
pub struct Daemon {
    /// Cancelled on SIGTERM and SIGINT, or when an essential task ends.
    pub shutdown: CancellationToken,
    /// Every task of the daemon; drained before it exits.
    pub tasks: TaskTracker,
    /// Signs that the daemon is alive. Who watches over it, systemd or a kubelet, starts it again when one is missing.
    pub liveness: Liveness,
}

impl Daemon {
    /// A daemon with no tasks; for tests, too.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same daemon for a part of it that ends earlier, when `stop` is cancelled.
    #[must_use]
    pub fn until(&self, stop: CancellationToken) -> Self {
        Self { shutdown: stop, ..self.clone() }
    }

    /// Starts a task that is waited for at the end.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_boxed(Box::pin(task));
    }

    /// Starts a task that is dropped at its next await point when the daemon shuts down.
    pub fn spawn_until_shutdown<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_until_shutdown_boxed(Box::pin(task));
    }

    /// Boxed, so that the runtime's code for a task is compiled once and not for each task of each daemon.
    fn spawn_boxed(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(task);
    }

    fn spawn_until_shutdown_boxed(&self, task: BoxFuture<'static, ()>) {
        let shutdown = self.shutdown.clone();
        self.spawn_boxed(Box::pin(async move {
            shutdown.run_until_cancelled_owned(task).await;
        }));
    }

    /// Tells systemd that the daemon is ready, when it asked to be told. See `sd_notify(3)`.
    pub fn ready(&self) {
        Notifier::from_env().tell(State::Ready);
    }

    /// Waits for shutdown, then for the tasks, at most 20 s.
    pub async fn drain(&self) {
        self.shutdown.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "some tasks did not end in time");
        }
    }
}

/// Runs a daemon: logging, a runtime, signals, `start`, and the drain. `start` binds and spawns;
/// the daemon runs until a signal, or until a part cancels [`Daemon::shutdown`].
pub fn run<F, Fut>(name: &str, logging: &LoggingFlags, start: F) -> ExitCode
where
    F: FnOnce(Daemon) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    init_logging(logging);
    raise_descriptors();
    install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "starting the runtime");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(live(start));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn live<F, Fut>(start: F) -> anyhow::Result<()>
where
    F: FnOnce(Daemon) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let daemon = Daemon::new();
    let signals = tokio::spawn(cancel_on_signal(daemon.shutdown.clone()));
    let notifier = Notifier::from_env();
    let watchdog = tokio::spawn(notifier.clone().keep_telling(daemon.liveness.clone()));
    let started = daemon.shutdown.run_until_cancelled(start(daemon.clone())).await;
    let result = match started {
        Some(Err(error)) => {
            daemon.shutdown.cancel();
            Err(error)
        }
        Some(Ok(())) | None => Ok(()),
    };
    daemon.shutdown.cancelled().await;
    notifier.tell(State::Stopping);
    daemon.drain().await;
    watchdog.abort();
    signals.abort();
    result
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be handled; the default action ends the process");
        return;
    };
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: shutting down"),
        _ = int.recv() => tracing::info!("SIGINT: shutting down"),
    }
    shutdown.cancel();
}

/// Sets up logging to standard error. Harmless when called twice.
pub fn init_logging(flags: &LoggingFlags) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| filter(flags.v));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr as fn() -> io::Stderr)
        .with_ansi(false)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    if subscriber.try_init().is_ok() {
        // Only who has set up logging gets here.
        let _ = FILTER.set(handle);
    }
}

/// What is logged, as long as the process lives.
static FILTER: OnceLock<reload::Handle<EnvFilter, Lines>> = OnceLock::new();

/// How logs are written.
type Lines = Formatter<DefaultFields, Format, fn() -> io::Stderr>;

fn filter(v: u8) -> EnvFilter {
    let level = match v {
        0 | 1 => "info",
        2..=4 => "debug",
        _ => "trace",
    };
    EnvFilter::new(format!("{level},h2=info,hyper=info,hyper_util=info,kube_client=off,rustls=info,tower=info"))
}

/// Logs from now on what `--v` means, also where RUST_LOG said something else.
///
/// # Errors
/// When the process does not log.
pub fn set_verbosity(v: u8) -> anyhow::Result<()> {
    let handle = FILTER.get().context("logging is not set up")?;
    Ok(handle.reload(filter(v))?)
}

/// Makes aws-lc-rs the process's TLS provider. Harmless when called twice.
pub fn install_crypto_provider() {
    let already_set = rustls::crypto::aws_lc_rs::default_provider().install_default();
    drop(already_set);
}
