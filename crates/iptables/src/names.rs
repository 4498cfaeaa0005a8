//! Names: tables, chains, address families.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// One of the kernel's rule tables, in the order in which a packet meets them within a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Before connection tracking.
    Raw,
    /// Packet alteration and marks.
    Mangle,
    /// Address translation; only the first packet of a connection traverses it.
    Nat,
    /// Acceptance and rejection.
    Filter,
    /// Mandatory access control marks.
    Security,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 5] = [Table::Raw, Table::Mangle, Table::Nat, Table::Filter, Table::Security];

    /// The name as `iptables -t` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Table::Raw => "raw",
            Table::Mangle => "mangle",
            Table::Nat => "nat",
            Table::Filter => "filter",
            Table::Security => "security",
        }
    }

    /// The chains that the kernel itself provides in this table.
    #[must_use]
    pub fn builtin_chains(self) -> &'static [&'static str] {
        match self {
            Table::Raw => &["PREROUTING", "OUTPUT"],
            Table::Mangle => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            Table::Nat => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            Table::Filter | Table::Security => &["INPUT", "FORWARD", "OUTPUT"],
        }
    }

    /// Whether `chain` is one of the kernel's own chains in this table.
    #[must_use]
    pub fn is_builtin(self, chain: &ChainName) -> bool {
        self.builtin_chains().contains(&chain.as_str())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address family whose rules are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4: `iptables`.
    V4,
    /// IPv6: `ip6tables`.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(ip: std::net::IpAddr) -> Self {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The upper-case name used in upstream's messages and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Longest chain name that the kernel takes (`XT_EXTENSION_MAXNAMELEN` less the terminating zero).
const MAX_CHAIN_NAME: usize = 28;

/// The name of a chain: 1 to 28 visible ASCII characters, not starting with `-` or `!`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainName(Cow<'static, str>);

/// The text cannot be the name of a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a chain name: 1 to 28 visible ASCII characters, not starting with '-' or '!'")]
pub struct BadChainName(String);

impl ChainName {
    /// `PREROUTING`: packets that arrived, before routing.
    pub const PREROUTING: ChainName = ChainName::from_static("PREROUTING");
    /// `INPUT`: packets for this host.
    pub const INPUT: ChainName = ChainName::from_static("INPUT");
    /// `FORWARD`: packets that pass through.
    pub const FORWARD: ChainName = ChainName::from_static("FORWARD");
    /// `OUTPUT`: packets made by this host.
    pub const OUTPUT: ChainName = ChainName::from_static("OUTPUT");
    /// `POSTROUTING`: packets about to leave.
    pub const POSTROUTING: ChainName = ChainName::from_static("POSTROUTING");

    /// A name known when the program is compiled. In a `const`, a bad name fails the build.
    ///
    /// # Panics
    /// When the name is not a valid chain name.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_chain_name(name.as_bytes()), "not a chain name");
        Self(Cow::Borrowed(name))
    }

    /// Checks a name made at run time.
    ///
    /// # Errors
    /// [`BadChainName`] when the kernel or the restore format would not take it.
    pub fn new(name: impl Into<String>) -> Result<Self, BadChainName> {
        let name = name.into();
        if is_chain_name(name.as_bytes()) { Ok(Self(Cow::Owned(name))) } else { Err(BadChainName(name)) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_chain_name(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > MAX_CHAIN_NAME || name[0] == b'-' || name[0] == b'!' {
        return false;
    }
    let mut i = 0;
    while i < name.len() {
        if !name[i].is_ascii_graphic() || name[i] == b'"' || name[i] == b'\\' {
            return false;
        }
        i += 1;
    }
    true
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChainName {
    type Err = BadChainName;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl FromStr for Table {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or_else(|| format!("{s:?} is not a table"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_are_checked() {
        for good in ["KUBE-SERVICES", "KUBE-SVC-TCOU7JCQXEZGVUNU", "a", "DOCKER-ISOLATION-STAGE-1", "x/y.z:1"] {
            assert!(ChainName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "!x", "two words", "a\nb", "twenty-nine-characters-long-xx", "quo\"te", "ü"] {
            assert!(ChainName::new(bad).is_err(), "{bad}");
        }
    }
}
