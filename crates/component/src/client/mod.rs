//! A client of the API server.

mod following;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};

pub use self::following::{Identity, following};
use crate::{flags::ClientFlags, metrics::CountRequests};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `--master` is not a URL.
    #[error("--master {url:?} is not a URL")]
    Master {
        /// What was given.
        url: String,
        /// Why not.
        source: http::uri::InvalidUri,
    },
    /// The kubeconfig cannot be read or makes no sense.
    #[error("reading kubeconfig {path:?}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Neither flag was given and this is no pod.
    #[error("neither --kubeconfig nor --master was given, and the pod's service account cannot be used")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    /// Certificates do not load.
    #[error("building the client")]
    Build(#[source] Box<kube::Error>),
}

/// The client's configuration: `--kubeconfig`, changed by `--master`; else the service account.
///
/// # Errors
/// See [`ClientError`].
pub async fn config(flags: &ClientFlags) -> Result<Config, ClientError> {
    let master = flags.master.as_deref().map(master_url).transpose()?;
    let mut config = match (&flags.kubeconfig, &master) {
        (Some(path), _) => from_kubeconfig(path).await?,
        (None, Some(url)) => Config::new(url.clone()),
        (None, None) => Config::incluster().map_err(|source| ClientError::InCluster(Box::new(source)))?,
    };
    if let Some(url) = master {
        config.cluster_url = url;
    }
    config.connect_timeout = Some(Duration::from_secs(10));
    // A watch is silent between bookmarks, which come every minute; silence beyond that is a dead peer.
    config.read_timeout = Some(Duration::from_secs(180));
    config.disable_compression = true;
    // Callers retry, at their own pace; a write that may have happened must not be sent again unseen.
    config.default_retry = false;
    Ok(config)
}

/// A client from the flags. Connects lazily: the server need not be there yet.
///
/// # Errors
/// See [`ClientError`].
pub async fn connect(flags: &ClientFlags) -> Result<Client, ClientError> {
    let builder =
        ClientBuilder::try_from(config(flags).await?).map_err(|source| ClientError::Build(Box::new(source)))?;
    Ok(builder.with_layer(&CountRequests).build())
}

async fn from_kubeconfig(path: &Path) -> Result<Config, ClientError> {
    let wrap = |error| from_kubeconfig_error(path, error);
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrap)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrap)
}

fn from_kubeconfig_error(path: &Path, source: kube::config::KubeconfigError) -> ClientError {
    ClientError::Kubeconfig { path: path.to_owned(), source: Box::new(source) }
}

/// The first of a comma-separated list, with `http://` when it has no scheme, as upstream reads it.
fn master_url(flag: &str) -> Result<http::Uri, ClientError> {
    let first = flag.split(',').next().unwrap_or(flag);
    let url = if first.contains("://") { first.to_owned() } else { format!("http://{first}") };
    url.parse().map_err(|source| ClientError::Master { url: flag.to_owned(), source })
}
