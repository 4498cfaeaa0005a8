//! A server that can end and come back, and a wire to it that can be held.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use apiserver::{App, Config, Flags, storage::Store};
use clap::Parser;
use component::Daemon;
use kube::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How long a condition may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An API server with a store that outlives it.
pub struct Server {
    daemon: Daemon,
    address: SocketAddr,
    /// It closes with the server.
    store: Weak<dyn Store>,
    directory: tempfile::TempDir,
}

impl Server {
    pub async fn start() -> Self {
        component::daemon::install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        let (daemon, address, store) = serve(directory.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        Self { daemon, address, store, directory }
    }

    /// Ends it and starts it again, in the same place.
    pub async fn restart(&mut self) {
        self.daemon.shutdown.cancel();
        self.daemon.drain().await;
        (self.daemon, self.address, self.store) = serve(self.directory.path(), self.address).await;
    }

    /// Nobody remembers any more what was before.
    pub async fn forget(&mut self) {
        let store = self.store.upgrade().unwrap();
        store.compact(store.current_revision().await.unwrap()).await.unwrap();
        drop(store);
        self.restart().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn client(&self) -> Client {
        client(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

async fn serve(directory: &Path, address: SocketAddr) -> (Daemon, SocketAddr, Weak<dyn Store>) {
    let flags = Flags::parse_from([
        "kube-apiserver".to_owned(),
        format!("--data-dir={}", directory.join("data").display()),
        format!("--cert-dir={}", directory.join("certs").display()),
        "--advertise-address=192.0.2.1".to_owned(),
    ]);
    let mut config = Config::new(flags).unwrap();
    config.insecure = Some(address);
    if let Some(secure) = &mut config.secure {
        secure.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    }
    let daemon = Daemon::new();
    let app = App::build(config, daemon.clone()).await.unwrap();
    let address = app.addresses().insecure.unwrap();
    let store = Arc::downgrade(app.registry().store());
    let mut ready = app.ready();
    app.spawn();
    ready.wait_for(|ready| *ready).await.unwrap();
    (daemon, address, store)
}

pub fn config(address: SocketAddr) -> kube::Config {
    kube::Config::new(format!("http://{address}").parse().unwrap())
}

pub fn client(address: SocketAddr) -> Client {
    Client::try_from(config(address)).unwrap()
}

/// Carries connections to a server; what is on its way waits while the wire is held.
pub struct Wire {
    pub address: SocketAddr,
    held: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = Self { address: listener.local_addr().unwrap(), held: watch::Sender::new(false) };
        let held = own.held.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.unwrap();
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(from_near, to_far, held.clone()));
                tokio::spawn(carry(from_far, to_near, held.clone()));
            }
        });
        own
    }

    /// From now on nothing gets through.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut held: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
