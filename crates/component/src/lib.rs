//! What every Ferrokube daemon shares.
//!
//! | module | what it is |
//! |---|---|
//! | [`files`] | what is made of files, and made anew when they change |
//! | [`flags`] | upstream's flag spelling: underscores, single dashes, retired flags; shared groups |
//! | [`daemon`] | the life of a daemon: logging, signals, tasks, readiness, exit |
//! | [`auth`] | who makes a request and what they may do: ordered lists of authenticators and authorizers |
//! | [`client`] | a `kube` client from `--kubeconfig`, `--master` or the pod's service account |
//! | [`informer`] | list + watch into an indexed store, with events |
//! | [`queue`] | keys to reconcile, deduplicated, with back-off per key |
//! | [`jwt`] | signed tokens, their keys, and sets of keys |
//! | [`leader`] | leader election on a Lease |
//! | [`liveness`] | whether the loops on which a daemon depends still turn |
//! | [`metrics`] | what every daemon counts, and how metrics are written |
//! | [`notify`] | what systemd is told |
//! | [`profiling`] | `/debug/`: where a daemon spends its time, and how much it logs |
//! | [`recorder`] | events, aggregated |
//! | [`serve`] | accept loop (HTTP/1 + HTTP/2, TLS, upgrades), certificates, health and metrics |
//! | [`volumes`] | persistent volumes and claims: what is read of them, and which volume a claim may have |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod auth;
pub mod backoff;
pub mod client;
pub mod daemon;
pub mod duration;
pub mod files;
pub mod flags;
pub mod informer;
pub mod jwt;
pub mod leader;
pub mod liveness;
pub mod metrics;
pub mod notify;
pub mod pool;
pub mod profiling;
pub mod queue;
pub mod recorder;
pub mod serve;
pub mod volumes;

pub use daemon::Daemon;
pub use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The version of Kubernetes whose API this is, as `/version` and the Node report it.
pub const KUBERNETES_VERSION: &str = "v1.36.2";

/// mimalloc: glibc keeps the memory of a large list for ever (docs/adr/0023).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
