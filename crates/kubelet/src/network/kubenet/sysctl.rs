//! Kernel settings of the node that pod traffic needs.

use std::fs;
use std::process::Command;

use super::super::{NetworkError, Result};

/// Settings and why each is needed.
const NEEDED: [(&str, &str); 3] = [
    // Packets go between pods and the world.
    ("net/ipv4/ip_forward", "1"),
    // A node's process reaches host ports and node ports through 127.0.0.1.
    ("net/ipv4/conf/all/route_localnet", "1"),
    // Replies between two pods of one bridge pass iptables, which must undo a Service's translation.
    (BRIDGE, "1"),
];
const BRIDGE: &str = "net/bridge/bridge-nf-call-iptables";
/// The module that makes [`BRIDGE`] exist.
const MODULE: &str = "br_netfilter";

/// Sets them, unless they are set already (a nested host may not let us write what needs no change).
pub(super) fn forwarding() -> Result<()> {
    if !exists(BRIDGE) {
        // Without the program, or when it fails, the missing file is reported below.
        let _ = Command::new("modprobe").arg(MODULE).status();
    }
    NEEDED.iter().try_for_each(|(name, value)| set(name, value))
}

fn exists(name: &str) -> bool {
    fs::exists(format!("/proc/sys/{name}")).unwrap_or(false)
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{name}");
    if fs::read_to_string(&path).is_ok_and(|present| present.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| NetworkError::Kernel { operation: format!("set {path}"), source })
}
