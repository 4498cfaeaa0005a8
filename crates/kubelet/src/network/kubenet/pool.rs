//! Which addresses are free.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::super::{NetworkError, Result};

/// The addresses of one network. They are given out in turn, so that one just given back is not reused at once.
#[derive(Debug)]
pub struct Pool {
    cidr: Ipv4Net,
    /// Given out, and the bridge's own.
    taken: BTreeSet<Ipv4Addr>,
    /// Where the search begins.
    next: Ipv4Addr,
}

impl Pool {
    /// A pool in which `gateway` and `taken` are not free.
    pub fn new(cidr: Ipv4Net, gateway: Ipv4Addr, taken: impl Iterator<Item = Ipv4Addr>) -> Self {
        let taken: BTreeSet<Ipv4Addr> = taken.chain([gateway]).collect();
        let highest = taken.iter().rev().find(|ip| cidr.contains(*ip)).copied().unwrap_or(gateway);
        Self { cidr, taken, next: successor(highest) }
    }

    /// The network.
    pub fn cidr(&self) -> Ipv4Net {
        self.cidr
    }

    /// Gives out an address.
    pub fn allocate(&mut self) -> Result<Ipv4Addr> {
        let first = successor(self.cidr.network());
        let last = Ipv4Addr::from_bits(self.cidr.broadcast().to_bits().saturating_sub(1));
        let mut candidates = Ipv4AddrRange(self.next, last).chain(Ipv4AddrRange(first, last));
        let free = candidates.find(|ip| self.cidr.contains(ip) && !self.taken.contains(ip));
        let free = free.ok_or(NetworkError::Exhausted(IpNet::V4(self.cidr)))?;
        self.taken.insert(free);
        self.next = successor(free);
        Ok(free)
    }

    /// Takes an address back.
    pub fn release(&mut self, ip: Ipv4Addr) {
        self.taken.remove(&ip);
    }
}

fn successor(ip: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(ip.to_bits().saturating_add(1))
}

/// All addresses from the first to the last.
struct Ipv4AddrRange(Ipv4Addr, Ipv4Addr);

impl Iterator for Ipv4AddrRange {
    type Item = Ipv4Addr;

    fn next(&mut self) -> Option<Ipv4Addr> {
        let Self(first, last) = *self;
        (first <= last).then(|| {
            self.0 = successor(first);
            first
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(taken: &[&str]) -> Pool {
        let taken = taken.iter().map(|ip| ip.parse().unwrap());
        Pool::new("10.0.0.0/29".parse().unwrap(), "10.0.0.1".parse().unwrap(), taken)
    }

    fn drain(pool: &mut Pool) -> Vec<String> {
        std::iter::from_fn(|| pool.allocate().ok()).map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn every_address_is_given_out_once() {
        let mut pool = pool(&[]);
        assert_eq!(drain(&mut pool), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(pool.allocate().unwrap_err().to_string(), "no address is free in 10.0.0.0/29");
        pool.release("10.0.0.3".parse().unwrap());
        assert_eq!(drain(&mut pool), ["10.0.0.3"]);
    }

    #[test]
    fn what_was_given_before_a_restart_stays_given() {
        let mut pool = pool(&["10.0.0.3", "10.9.9.9"]);
        assert_eq!(drain(&mut pool), ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
    }

    #[test]
    fn an_address_given_back_is_the_last_to_be_reused() {
        let mut pool = pool(&[]);
        let first = pool.allocate().unwrap();
        pool.release(first);
        assert_eq!(drain(&mut pool).last().unwrap(), "10.0.0.2");
    }
}
