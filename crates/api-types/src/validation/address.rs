//! Addresses and ranges of addresses, as texts.
//!
//! What is *lenient* may be written in more than one way; old fields are. What is *canonical* may not.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use crate::field::{FieldError, Path};

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NO_RANGE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An address, however it is written: Go's old parser passes over zeros at the beginning of a decimal number.
pub(crate) fn parse(value: &str) -> Option<IpAddr> {
    value.parse().ok().or_else(|| with_zeros(value).map(IpAddr::V4))
}

fn with_zeros(value: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<&str> = value.split('.').map(without_zeros).collect();
    numbers.join(".").parse().ok()
}

fn without_zeros(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" if !digits.is_empty() => "0",
        rest => rest,
    }
}

/// A range, however it is written. Its address may have bits beyond the prefix.
pub(crate) fn parse_range(value: &str) -> Option<IpNet> {
    let (address, length) = value.split_once('/')?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = digits.then(|| length.parse::<u8>().ok())??;
    IpNet::new(parse(address)?, length).ok()
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// What is wrong with an address that may be written in more than one way, though not ambiguously.
pub(crate) fn lenient(value: &str) -> Vec<String> {
    let Some(address) = parse(value) else { return vec![NO_ADDRESS.to_owned()] };
    let mut errors = Vec::new();
    if value.parse::<IpAddr>().is_err() {
        errors.push("must not have leading 0s".to_owned());
    }
    if is_mapped(address) {
        errors.push("must not be an IPv4-mapped IPv6 address".to_owned());
    }
    errors
}

/// What is wrong with an address that must be written in the one right way.
pub(crate) fn canonical(value: &str) -> Vec<String> {
    let errors = lenient(value);
    match parse(value).map(|address| address.to_string()) {
        Some(right) if errors.is_empty() && right != value => vec![format!("must be in canonical form ({right:?})")],
        _ => errors,
    }
}

/// What is wrong with a range that may be written in more than one way, though not ambiguously.
pub(crate) fn lenient_range(value: &str) -> Vec<String> {
    let Some(range) = parse_range(value) else { return vec![NO_RANGE.to_owned()] };
    let zeros = value.split_once('/').is_none_or(|(address, length)| {
        address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0'))
    });
    let error = if zeros {
        "must not have leading 0s in IP or prefix length"
    } else if is_mapped(range.addr()) {
        "must not have an IPv4-mapped IPv6 address"
    } else if range.addr() != range.network() {
        "must not have bits set beyond the prefix length"
    } else {
        return Vec::new();
    };
    vec![error.to_owned()]
}

/// What is wrong with a range that must be written in the one right way.
pub(crate) fn canonical_range(value: &str) -> Vec<String> {
    let errors = lenient_range(value);
    match parse_range(value).map(|range| range.trunc().to_string()) {
        Some(right) if errors.is_empty() && right != value => vec![format!("must be in canonical form ({right:?})")],
        _ => errors,
    }
}

/// A host that is called by a name, not by its address.
pub(crate) fn no_address(path: &Path, host: &str) -> Option<FieldError> {
    parse(host).is_some().then(|| FieldError::invalid(path, host, "must be a DNS name, not an IP address"))
}

/// Values that were there before.
pub(crate) type Kept<'a> = BTreeSet<&'a str>;

/// The same about the field at `path`, unless the value is one of those that were there before.
pub(crate) fn unless_kept(rule: fn(&str) -> Vec<String>, path: &Path, value: &str, kept: &Kept<'_>) -> Vec<FieldError> {
    if kept.contains(value) { Vec::new() } else { super::names::check(rule, path, value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases: [(&str, &[&str], &[&str]); 7] = [
            ("10.0.0.1", &[], &[]),
            ("fd00::1", &[], &[]),
            ("FD00:0::1", &[], &[r#"must be in canonical form ("fd00::1")"#]),
            ("010.0.0.1", &["must not have leading 0s"], &["must not have leading 0s"]),
            ("10.0.0", &[NO_ADDRESS], &[NO_ADDRESS]),
            ("10.0.0.256", &[NO_ADDRESS], &[NO_ADDRESS]),
            (
                "::ffff:10.0.0.1",
                &["must not be an IPv4-mapped IPv6 address"],
                &["must not be an IPv4-mapped IPv6 address"],
            ),
        ];
        for (value, may, must) in cases {
            assert_eq!((lenient(value), canonical(value)), (words(may), words(must)), "{value}");
        }
    }

    #[test]
    fn ranges() {
        let cases: [(&str, &[&str], &[&str]); 7] = [
            ("10.0.0.0/8", &[], &[]),
            ("FD00::/64", &[], &[r#"must be in canonical form ("fd00::/64")"#]),
            ("10.0.0.0", &[NO_RANGE], &[NO_RANGE]),
            ("10.0.0.0/33", &[NO_RANGE], &[NO_RANGE]),
            (
                "10.0.0.0/08",
                &["must not have leading 0s in IP or prefix length"],
                &["must not have leading 0s in IP or prefix length"],
            ),
            (
                "10.0.0.1/8",
                &["must not have bits set beyond the prefix length"],
                &["must not have bits set beyond the prefix length"],
            ),
            (
                "::ffff:10.0.0.0/104",
                &["must not have an IPv4-mapped IPv6 address"],
                &["must not have an IPv4-mapped IPv6 address"],
            ),
        ];
        for (value, may, must) in cases {
            assert_eq!((lenient_range(value), canonical_range(value)), (words(may), words(must)), "{value}");
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}
