//! Serving the API over TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use component::Daemon;
use component::serve::{self, certificates, tls};
use tokio::net::TcpListener;

/// Where and with which certificate.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// `--address` and `--port`.
    pub address: SocketAddr,
    /// `--tls-cert-file` and `--tls-private-key-file`.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// `--cert-dir`: where a self-signed pair is kept when none is given.
    pub cert_dir: PathBuf,
    /// Names and addresses for the self-signed certificate.
    pub hosts: Vec<String>,
}

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The certificate cannot be had.
    #[error("the kubelet's serving certificate: {0}")]
    Certificate(#[from] certificates::CertificateError),
    /// The certificate does not fit its key.
    #[error("the kubelet's serving certificate: {0}")]
    Tls(#[from] rustls::Error),
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
    let pair = match &config.certificate {
        Some((certificate, key)) => certificates::read_pair(certificate, key)?,
        None => certificates::read_or_make(&config.cert_dir, PAIR, &config.hosts)?,
    };
    let bound = |source| ListenError::Bind { address: config.address, source };
    let listener = TcpListener::bind(config.address).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    serve::spawn_router(listener, Some(tls::server_config(pair)?), router, daemon);
    Ok(address)
}
