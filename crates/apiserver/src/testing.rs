//! The real server in this process, for tests of everything that talks to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Parser;
use component::Daemon;
use kube::{Client, Config as ClientConfig};

use crate::{App, Config, Flags};

/// A server with an embedded store in a directory of its own, on a port of its own. It ends when it is dropped.
pub struct TestServer {
    address: SocketAddr,
    daemon: Daemon,
    _directory: tempfile::TempDir,
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
        component::daemon::install_crypto_provider();
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let data_dir = format!("--data-dir={}", directory.path().display());
        let own =
            ["kube-apiserver", "--secure-port=0", "--insecure-port=1", &data_dir, "--advertise-address=127.0.0.1"];
        let flags = Flags::parse_from(own.iter().chain(flags));
        let mut config = Config::new(flags).expect("the flags of a test are right");
        config.insecure = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        let daemon = Daemon::new();
        let app = App::build(config, daemon.clone()).await.expect("the server can be built");
        let address = app.addresses().insecure.expect("the plain port was asked for");
        let mut ready = app.ready();
        app.spawn();
        ready.wait_for(|ready| *ready).await.expect("the server becomes ready");
        Self { address, daemon, _directory: directory }
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
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
