//! Serving the API over TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use component::Daemon;
use component::serve::{self, certificates, tls};
use rustls::ServerConfig;
use tokio::net::TcpListener;

/// Where and with which certificate.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// `--address` and `--port`.
    pub address: SocketAddr,
    /// What clients are shown.
    pub certificate: ServingCertificate,
}

/// The certificate of the API.
#[derive(Debug, Clone)]
pub enum ServingCertificate {
    /// `--tls-cert-file` and `--tls-private-key-file`, which are read again when they change.
    Files {
        /// The certificate.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// One that the API server is asked for, with its key, in one file. Until it is there, no handshake succeeds.
    Requested(PathBuf),
    /// Self-signed, and kept.
    SelfMade {
        /// Where it is kept.
        directory: PathBuf,
        /// Names and addresses that it is for.
        hosts: Vec<String>,
    },
}

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The certificate cannot be had, or does not fit its key.
    #[error("the kubelet's serving certificate: {0:#}")]
    Certificate(anyhow::Error),
    /// The address is taken or not ours.
    #[error("listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
}

/// Upstream's name of the files in `--cert-dir`.
const PAIR: &str = "kubelet";

/// Binds, serves until the daemon shuts down, and tells the address.
pub async fn listen(config: &ListenConfig, router: Router, daemon: &Daemon) -> Result<SocketAddr, ListenError> {
    let tls = server_config(&config.certificate).map_err(ListenError::Certificate)?;
    let bound = |source| ListenError::Bind { address: config.address, source };
    let listener = TcpListener::bind(config.address).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    serve::spawn_router(listener, Some(tls), router, daemon);
    Ok(address)
}

fn server_config(certificate: &ServingCertificate) -> anyhow::Result<Arc<ServerConfig>> {
    Ok(match certificate {
        ServingCertificate::Files { certificate, key } => {
            tls::server_config_following(tls::serving(certificate, key)?, Vec::new())?
        }
        ServingCertificate::Requested(file) => tls::server_config_awaiting(tls::serving_awaited(file))?,
        ServingCertificate::SelfMade { directory, hosts } => {
            tls::server_config(certificates::read_or_make(directory, PAIR, hosts)?)?
        }
    })
}
