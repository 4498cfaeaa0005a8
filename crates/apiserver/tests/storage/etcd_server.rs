//! An etcd for one test, on free ports and in a folder of its own.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A running etcd. It ends with the value.
pub struct Etcd {
    folder: TempDir,
    client: SocketAddr,
    peer: SocketAddr,
    pki: Option<Pki>,
    child: Child,
}

/// What a client with a certificate needs, in PEM.
pub struct Pki {
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

/// A port that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A URL at which nobody answers.
pub fn unused_url() -> String {
    format!("http://{}", free_address())
}

impl Etcd {
    pub async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), None).await
    }

    /// With a server certificate, and asking clients for theirs.
    pub async fn start_tls() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        std::fs::write(folder.path().join("ca.pem"), &pki.ca).unwrap();
        std::fs::write(folder.path().join("server.pem"), &pki.certificate).unwrap();
        std::fs::write(folder.path().join("server.key"), &pki.key).unwrap();
        Self::start_with(folder, Some(pki)).await
    }

    async fn start_with(folder: TempDir, pki: Option<Pki>) -> Self {
        let (client, peer) = (free_address(), free_address());
        let child = spawn(folder.path(), client, peer, pki.is_some());
        let etcd = Self { folder, client, peer, pki, child };
        etcd.wait().await;
        etcd
    }

    pub fn url(&self) -> String {
        let scheme = if self.pki.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.client)
    }

    pub fn pki(&self) -> Option<&Pki> {
        self.pki.as_ref()
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the data it had.
    pub async fn resume(&mut self) {
        self.child = spawn(self.folder.path(), self.client, self.peer, self.pki.is_some());
        self.wait().await;
    }

    /// Sends it a signal: `STOP` makes it silent without closing anything, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Until it accepts connections, which it does once it can serve.
    async fn wait(&self) {
        let begin = Instant::now();
        while TcpStream::connect(self.client).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "etcd does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, client: SocketAddr, peer: SocketAddr, tls: bool) -> Child {
    let scheme = if tls { "https" } else { "http" };
    let (client, peer) = (format!("{scheme}://{client}"), format!("http://{peer}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "test", "--logger", "zap", "--log-level", "error"]);
    command.arg("--data-dir").arg(folder.join("data"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("test={peer}")]);
    if tls {
        command.arg("--cert-file").arg(folder.join("server.pem"));
        command.arg("--key-file").arg(folder.join("server.key"));
        command.arg("--trusted-ca-file").arg(folder.join("ca.pem")).arg("--client-cert-auth");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("etcd is installed")
}

impl Pki {
    /// An authority, and one certificate for both sides.
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "etcd-ca");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        Self { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
