//! The kernel's packet filter beyond iptables: nftables transactions, notice of what others change in a table, and
//! connection tracking entries.
//!
//! ```text
//! Transaction (chains, sets, elements as text) ─ Nft::run (one `nft -f -`, all or nothing)
//! Monitor: has anybody changed a table since?     (netlink multicast)
//! Conntrack: flows, and their deletion in batches (netlink)
//! ```
//!
//! Unlike iptables' chains, tables belong to one program, so that nothing here is merged with rules of others.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod conntrack;
mod monitor;
mod netlink;
mod nft;
mod transaction;

pub use monitor::Monitor;
pub use nft::{Nft, NftError};
pub use transaction::{Chain, Family, Set, Table, Transaction};
