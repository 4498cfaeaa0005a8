//! The interface by which nodes reach each other.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::Context;
use ipnet::Ipv4Net;
use regex::Regex;

use crate::flags::Flags;

/// The interface, and the node's address on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// The longest packet that it sends; Ethernet's, until the kernel was asked.
    pub mtu: u32,
    /// The node's address, with the network that is on the link.
    pub address: Ipv4Net,
    /// Where other nodes find this one.
    pub public_ip: Ipv4Addr,
}

/// Ethernet's.
const USUAL_MTU: u32 = 1500;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    name: String,
    address: Ipv4Net,
}

impl Interface {
    /// Finds the interface that the flags mean.
    ///
    /// # Errors
    /// When there is none, or it has no IPv4 address; when a pattern is none.
    pub fn find(flags: &Flags) -> anyhow::Result<Self> {
        let candidates = candidates().context("listing this node's addresses")?;
        let patterns: Result<Vec<Regex>, _> = flags.iface_regex.iter().map(|pattern| Regex::new(pattern)).collect();
        let patterns = patterns.context("--iface-regex")?;
        let chosen = choose(&candidates, flags, &patterns, &Routes).with_context(|| {
            let reach = flags.iface_can_reach.map(|ip| format!("the way to {ip}"));
            let wanted: Vec<_> = flags.iface.iter().chain(&flags.iface_regex).cloned().chain(reach).collect();
            match wanted.is_empty() {
                true => "there is no default route: name an interface with --iface".to_owned(),
                false => format!("no interface with an IPv4 address is {}", wanted.join(" or ")),
            }
        })?;
        let index = nix::net::if_::if_nametoindex(chosen.name.as_str()).with_context(|| chosen.name.clone())?;
        let public_ip = flags.public_ip.unwrap_or(chosen.address.addr());
        Ok(Self { name: chosen.name.clone(), index, mtu: USUAL_MTU, address: chosen.address, public_ip })
    }

    /// Whether another node is on the same link.
    #[must_use]
    pub fn reaches(&self, ip: Ipv4Addr) -> bool {
        self.address.contains(&ip)
    }
}

fn candidates() -> std::io::Result<Vec<Candidate>> {
    let all = nix::ifaddrs::getifaddrs()?;
    let read = |one: nix::ifaddrs::InterfaceAddress| {
        let ip = one.address.as_ref()?.as_sockaddr_in()?.ip();
        let mask = one.netmask.as_ref()?.as_sockaddr_in()?.ip();
        Some(Candidate { name: one.interface_name, address: Ipv4Net::with_netmask(ip, mask).ok()? })
    };
    Ok(all.filter_map(read).collect())
}

/// What the kernel's routes tell.
trait Routing {
    /// The interface of the default route.
    fn default(&self) -> Option<String>;
    /// This node's address on the way to another.
    fn source(&self, to: Ipv4Addr) -> Option<Ipv4Addr>;
}

/// As upstream: by names and addresses first, then by patterns, then by what is to be reached, then by the default route.
fn choose<'a>(
    candidates: &'a [Candidate],
    flags: &Flags,
    patterns: &[Regex],
    routes: &impl Routing,
) -> Option<&'a Candidate> {
    let at = |ip: Ipv4Addr| candidates.iter().find(|one| one.address.addr() == ip);
    if flags.iface.is_empty() && patterns.is_empty() && flags.iface_can_reach.is_none() {
        // Where a public address is given and is this node's, its interface is meant.
        let default = || routes.default().and_then(|name| candidates.iter().find(|one| one.name == name));
        return flags.public_ip.and_then(at).or_else(default);
    }
    let named = |wanted: &String| candidates.iter().find(|one| one.is_called(wanted));
    let patterned = |pattern: &Regex| {
        let by_address = candidates.iter().find(|one| pattern.is_match(&one.address.addr().to_string()));
        by_address.or_else(|| candidates.iter().find(|one| pattern.is_match(&one.name)))
    };
    let reaching = || flags.iface_can_reach.and_then(|ip| routes.source(ip)).and_then(at);
    let by_name = flags.iface.iter().find_map(named);
    by_name.or_else(|| patterns.iter().find_map(patterned)).or_else(reaching)
}

impl Candidate {
    fn is_called(&self, wanted: &str) -> bool {
        self.name == wanted || wanted.parse::<IpAddr>().is_ok_and(|ip| ip == self.address.addr())
    }
}

/// The kernel's.
struct Routes;

impl Routing for Routes {
    /// That with the smallest metric.
    fn default(&self) -> Option<String> {
        let table = std::fs::read_to_string("/proc/net/route").ok()?;
        let read = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_default = *words.get(1)? == "00000000" && *words.get(7)? == "00000000";
            is_default.then(|| Some((words.get(6)?.parse::<u32>().ok()?, (*words.first()?).to_owned())))?
        };
        table.lines().skip(1).filter_map(read).min().map(|(_, name)| name)
    }

    /// Connecting a UDP socket sends nothing: the kernel chooses the route, and with it the address.
    fn source(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        match socket.local_addr().ok()?.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use component::flags::parse;

    use super::*;

    struct Fixed;

    impl Routing for Fixed {
        fn default(&self) -> Option<String> {
            Some("eth0".to_owned())
        }

        fn source(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
            (to.octets()[0] == 10).then_some(Ipv4Addr::new(10, 0, 1, 7))
        }
    }

    #[test]
    fn the_kernel_knows_the_way() {
        assert_eq!(Routes.source(Ipv4Addr::LOCALHOST), Some(Ipv4Addr::LOCALHOST));
    }

    fn chosen(words: &str) -> Option<String> {
        let candidate = |name: &str, address: &str| Candidate { name: name.into(), address: address.parse().unwrap() };
        let candidates =
            [candidate("lo", "127.0.0.1/8"), candidate("eth0", "192.168.0.7/24"), candidate("ens1", "10.0.1.7/16")];
        let words = std::iter::once("flanneld").chain(words.split_whitespace()).map(Into::into);
        let flags: Flags = parse(words, crate::flags::RETIRED).unwrap();
        let patterns: Vec<Regex> = flags.iface_regex.iter().map(|pattern| Regex::new(pattern).unwrap()).collect();
        choose(&candidates, &flags, &patterns, &Fixed).map(|one| one.name.clone())
    }

    #[test]
    fn the_interface_is_found() {
        let cases = [
            ("", Some("eth0")),
            ("-iface ens1", Some("ens1")),
            ("-iface 10.0.1.7", Some("ens1")),
            ("-iface nope", None),
            ("-iface nope -iface-regex en.*", Some("ens1")),
            (r"-iface-regex ^10\.0\.1\.", Some("ens1")),
            ("-iface nope -iface ens1 -iface eth0", Some("ens1")),
            ("-iface-regex nope -iface-regex 10.0 -iface-can-reach 10.9.9.9", Some("ens1")),
            (r"-iface-regex 7$", Some("eth0")),
            ("-iface-can-reach 10.9.9.9", Some("ens1")),
            ("-iface eth0 -iface-can-reach 10.9.9.9", Some("eth0")),
            ("-iface-can-reach 11.9.9.9", None),
            (r"-iface-regex ^h.*0$", None),
            (r"-iface-regex h0$", Some("eth0")),
            ("-public-ip 10.0.1.7", Some("ens1")),
            ("-public-ip 203.0.113.9", Some("eth0")),
        ];
        for (words, expected) in cases {
            assert_eq!(chosen(words).as_deref(), expected, "{words}");
        }
    }
}
