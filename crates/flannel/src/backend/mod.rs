//! How packets reach the other nodes.
//!
//! A backend is a plan: what the kernel is to have, given this node's lease and the others'. Making it so is
//! [`crate::kernel`]'s.

pub mod host_gw;
pub mod udp;
pub mod vxlan;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::{BackendConfig, NetworkConfig};
use crate::interface::Interface;
use crate::lease::{Lease, Mac};

/// Bytes that the tunnel's headers take: IPv4, UDP, VXLAN, Ethernet.
const VXLAN_OVERHEAD: u32 = 50;
/// Bytes that IPv4 and UDP headers take.
const UDP_OVERHEAD: u32 = 28;

/// What the kernel is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Routes to other nodes' subnets.
    pub routes: BTreeMap<Ipv4Net, Via>,
    /// Hardware addresses of the other ends of the tunnel.
    pub neighbours: BTreeMap<Ipv4Addr, Mac>,
    /// At which node a hardware address is.
    pub forwarding: BTreeMap<Mac, Ipv4Addr>,
    /// What is wrong with some of the leases, a line each.
    pub complaints: Vec<String>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The next hop.
    pub gateway: Ipv4Addr,
    /// The device.
    pub device: Device,
}

/// A device of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The interface by which nodes reach each other.
    External,
    /// The tunnel's.
    Tunnel,
}

/// What the others are, by subnet.
pub type Leases = BTreeMap<Ipv4Net, Lease>;

/// The plan.
#[must_use]
pub fn plan(config: &NetworkConfig, interface: &Interface, peers: &Leases) -> Plan {
    match &config.backend {
        BackendConfig::HostGw => host_gw::plan(interface, peers),
        BackendConfig::Vxlan(vxlan) => vxlan::plan(vxlan, interface, peers),
        // One route to the device is all there is; the rest is decided outside of the kernel.
        BackendConfig::Udp { .. } => Plan::default(),
    }
}

/// What a lease says of the hardware address of its end of the tunnel; `None` where the backend has none.
///
/// # Errors
/// When the backend cannot use the lease.
pub fn claim(backend: &BackendConfig, lease: &Lease) -> Result<Option<Mac>, String> {
    match backend {
        BackendConfig::Vxlan(vxlan) => vxlan::claim(vxlan, lease).map(Some),
        BackendConfig::HostGw | BackendConfig::Udp { .. } => Ok(None),
    }
}

/// The longest packet that pods may send. The kernel makes no tunnel whose packets do not fit in the interface's.
#[must_use]
pub fn mtu(backend: &BackendConfig, interface: &Interface) -> u32 {
    let fits = |overhead: u32| interface.mtu.saturating_sub(overhead);
    match backend {
        BackendConfig::HostGw => interface.mtu,
        BackendConfig::Vxlan(vxlan) if vxlan.mtu > 0 => vxlan.mtu.min(fits(VXLAN_OVERHEAD)),
        BackendConfig::Vxlan(_) => fits(VXLAN_OVERHEAD),
        BackendConfig::Udp { .. } => fits(UDP_OVERHEAD),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lease::Attributes;

    fn interface() -> Interface {
        Interface {
            name: "eth0".into(),
            index: 2,
            mtu: 1500,
            address: "192.168.0.1/24".parse().unwrap(),
            public_ip: Ipv4Addr::new(192, 168, 0, 1),
        }
    }

    fn peers(list: &[(&str, &str, Value)]) -> Leases {
        let lease = |(subnet, ip, data): &(&str, &str, Value)| Lease {
            subnet: subnet.parse().unwrap(),
            attributes: Attributes {
                public_ip: ip.parse().unwrap(),
                public_ipv6: None,
                backend_type: String::new(),
                backend_data: data.clone(),
            },
        };
        list.iter().map(lease).map(|lease| (lease.subnet, lease)).collect()
    }

    fn planned(backend: &str, list: &[(&str, &str, Value)]) -> String {
        let config = format!(r#"{{"Network": "10.5.0.0/16", "Backend": {backend}}}"#);
        let plan = plan(&NetworkConfig::parse(&config).unwrap(), &interface(), &peers(list));
        let routes = plan.routes.iter().map(|(net, via)| format!("{net} via {} {:?}", via.gateway, via.device));
        let neighbours = plan.neighbours.iter().map(|(ip, mac)| format!("{ip} is {mac}"));
        let forwarding = plan.forwarding.iter().map(|(mac, ip)| format!("{mac} at {ip}"));
        let complaints = plan.complaints.iter().map(|line| format!("! {line}"));
        routes.chain(neighbours).chain(forwarding).chain(complaints).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn by_way_of_the_other_node() {
        let list = [("10.5.2.0/24", "192.168.0.2", Value::Null), ("10.5.3.0/24", "192.168.7.3", Value::Null)];
        assert_eq!(
            planned(r#"{"Type": "host-gw"}"#, &list),
            "10.5.2.0/24 via 192.168.0.2 External\n! 10.5.3.0/24: 192.168.7.3 is not on the link of eth0"
        );
    }

    #[test]
    fn through_the_kernels_tunnel() {
        let data = |vni: u32, mac: &str| json!({"VNI": vni, "VtepMAC": mac});
        let list = [
            ("10.5.2.0/24", "192.168.0.2", data(1, "0e:2a:00:00:00:02")),
            ("10.5.3.0/24", "192.168.7.3", data(1, "0e:2a:00:00:00:03")),
            ("10.5.4.0/24", "192.168.7.4", data(2, "0e:2a:00:00:00:04")),
        ];
        assert_eq!(
            planned(r#"{"Type": "vxlan"}"#, &list),
            "10.5.2.0/24 via 10.5.2.0 Tunnel\n10.5.3.0/24 via 10.5.3.0 Tunnel\n\
             10.5.2.0 is 0e:2a:00:00:00:02\n10.5.3.0 is 0e:2a:00:00:00:03\n\
             0e:2a:00:00:00:02 at 192.168.0.2\n0e:2a:00:00:00:03 at 192.168.7.3\n! 10.5.4.0/24: its VNI is 2, not 1"
        );
        let direct = planned(r#"{"Type": "vxlan", "DirectRouting": true}"#, &list[..2]);
        assert!(
            direct.starts_with("10.5.2.0/24 via 192.168.0.2 External\n10.5.3.0/24 via 10.5.3.0 Tunnel"),
            "{direct}"
        );
    }

    #[test]
    fn what_does_not_fit_is_not_asked_for() {
        let mtu = |backend: &str| {
            let config = format!(r#"{{"Network": "10.5.0.0/16", "Backend": {backend}}}"#);
            mtu(&NetworkConfig::parse(&config).unwrap().backend, &interface())
        };
        let found = [r#"{"Type": "host-gw"}"#, r#"{"Type": "udp"}"#, r#"{"Type": "vxlan"}"#].map(mtu);
        assert_eq!(found, [1500, 1472, 1450]);
        let found = [r#"{"Type": "vxlan", "MTU": 1400}"#, r#"{"Type": "vxlan", "MTU": 9000}"#].map(mtu);
        assert_eq!(found, [1400, 1450]);
    }
}
