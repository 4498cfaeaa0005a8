//! Where pods come from: a manifest directory, a URL, the API server.

pub mod decode;
pub mod file;
pub mod inbox;
pub mod mirror;
pub mod url;

use std::sync::Arc;

use api_types::core::Pod;
use tokio::sync::mpsc;

/// Name of a source of static pods, as `kubernetes.io/config.source` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StaticSource {
    /// `--pod-manifest-path`.
    File,
    /// `--manifest-url`.
    Http,
}

impl StaticSource {
    /// As the annotation spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Http => "http",
        }
    }
}

/// All pods that a source has now.
#[derive(Debug)]
pub struct Manifests {
    /// Which source.
    pub source: StaticSource,
    /// All of them.
    pub pods: Vec<Arc<Pod>>,
}

/// Where sources of static pods report to.
pub type ManifestSender = mpsc::Sender<Manifests>;
