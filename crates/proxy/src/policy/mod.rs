//! NetworkPolicies, enforced on this node.
//!
//! ```text
//! informers of model → plan (pure) → ruleset (values, and how nftables writes them) → enforce (nft, one transaction)
//! ```
//!
//! Whatever proxies Services: policies are a table of nftables of their own, which looks at packets after the address of a Service
//! has become a pod's. A pod's own node always reaches it, and a pod always reaches itself, as the API promises. Where there are no
//! policies there are no informers of pods, and no table.

pub mod enforce;
pub mod model;
pub mod plan;
pub mod ranges;
pub mod ruleset;
