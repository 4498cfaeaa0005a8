//! Pods, nodes and others with only the fields that controllers read.

mod certificate_signing_request;
mod lease;
mod node;
mod pod;

pub use certificate_signing_request::{
    CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
};
pub use lease::{Lease, LeaseSpec};
pub use node::{Node, NodeSpec, NodeStatus};
pub use pod::{
    BY_CLAIM, BY_CONTROLLER, BY_NODE, BY_TERMINATED, Claim, Container, ContainerStatus, POD_DELETION_COST, POD_INDEXES,
    Pod, PodSpec, PodStatus, TERMINATED, orphans_of,
};
