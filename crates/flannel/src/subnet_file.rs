//! `subnet.env`: what others on this node, Docker first of all, need to know of the subnet.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;

/// What is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetFile {
    /// The network.
    pub network: Ipv4Net,
    /// The node's subnet.
    pub subnet: Ipv4Net,
    /// The longest packet that pods may send.
    pub mtu: u32,
    /// Whether flanneld masquerades what leaves the network.
    pub ip_masq: bool,
}

impl SubnetFile {
    /// The text: the subnet with its first address, as a bridge takes it.
    #[must_use]
    pub fn text(&self) -> String {
        let gateway = Ipv4Addr::from(u32::from(self.subnet.network()) + 1);
        format!(
            "FLANNEL_NETWORK={}\nFLANNEL_SUBNET={gateway}/{}\nFLANNEL_MTU={}\nFLANNEL_IPMASQ={}\n",
            self.network,
            self.subnet.prefix_len(),
            self.mtu,
            self.ip_masq
        )
    }

    /// Writes the file, at once or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(directory)?;
        let temporary = directory.join(format!(".subnet.env.{}", std::process::id()));
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    }
}

/// The subnet of an earlier run, when it was of the same network.
#[must_use]
pub fn previous(path: &Path, network: Ipv4Net) -> Option<Ipv4Net> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let same: Ipv4Net = value("FLANNEL_NETWORK")?.trim().parse().ok()?;
    let subnet: Ipv4Net = value("FLANNEL_SUBNET")?.trim().parse().ok()?;
    (same == network && network.contains(&subnet)).then(|| subnet.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let network: Ipv4Net = "10.0.0.0/16".parse().unwrap();
        let subnet: Ipv4Net = "10.0.7.0/24".parse().unwrap();
        let file = SubnetFile { network, subnet, mtu: 1472, ip_masq: false };
        assert_eq!(
            file.text(),
            "FLANNEL_NETWORK=10.0.0.0/16\nFLANNEL_SUBNET=10.0.7.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/subnet.env");
        file.write(&path).unwrap();
        assert_eq!(previous(&path, network), Some(subnet));
        assert_eq!(previous(&path, "10.0.0.0/8".parse().unwrap()), None, "of another network");
    }
}
