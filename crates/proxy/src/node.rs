//! This node: its name, its addresses, its kernel's settings.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::thread::available_parallelism;

use ipnet::IpNet;
use iptables::Family;

use crate::config::ConntrackLimits;
use crate::settings::{LocalhostNodePorts, NodePortAddresses, Settings};

/// The host's name.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The addresses of all interfaces, loopback included.
///
/// # Errors
/// When the kernel does not tell.
pub fn addresses() -> std::io::Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs()?;
    let addresses = interfaces.filter_map(|interface| interface.address).filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    });
    Ok(addresses.collect())
}

/// The address families that the kernel has.
#[must_use]
pub fn families() -> Vec<Family> {
    let v6 = Path::new("/proc/net/if_inet6").exists();
    if v6 { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
}

/// Completes the settings with this node's addresses as they are now; node ports answer on those in the networks, or
/// on all. Those that are good on one link only do not
/// count: every pod that starts brings one.
#[must_use]
pub fn with_addresses(
    settings: &Settings,
    mut addresses: Vec<IpAddr>,
    node_port_networks: Option<&[IpNet]>,
) -> Settings {
    addresses.retain(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
    addresses.sort_unstable();
    addresses.dedup();
    let networks = node_port_networks.filter(|networks| networks.iter().all(|net| net.prefix_len() > 0));
    let node_ports = match networks {
        None => NodePortAddresses::All,
        Some(networks) => {
            let chosen = |ip: &&IpAddr| networks.iter().any(|net| net.contains(*ip));
            NodePortAddresses::These(addresses.iter().filter(chosen).copied().collect())
        }
    };
    Settings { node_ports, node_addresses: addresses, ..settings.clone() }
}

/// How a kernel setting is to be changed.
#[derive(Clone, Copy)]
enum Want {
    /// To this value.
    Exactly(u64),
    /// To this value, unless it is higher.
    AtLeast(u64),
}

/// Sets what the rules need of the kernel. A setting that cannot be made is logged: in a container or a network
/// namespace most belong to the host.
pub fn prepare_kernel(settings: &Settings, limits: &ConntrackLimits) {
    let cores = available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(1));
    let tracked = match limits.per_core {
        0 => 0,
        per_core => (u64::from(per_core) * cores).max(u64::from(limits.least)),
    };
    let wanted = [
        // Node ports on 127.0.0.1 leave the host with a loopback source before they are masqueraded.
        ("net/ipv4/conf/all/route_localnet", Want::Exactly(1), settings.localhost == LocalhostNodePorts::Answered),
        ("net/netfilter/nf_conntrack_max", Want::AtLeast(tracked), tracked > 0),
        setting("net/netfilter/nf_conntrack_tcp_timeout_established", limits.established.as_secs()),
        setting("net/netfilter/nf_conntrack_tcp_timeout_close_wait", limits.close_wait.as_secs()),
        setting("net/netfilter/nf_conntrack_udp_timeout", limits.udp.as_secs()),
        setting("net/netfilter/nf_conntrack_udp_timeout_stream", limits.udp_stream.as_secs()),
        ("net/netfilter/nf_conntrack_tcp_be_liberal", Want::Exactly(1), limits.liberal),
    ];
    for (name, want, needed) in wanted {
        if needed && let Err(error) = set(Path::new("/proc/sys").join(name).as_path(), want) {
            tracing::warn!(sysctl = name, "set a kernel parameter: {error}");
        }
    }
    warn_about_bridges();
}

fn setting(name: &'static str, seconds: u64) -> (&'static str, Want, bool) {
    (name, Want::Exactly(seconds), seconds > 0)
}

fn set(path: &Path, want: Want) -> std::io::Result<()> {
    let now: Option<u64> = fs::read_to_string(path)?.trim().parse().ok();
    match (want, now) {
        (Want::Exactly(value), Some(now)) if now == value => Ok(()),
        (Want::AtLeast(value), Some(now)) if now >= value => Ok(()),
        (Want::Exactly(value) | Want::AtLeast(value), _) => fs::write(path, value.to_string()),
    }
}

/// Without this setting two pods on one bridge reach each other by a virtual address one way only.
fn warn_about_bridges() {
    let setting = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    if !setting.is_ok_and(|value| value.trim() == "1") {
        tracing::info!(
            "net.bridge.bridge-nf-call-iptables is not 1: pods that share a bridge may not reach each other's services"
        );
    }
}
