//! The real server in this process, for tests of everything that talks to it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use clap::Parser;
use component::Daemon;
use kube::{Client, Config as ClientConfig};

use crate::{App, Config, Flags, catalogue::Served, config::RbacDefaults, registry::Registry};

/// A server with an embedded store in a directory of its own, on ports of its own, plain and TLS. It ends when it is
/// dropped.
pub struct TestServer {
    address: SocketAddr,
    secure: SocketAddr,
    daemon: Daemon,
    served: Arc<Served>,
    registry: Arc<Registry>,
    /// What is stored.
    directory: Option<tempfile::TempDir>,
}

impl TestServer {
    /// Starts a server and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start: there is no test without it.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further flags and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::start_configured(flags, |_| ()).await
    }

    /// Starts a server with further flags and a configuration that no flag can give, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_configured(flags: &[&str], configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary directory can be made"), flags, configure).await
    }

    /// Ends the server, and starts another with what it had stored, on other ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(mut self) -> Self {
        let directory = self.directory.take().expect("only a server that is dropped has none");
        self.daemon.shutdown.cancel();
        self.daemon.drain().await;
        drop(self);
        until_free(&directory.path().join("data/store.redb")).await;
        Self::start_in(directory, &[], |_| ()).await
    }

    async fn start_in(directory: tempfile::TempDir, flags: &[&str], configure: impl FnOnce(&mut Config)) -> Self {
        component::daemon::install_crypto_provider();
        let own = [
            "kube-apiserver".to_owned(),
            format!("--data-dir={}", directory.path().join("data").display()),
            format!("--cert-dir={}", directory.path().join("certs").display()),
            // TEST-NET-1: endpoints must not be loopback addresses.
            "--advertise-address=192.0.2.1".to_owned(),
        ];
        // What needs a controller manager, too: nobody makes service accounts, or takes finalizers from volumes. A test that
        // has one says so.
        const ATTENDED: [&str; 2] = ["ServiceAccount", "StorageObjectInUseProtection"];
        let asked_for =
            |name: &str| flags.iter().any(|flag| flag.contains(name) || flag.contains("--admission-control="));
        let unattended = ATTENDED.into_iter().filter(|name| !asked_for(name));
        let unattended: Vec<String> = unattended.map(|name| format!("--disable-admission-plugins={name}")).collect();
        let flags = unattended.iter().map(String::as_str).chain(flags.iter().copied());
        let flags = Flags::parse_from(own.iter().map(String::as_str).chain(flags));
        let mut config = Config::new(flags).expect("the flags of a test are right");
        let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        config.insecure = Some(anywhere);
        if let Some(secure) = &mut config.secure {
            secure.address = anywhere;
        }
        // Where nobody looks at them, there is no need of a hundred objects.
        if config.authorization.mirrors.is_empty() {
            config.rbac_defaults = RbacDefaults::LeftOut;
        }
        configure(&mut config);
        let daemon = Daemon::new();
        let app = App::build(config, daemon.clone()).await.expect("the server can be built");
        let addresses = app.addresses();
        let address = addresses.insecure.expect("the plain port was asked for");
        let secure = addresses.secure.expect("TLS is served by default");
        let (served, registry) = (app.served().clone(), app.registry().clone());
        let mut ready = app.ready();
        app.spawn();
        ready.wait_for(|ready| *ready).await.expect("the server becomes ready");
        Self { address, secure, daemon, served, registry, directory: Some(directory) }
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `https://127.0.0.1:<port>`; the certificate is self-made.
    #[must_use]
    pub fn secure_url(&self) -> String {
        format!("https://{}", self.secure)
    }

    /// Where it listens for plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client whose default namespace is `default`.
    ///
    /// # Panics
    /// Never: the address is one.
    #[must_use]
    pub fn client(&self) -> Client {
        let url = self.url().parse().expect("an address makes a URL");
        Client::try_from(ClientConfig::new(url)).expect("plain HTTP needs nothing else")
    }

    /// What is served, for tests that change it.
    #[must_use]
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// What reads and writes what is served.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Ends the server and waits for it.
    pub async fn stop(self) {
        self.daemon.shutdown.cancel();
        self.daemon.drain().await;
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

/// Tasks that were aborted end a moment later, and with the last of them the store.
async fn until_free(path: &std::path::Path) {
    let file = std::fs::File::open(path).expect("the store has a file");
    while file.try_lock().is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
