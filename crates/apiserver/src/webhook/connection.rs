//! Servers at the address that a kubeconfig names.

use std::path::PathBuf;

use anyhow::Context;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// How a webhook is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// As a kubeconfig says.
    Kubeconfig(PathBuf),
    /// As a pod reaches its API server.
    InCluster,
}

impl Connection {
    /// Finds out early whether it can be used.
    ///
    /// # Errors
    /// When its kubeconfig cannot be read.
    pub fn check(&self) -> anyhow::Result<()> {
        if let Self::Kubeconfig(path) = self {
            Kubeconfig::read_from(path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// A client, and the path at which it asks: the whole URL of the server is where it is asked.
    ///
    /// # Errors
    /// When the kubeconfig or what it names cannot be used.
    pub async fn connect(&self) -> anyhow::Result<(Client, String)> {
        let mut config = match self {
            Self::InCluster => Config::incluster()?,
            Self::Kubeconfig(path) => {
                Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?
            }
        };
        let mut parts = config.cluster_url.into_parts();
        let path = parts.path_and_query.replace(http::uri::PathAndQuery::from_static("/"));
        config.cluster_url = http::Uri::from_parts(parts)?;
        config.default_retry = false;
        let path = path.map_or_else(|| "/".to_owned(), |path| path.to_string());
        Ok((Client::try_from(config)?, path))
    }
}
