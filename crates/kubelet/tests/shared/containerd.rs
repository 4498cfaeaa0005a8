//! A containerd of the test's own, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kubelet::runtime::Runtime;
use kubelet::runtime::cri::{CriConfig, CriRuntime};
use tempfile::TempDir;

/// Where the standard CNI plugins are, as packages and as walkthroughs have them.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// Longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon with its directories, gone with the test.
pub struct Containerd {
    child: Option<Child>,
    directory: TempDir,
}

impl Containerd {
    /// One that has an image of this, and connects pods to a bridge of its own. `None` when this machine has no containerd: a test is skipped then, see [`test_needs`].
    pub async fn start(image: &str, rootfs: Bytes) -> Option<Self> {
        let there = Command::new("containerd").arg("--version").stdout(Stdio::null()).status();
        test_needs::need("containerd", there)?;
        let plugins = PLUGINS.iter().map(Path::new).find(|path| path.join("bridge").exists());
        test_needs::need("the standard CNI plugins", plugins.ok_or("there are none"))?;
        if !test_needs::root() {
            return None;
        }
        let mut containerd = Self::idle();
        containerd.configure(plugins?);
        containerd.run();
        let runtime = containerd.runtime();
        containerd.answers(&runtime).await;
        runtime.import_image(image, rootfs, &[]).await.unwrap();
        Some(containerd)
    }

    fn idle() -> Self {
        Self { child: None, directory: TempDir::with_prefix("containerd").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Whatever the directory is on, images are small enough to be copied.
    fn configure(&self, plugins: &Path) {
        let at = |name: &str| self.path(name).display().to_string();
        let cni = self.path("cni");
        std::fs::create_dir_all(&cni).unwrap();
        let list = serde_json::json!({
            "cniVersion": "0.4.0", "name": bridge(), "plugins": [
                {"type": "bridge", "bridge": bridge(), "isGateway": true, "hairpinMode": true,
                 "ipam": {"type": "host-local", "dataDir": at("addresses"),
                          "ranges": [[{"subnet": network()}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        std::fs::write(cni.join("10-test.conflist"), list.to_string()).unwrap();
        let text = format!(
            r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "ferrokube/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{bin}"
conf_dir = "{conf}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
"#,
            root = at("root"),
            state = at("state"),
            socket = at("containerd.sock"),
            bin = plugins.display(),
            conf = cni.display(),
            opt = at("opt"),
        );
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    /// Starts the daemon; containers of one that ran before go on.
    pub fn run(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new("containerd")
            .args(["--config".as_ref(), self.path("config.toml").as_os_str()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// Ends the daemon, and leaves its containers alone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn config(&self) -> CriConfig {
        CriConfig {
            endpoint: format!("unix://{}", self.path("containerd.sock").display()),
            pod_logs: self.path("pods"),
            ..CriConfig::default()
        }
    }

    pub fn runtime(&self) -> CriRuntime {
        CriRuntime::new(self.config()).unwrap()
    }

    pub async fn answers(&self, runtime: &CriRuntime) {
        let begun = Instant::now();
        while let Err(error) = runtime.list_images().await {
            assert!(begun.elapsed() < PATIENCE, "{error}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.kill();
        let _ = Command::new("ip").args(["link", "delete", &bridge()]).stderr(Stdio::null()).status();
        // What containers left mounted when their daemon ended.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = self.directory.path().display().to_string();
        let mut points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        points.reverse();
        for point in points.into_iter().filter(|point| point.starts_with(&own)) {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// Tests run at the same time, each in a process of its own.
pub fn bridge() -> String {
    format!("ct{}", std::process::id())
}

/// Sixteen addresses of 10.248.0.0/14.
fn network() -> String {
    let first = u32::from(std::net::Ipv4Addr::new(10, 248, 0, 0)) + (std::process::id() % (1 << 14)) * 16;
    format!("{}/28", std::net::Ipv4Addr::from(first))
}
