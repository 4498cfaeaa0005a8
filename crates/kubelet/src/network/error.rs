//! What can go wrong with pod networking.

use std::io;

/// The result of every network call.
pub type Result<T, E = NetworkError> = std::result::Result<T, E>;

/// Why a network call failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The node has no Pod CIDR yet.
    #[error("the node has no pod CIDR yet")]
    NoPodCidr,
    /// A Pod CIDR that cannot be used.
    #[error("pod CIDR {0} cannot be used: {1}")]
    BadPodCidr(ipnet::IpNet, &'static str),
    /// All addresses are given out.
    #[error("no address is free in {0}")]
    Exhausted(ipnet::IpNet),
    /// This plugin cannot do what the pod asks for.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The sandbox does not run (any more).
    #[error("sandbox {0} is not running")]
    SandboxGone(String),
    /// The kernel refused a change.
    #[error("{operation}: {source}")]
    Kernel {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The node's side is not there, for this reason.
    #[error("{0}")]
    NotMade(String),
    /// A program of others failed.
    #[error("plugin type={name:?} failed ({operation}): {why}")]
    Plugin {
        /// Its name.
        name: String,
        /// What it was asked for.
        operation: &'static str,
        /// What it says.
        why: String,
    },
    /// The rules could not be made.
    #[error("iptables: {0}")]
    Rules(String),
    /// The bridge's name makes no names of chains.
    #[error(transparent)]
    ChainName(#[from] iptables::BadChainName),
    /// The record of given addresses cannot be read or written.
    #[error("{path}: {source}")]
    State {
        /// The file.
        path: String,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
}
