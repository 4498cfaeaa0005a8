//! The API server as a process of its own, which can be killed.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kube::{Client, Config, client::Body};
use tempfile::TempDir;

use crate::etcd_server::free_address;

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running API server on a plain port. It ends with the value.
pub struct ApiServer {
    folder: TempDir,
    address: SocketAddr,
    etcd: Option<String>,
    flags: &'static [&'static str],
    child: Child,
}

impl ApiServer {
    /// Starts it over the embedded store, or over the etcd at this URL.
    pub async fn start(etcd: Option<String>) -> Self {
        Self::start_with(etcd, &[]).await
    }

    /// The same with further flags.
    pub async fn start_with(etcd: Option<String>, flags: &'static [&'static str]) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let child = spawn(&folder, address, etcd.as_deref(), flags);
        let server = Self { folder, address, etcd, flags, child };
        server.wait().await;
        server
    }

    pub fn client(&self) -> Client {
        Client::try_from(Config::new(format!("http://{}", self.address).parse().unwrap())).unwrap()
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the data it had.
    pub async fn resume(&mut self) {
        self.child = spawn(&self.folder, self.address, self.etcd.as_deref(), self.flags);
        self.wait().await;
    }

    /// Where the embedded store is.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("data/store.redb")
    }

    async fn wait(&self) {
        let begin = Instant::now();
        let ready = async || {
            let request = http::Request::get("/readyz").body(Body::empty()).unwrap();
            self.client().send(request).await.is_ok_and(|answer| answer.status() == 200)
        };
        while !ready().await {
            assert!(begin.elapsed() < PATIENCE, "the API server does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, address: SocketAddr, etcd: Option<&str>, flags: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    command.arg("--data-dir").arg(folder.path().join("data")).arg("--cert-dir").arg(folder.path().join("certs"));
    command.args(["--secure-port=0", "--advertise-address=192.0.2.1"]);
    // Nobody makes service accounts here.
    command.arg("--disable-admission-plugins=ServiceAccount");
    command.arg(format!("--insecure-port={}", address.port()));
    command.args(flags);
    command.args(etcd.map(|url| format!("--etcd-servers={url}")));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the API server can be started")
}
