//! From kubeconfig and flags to a client.

use std::path::PathBuf;

use clap::Args;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::error::{Error, Result};

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct GlobalFlags {
    /// Path of the kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Namespace
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Bearer token
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Certificate authority of the server
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Do not check the server's certificate
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// Verbosity; from 6 on every request is logged
    #[arg(short, long = "v", global = true, default_value_t = 0, value_name = "LEVEL")]
    pub v: u8,
}

/// Where kubectl, and so we, look for a kubeconfig: `--kubeconfig`, `$KUBECONFIG`,
/// `~/.kube/config`.
#[must_use]
pub fn kubeconfig_paths(flags: &GlobalFlags) -> Vec<PathBuf> {
    if let Some(path) = &flags.kubeconfig {
        return vec![path.clone()];
    }
    match std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
        Some(paths) => std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config")).into_iter().collect(),
    }
}

/// The merged kubeconfig; empty when there is no file, unless one was named.
///
/// # Errors
/// When a file is malformed, or the one that was named is missing.
pub fn read_kubeconfig(flags: &GlobalFlags) -> Result<Kubeconfig> {
    let mut merged = Kubeconfig::default();
    for path in kubeconfig_paths(flags) {
        if !path.exists() && flags.kubeconfig.is_none() {
            continue;
        }
        let file = Kubeconfig::read_from(&path).map_err(|error| Error::File(format!("{}: {error}", path.display())))?;
        merged = merged.merge(file).map_err(|error| Error::File(error.to_string()))?;
    }
    Ok(merged)
}

/// The client's configuration: kubeconfig, then flags; `http://localhost:8080` when neither names a
/// server.
///
/// # Errors
/// When the kubeconfig is malformed or names what is not there.
pub async fn config(flags: &GlobalFlags) -> Result<Config> {
    let kubeconfig = read_kubeconfig(flags)?;
    let has_context =
        flags.context.is_some() || kubeconfig.current_context.as_deref().is_some_and(|name| !name.is_empty());
    let mut config = if has_context || flags.cluster.is_some() {
        let options = KubeConfigOptions {
            context: flags.context.clone(),
            cluster: flags.cluster.clone(),
            user: flags.user.clone(),
        };
        let loaded = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        loaded.map_err(|error| Error::usage(error.to_string()))?
    } else {
        Config::new(http::Uri::from_static("http://localhost:8080"))
    };
    // kubectl tells at once that a server is in trouble.
    config.default_retry = false;
    apply_flags(&mut config, flags)?;
    Ok(config)
}

fn apply_flags(config: &mut Config, flags: &GlobalFlags) -> Result<()> {
    if let Some(server) = &flags.server {
        let url = if server.contains("://") { server.clone() } else { format!("http://{server}") };
        config.cluster_url = url.parse().map_err(|error| Error::usage(format!("--server {server:?}: {error}")))?;
    }
    if let Some(namespace) = &flags.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if let Some(token) = &flags.token {
        config.auth_info.token = Some(token.clone().into());
    }
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    if let Some(file) = &flags.client_certificate {
        config.auth_info.client_certificate = Some(path(file));
    }
    if let Some(file) = &flags.client_key {
        config.auth_info.client_key = Some(path(file));
    }
    if let Some(file) = &flags.certificate_authority {
        let chain = component::serve::certificates::read_chain(file).map_err(|error| Error::File(error.to_string()))?;
        config.root_cert = Some(chain.iter().map(|certificate| certificate.to_vec()).collect());
    }
    config.accept_invalid_certs |= flags.insecure_skip_tls_verify;
    Ok(())
}
