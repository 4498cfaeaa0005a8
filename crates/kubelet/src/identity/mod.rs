//! Who the kubelet is: as a client of the API server, and as the server of its own API.
//!
//! A kubelet that has no certificate asks for one with the credentials of `--bootstrap-kubeconfig` ([`bootstrap`]), and for
//! another before the one it has runs out ([`keeper`]). What it is given is kept in `--cert-dir`, where upstream's tools look
//! for it ([`files`]); whoever uses it follows the files, so that nothing has to be told.

pub mod bootstrap;
pub mod files;
pub mod keeper;
pub mod request;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use component::Daemon;
use component::client::{self, Identity};
use component::flags::ClientFlags;
use kube::Client;

use self::files::CertificateFiles;
use self::keeper::{Credentials, Keeper, Renewal};
use self::request::Template;

/// Upstream's names of what is in `--cert-dir`.
const CLIENT: &str = "kubelet-client";
const SERVER: &str = "kubelet-server";

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct IdentityConfig {
    /// `--bootstrap-kubeconfig`.
    pub bootstrap: Option<PathBuf>,
    /// `--rotate-certificates`.
    pub rotate_client: bool,
    /// `--rotate-server-certificates`, or `serverTLSBootstrap`: the serving certificate is asked for.
    pub request_serving: bool,
    /// `--cert-dir`.
    pub cert_dir: PathBuf,
}

/// The kubelet's certificates, of a node that is known by its name.
pub struct Certificates {
    config: IdentityConfig,
    node: String,
    client: Arc<CertificateFiles>,
    serving: Arc<CertificateFiles>,
}

impl Certificates {
    /// Of the node `node`.
    #[must_use]
    pub fn new(config: &IdentityConfig, node: &str) -> Self {
        let files = |name| Arc::new(CertificateFiles::new(&config.cert_dir, name));
        Self { config: config.clone(), node: node.to_owned(), client: files(CLIENT), serving: files(SERVER) }
    }

    /// A client of the API server by the best identity there is; when there is none, a kubeconfig is written for the one
    /// that will be asked for.
    ///
    /// # Errors
    /// When there is neither a usable kubeconfig nor one to begin with.
    pub fn connect(&self, flags: &ClientFlags) -> anyhow::Result<Client> {
        if let Some(bootstrap) = &self.config.bootstrap {
            let kubeconfig = flags.kubeconfig.as_deref().context("--bootstrap-kubeconfig needs --kubeconfig")?;
            bootstrap::prepare(kubeconfig, bootstrap, &self.client.current_path())?;
        }
        let own = Own { files: Arc::clone(&self.client), user: self.user() };
        let identity = self.config.rotate_client.then(|| Box::new(own) as Box<dyn Identity>);
        Ok(client::following(flags, identity)?)
    }

    /// Where the serving certificate will be, if it is asked for.
    #[must_use]
    pub fn requested_serving(&self) -> Option<PathBuf> {
        self.config.request_serving.then(|| self.serving.current_path())
    }

    /// Keeps both certificates current. `hosts` are the names and addresses that the serving certificate is for.
    pub fn keep(&self, client: &Client, hosts: &Hosts, daemon: &Daemon) {
        let user = self.user();
        let keeper = |files: &Arc<CertificateFiles>, template, renewal| Keeper {
            files: Arc::clone(files),
            template,
            renewal,
            credentials: Credentials { own: client.clone(), bootstrap: self.config.bootstrap.clone() },
            daemon: daemon.clone(),
        };
        if self.config.rotate_client || self.config.bootstrap.is_some() {
            let renewal = if self.config.rotate_client { Renewal::BeforeItEnds } else { Renewal::Never };
            keeper(&self.client, Template::client(&user), renewal).spawn();
        }
        if self.config.request_serving {
            keeper(&self.serving, Template::serving(&user, hosts), Renewal::BeforeItEnds).spawn();
        }
    }

    fn user(&self) -> String {
        format!("system:node:{}", self.node)
    }
}

/// Names and addresses of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Names.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// The certificate that was asked for, as long as it is this node's and good.
struct Own {
    files: Arc<CertificateFiles>,
    user: String,
}

impl Identity for Own {
    fn path(&self) -> &Path {
        self.files.current()
    }

    fn is_usable(&self) -> bool {
        self.files.read().is_ok_and(|held| held.is_good() && held.common_name == self.user)
    }
}
