//! Pods, nodes and others with only the fields that controllers read.

mod addresses;
mod autoscaler;
mod certificate_signing_request;
mod lease;
mod node;
mod pod;
mod requests;

pub use addresses::{Condition, ServiceAddress, ServiceCidr, ServiceCidrSpec, ServiceCidrStatus};
pub use autoscaler::Autoscaler;
pub use certificate_signing_request::{
    CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
};
pub use lease::{Lease, LeaseSpec};
pub use node::{Node, NodeSpec, NodeStatus};
pub use pod::{
    BY_CLAIM, BY_CONTROLLER, BY_NODE, BY_TERMINATED, COMPLETION_INDEX, Claim, Container, ContainerState,
    ContainerStatus, INDEX_FAILURES, INDEX_IGNORED_FAILURES, POD_DELETION_COST, POD_INDEXES, Pod, PodSpec, PodStatus,
    ResourceClaimUse, TERMINATED, Terminated, orphans_of,
};
pub use requests::Requests;
