//! What the machine is, read once from `/proc`, `/sys` and `/etc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use api_types::core::NodeSystemInfo;
use api_types::quantity::{Format, Quantity};

/// What upstream keeps free before it evicts.
const MEMORY_THRESHOLD: i64 = 100 << 20;
const DISK_SHARE: f64 = 0.9;

/// What the machine has.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Resources.
    pub capacity: BTreeMap<String, Quantity>,
    /// What pods may use of them.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Identity and versions, but for the runtime's.
    pub info: NodeSystemInfo,
    /// Memory in bytes.
    pub memory: i64,
}

impl Machine {
    /// Looks at this machine. What cannot be read counts as absent.
    #[must_use]
    pub fn detect(root: &Path, max_pods: i64, reserved: &BTreeMap<String, Quantity>) -> Self {
        let memory = memory(&read("/proc/meminfo"));
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| i64::try_from(cpus.get()).unwrap_or(1));
        let disk = disk(root);
        let whole = |value| Quantity::new(value, Format::DecimalSi);
        let capacity = BTreeMap::from([
            ("cpu".to_owned(), whole(cpus)),
            ("memory".to_owned(), Quantity::from_bytes(memory)),
            ("ephemeral-storage".to_owned(), Quantity::from_bytes(disk)),
            ("pods".to_owned(), whole(max_pods)),
        ]);
        let mut allocatable = capacity.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a share of a disk's size")]
        allocatable.insert("ephemeral-storage".to_owned(), whole((disk as f64 * DISK_SHARE) as i64));
        allocatable.insert("memory".to_owned(), Quantity::from_bytes((memory - MEMORY_THRESHOLD).max(0)));
        for (name, amount) in reserved {
            if let Some(left) = allocatable.get_mut(name) {
                *left = (*left - *amount).max(Quantity::ZERO);
            }
        }
        Self { capacity, allocatable, info: info(), memory }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// `MemTotal` in bytes.
fn memory(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Size in bytes of the file system that pods' files are on, whole KiB.
fn disk(root: &Path) -> i64 {
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let size = nix::sys::statvfs::statvfs(existing).map(|disk| disk.blocks() * disk.fragment_size()).unwrap_or(0);
    i64::try_from(size / 1024 * 1024).unwrap_or(i64::MAX)
}

fn info() -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        machine_id: read("/etc/machine-id"),
        system_uuid: Some(read("/sys/class/dmi/id/product_uuid"))
            .filter(|uuid| !uuid.is_empty())
            .unwrap_or_else(|| read("/etc/machine-id")),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        os_image: os_image(&read("/etc/os-release")),
        operating_system: "linux".to_owned(),
        kubelet_version: component::KUBERNETES_VERSION.to_owned(),
        ..NodeSystemInfo::default()
    }
}

/// Go's name of this architecture.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn os_image(os_release: &str) -> String {
    let pretty = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    pretty.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        assert_eq!(memory("MemTotal:        8000 kB\nMemFree: 1 kB\n"), 8_192_000);
        assert_eq!(memory("nonsense"), 0);
        assert_eq!(
            os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
    }

    #[test]
    fn what_is_reserved_is_not_allocatable() {
        let reserved = BTreeMap::from([("cpu".to_owned(), Quantity::from_milli(100))]);
        let machine = Machine::detect(Path::new("/nowhere"), 110, &reserved);
        assert_eq!(machine.capacity["cpu"] - machine.allocatable["cpu"], Quantity::from_milli(100));
        assert!(machine.memory > 0 && machine.allocatable["memory"] < machine.capacity["memory"]);
    }
}
