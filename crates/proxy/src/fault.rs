//! What of a Service or its slices cannot be brought into force. The rest of it is.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// How many faults of one service are told.
const MOST: usize = 8;
/// How much of a text is told.
const LONGEST: usize = 80;

/// Faults of one service, as people read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(BTreeSet<String>);

impl Faults {
    /// Takes note of a value that is passed over.
    pub fn value(&mut self, what: &str, value: &str) {
        // What is hostile may be long, and many.
        if self.0.len() < MOST {
            let shown: String = value.chars().take(LONGEST).collect();
            self.0.insert(format!("{what} {shown:?}"));
        }
    }

    /// Takes note that only a part of something is taken.
    pub fn cut(&mut self, what: &str, taken: usize) {
        self.0.insert(format!("more than {taken} {what}"));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// An address as Go's parser reads it: a part of an IPv4 address may begin with zeros, and one of IPv4 that is written
/// as one of IPv6 is of IPv4.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    let strict = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    strict(text).or_else(|| {
        let parts: Vec<&str> = text.split('.').collect();
        let decimal = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let plain = |part: &&str| part.trim_start_matches('0').to_owned();
        let plain = |part: &&str| Some(plain(part)).filter(|part| !part.is_empty()).unwrap_or_else(|| "0".into());
        let readable = parts.len() == 4 && parts.iter().all(decimal);
        readable.then(|| parts.iter().map(plain).collect::<Vec<_>>().join("."))?.parse().ok()
    })
}

/// Whether traffic to this address may be taken for a service: no process of the node may lose its own.
#[must_use]
pub fn can_be_taken(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !is_broadcast(ip)
}

/// Whether traffic may be led to this address: it is on no link only, and not in the node's own processes' reach alone.
#[must_use]
pub fn can_be_reached(ip: IpAddr) -> bool {
    let on_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    can_be_taken(ip) && !on_link
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_upstream_reads_them() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.000.0.01", Some("10.0.0.1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("fd00::0001", Some("fd00::1")),
            ("10.0.0.256", None),
            ("10.0.0", None),
            ("0x0a.0.0.1", None),
            ("10..0.1", None),
            ("fe80::1%eth0", None),
            (" 10.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(address(text).map(|ip| ip.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn addresses_of_nobody_are_not_served() {
        for (text, taken, reached) in [
            ("10.96.0.1", true, true),
            ("169.254.20.10", true, false),
            ("fe80::1", true, false),
            ("127.0.0.1", false, false),
            ("::1", false, false),
            ("0.0.0.0", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
            ("255.255.255.255", false, false),
        ] {
            let ip = address(text).unwrap();
            assert_eq!((can_be_taken(ip), can_be_reached(ip)), (taken, reached), "{text}");
        }
    }

    #[test]
    fn what_is_told_is_short() {
        let mut faults = Faults::default();
        (0..100).for_each(|i| faults.value("an address", &format!("{i}\n{}", "x".repeat(1_000_000))));
        assert!(faults.text().len() < 1000 && !faults.text().contains('\n'), "{}", faults.text());
    }
}
