//! The interface by which nodes reach each other.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use ipnet::Ipv4Net;

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
    /// When there is none, or it has no IPv4 address.
    pub fn find(flags: &Flags) -> anyhow::Result<Self> {
        let candidates = candidates().context("listing this node's addresses")?;
        let chosen = choose(&candidates, flags, default_route()).with_context(|| {
            let wanted: Vec<_> = flags.iface.iter().chain(&flags.iface_regex).map(String::as_str).collect();
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

/// As upstream: by names and addresses first, then by patterns, then by the default route.
fn choose<'a>(candidates: &'a [Candidate], flags: &Flags, default: Option<String>) -> Option<&'a Candidate> {
    let named = |wanted: &String| {
        let ip: Option<IpAddr> = wanted.parse().ok();
        let is = |one: &&Candidate| one.name == *wanted || ip == Some(one.address.addr().into());
        candidates.iter().find(is)
    };
    let patterned = |pattern: &String| {
        let is = |one: &&Candidate| matches(pattern, &one.name) || matches(pattern, &one.address.addr().to_string());
        candidates.iter().find(is)
    };
    if flags.iface.is_empty() && flags.iface_regex.is_empty() {
        // Where a public address is given and is this node's, its interface is meant.
        let public = flags.public_ip.and_then(|ip| candidates.iter().find(|one| one.address.addr() == ip));
        return public.or_else(|| default.and_then(|name| candidates.iter().find(|one| one.name == name)));
    }
    flags.iface.iter().find_map(named).or_else(|| flags.iface_regex.iter().find_map(patterned))
}

/// A pattern that cannot be read matches nothing.
fn matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
}

/// The interface of the default route with the smallest metric, from the kernel's table.
fn default_route() -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/route").ok()?;
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_default = *words.get(1)? == "00000000" && *words.get(7)? == "00000000";
        is_default.then(|| Some((words.get(6)?.parse::<u32>().ok()?, (*words.first()?).to_owned())))?
    };
    table.lines().skip(1).filter_map(read).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use component::flags::parse;

    use super::*;

    fn chosen(words: &str) -> Option<String> {
        let candidate = |name: &str, address: &str| Candidate { name: name.into(), address: address.parse().unwrap() };
        let candidates =
            [candidate("lo", "127.0.0.1/8"), candidate("eth0", "192.168.0.7/24"), candidate("ens1", "10.0.1.7/16")];
        let words = std::iter::once("flanneld").chain(words.split_whitespace()).map(Into::into);
        let flags: Flags = parse(words, crate::flags::RETIRED).unwrap();
        choose(&candidates, &flags, Some("eth0".to_owned())).map(|one| one.name.clone())
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
