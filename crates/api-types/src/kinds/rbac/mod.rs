//! `rbac.authorization.k8s.io/v1`: roles and bindings, each for a namespace and for the cluster.

mod binding;
mod role;

/// The group of roles, users and groups.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether rules and bindings hold in one namespace or in the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Namespace,
    Cluster,
}
