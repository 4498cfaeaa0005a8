//! The machine's own Docker, with an image to run.

use bytes::Bytes;
use kubelet::runtime::Runtime;
use kubelet::runtime::docker::{DockerConfig, DockerRuntime};

/// Has `sh`, `echo`, `cat`, `sleep` and some more.
pub const IMAGE: &str = "ferrokube/conformance:3";

/// A client of the daemon at `DOCKER_HOST` or its usual place, which has [`IMAGE`]. `None` when there is no daemon:
/// a test is skipped then, see [`test_needs`].
pub async fn docker() -> Option<DockerRuntime> {
    let runtime = DockerRuntime::new(config());
    test_needs::need("Docker", runtime.version().await)?;
    if runtime.inspect_image(IMAGE).await.unwrap().is_none() {
        runtime.import_image(IMAGE, busybox(), &[]).await.unwrap();
    }
    Some(runtime)
}

/// Where that daemon is.
pub fn config() -> DockerConfig {
    let endpoint = std::env::var("DOCKER_HOST").ok();
    DockerConfig { endpoint: endpoint.unwrap_or_else(|| DockerConfig::default().endpoint), ..DockerConfig::default() }
}

/// Programs that tests run.
const APPLETS: [&str; 20] = [
    "sh", "echo", "cat", "sleep", "true", "false", "ps", "id", "ip", "ping", "wget", "httpd", "stty", "hostname",
    "grep", "touch", "env", "mkdir", "ln", "mv",
];

/// A tar of Debian's `busybox-static` and the links that tests use.
pub fn busybox() -> Bytes {
    let binary = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(binary.len() as u64);
    archive.append_data(&mut header, "bin/busybox", binary.as_slice()).unwrap();
    for applet in APPLETS {
        let mut link = tar::Header::new_ustar();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        archive.append_link(&mut link, format!("bin/{applet}"), "busybox").unwrap();
    }
    archive.into_inner().unwrap().into()
}
