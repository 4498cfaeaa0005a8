//! iptables rules as values.
//!
//! A daemon that programs packet rules computes a whole [`Desired`] state, compares it with what it [`Observed`],
//! and applies the [`Delta`] as one atomic `iptables-restore --noflush`, which touches only the chains that differ:
//!
//! ```text
//! Desired ─┐
//!          ├─ Delta::between ─ Script ─ Iptables::restore (iptables-restore --noflush)
//! Observed ┘                            Iptables::save    (iptables-save) ─ Ruleset ─ Observed::of
//! ```
//!
//! Everything renders in the form in which `iptables-save` prints it, so that what was applied compares equal to what
//! is read back. Rules of others that this crate does not understand survive parsing verbatim. IPv4 and IPv6 differ
//! only in the [`Family`] handed to the executor.
//!
//! [`trace::Tracer`] walks a packet through a [`Ruleset`]: tests ask what *happens* to a packet rather than which
//! lines exist.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod delta;
mod executor;
mod fake;
mod host;
mod matches;
mod names;
mod parse;
mod rule;
mod ruleset;
mod script;
mod target;
pub mod trace;
mod words;

pub use delta::{Delta, Desired, Hook, Observed, Place};
pub use executor::{Error, Iptables};
pub use fake::FakeIptables;
pub use host::{Flavour, HostIptables};
pub use matches::{
    AddrType, AddrTypes, ConntrackState, Mark, Match, PhysDev, PortRange, Ports, Probability, Recent, RecentAction,
};
pub use names::{BadChainName, ChainName, Family, Table};
pub use rule::{Protocol, Rule, Test};
pub use ruleset::{Chain, Policy, Rejection, Ruleset};
pub use script::{Line, ParseError, Script};
pub use target::{Nat, PortChoice, RejectWith, Target};
