//! The node in the API: registered, described, kept alive. Nothing here waits for pods.

mod agent;
mod lease;
pub mod machine;
mod status;
mod usage;

pub use agent::{NodeAgent, NodeHandles};
pub use lease::Heartbeat;
pub use usage::NodeUsage;
