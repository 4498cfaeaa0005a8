//! What a pod means to whoever handles it: where it may run, what it asks for, how well it is to be served, which ports
//! it takes on its host. Each rule stands here once; typed pods and the slim models of the daemons are both read
//! through [`PodView`], or the rule takes the few fields that both have.

pub mod host_ports;
pub mod label_keys;
pub mod node_affinity;
pub mod qos;
pub mod references;
pub mod resources;
pub mod tolerations;
mod view;

pub use view::{ContainerView, Held, PodView, ResourceList};
