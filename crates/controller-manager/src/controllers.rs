//! The table of controllers.

use crate::{
    bootstrap_token, certificates, cluster_role_aggregation, context::Context, cron_job, daemon_set, deployment,
    disruption, endpoint_slice, endpoint_slice_mirroring, endpoints, ephemeral_volumes, garbage_collector, job,
    load_balancer, local_volumes, namespace, node_ipam, node_lifecycle, persistent_volumes, pod_autoscaler, pod_gc,
    replication, resource_claims, resource_quota, root_ca, service_account, service_account_token, service_cidrs,
    stateful_set, taint_eviction, ttl_after_finished, volume_expansion, volume_protection,
};

/// Starts a controller's workers; called once the informers have synced.
pub type Run = Box<dyn FnOnce() + Send>;

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    /// Upstream's name.
    pub name: &'static str,
    /// The name that `--controllers` took before 1.28; empty when there was none.
    pub alias: &'static str,
    /// Whether it runs only when `--controllers` names it, as upstream.
    pub on_request: bool,
    /// Registers informers and handlers; `None` when the flags leave the controller nothing to do.
    pub start: fn(&Context) -> Option<Run>,
}

impl Controller {
    const fn new(name: &'static str, alias: &'static str, start: fn(&Context) -> Option<Run>) -> Self {
        Self { name, alias, on_request: false, start }
    }

    const fn on_request(self) -> Self {
        Self { on_request: true, ..self }
    }

    /// Whether `--controllers` means this one by `name`.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        name == self.name || (name == self.alias && !name.is_empty())
    }
}

/// Every controller. Handlers run in this order, so that readiness reaches the endpoints first.
pub const CONTROLLERS: &[Controller] = &[
    Controller::new("endpointslice-controller", "endpointslice", endpoint_slice::start),
    Controller::new("endpoints-controller", "endpoint", endpoints::start),
    Controller::new("endpointslice-mirroring-controller", "endpointslicemirroring", endpoint_slice_mirroring::start),
    Controller::new("replicaset-controller", "replicaset", replication::start_replica_sets),
    Controller::new(
        "replicationcontroller-controller",
        "replicationcontroller",
        replication::start_replication_controllers,
    ),
    Controller::new("deployment-controller", "deployment", deployment::start),
    Controller::new("daemonset-controller", "daemonset", daemon_set::start),
    Controller::new("statefulset-controller", "statefulset", stateful_set::start),
    Controller::new("job-controller", "job", job::start),
    Controller::new("cronjob-controller", "cronjob", cron_job::start),
    Controller::new("ttl-after-finished-controller", "ttl-after-finished", ttl_after_finished::start),
    Controller::new("disruption-controller", "disruption", disruption::start),
    Controller::new("horizontal-pod-autoscaler-controller", "horizontalpodautoscaling", pod_autoscaler::start),
    Controller::new("node-ipam-controller", "nodeipam", node_ipam::start),
    Controller::new("node-lifecycle-controller", "nodelifecycle", node_lifecycle::start),
    Controller::new("taint-eviction-controller", "", taint_eviction::start),
    Controller::new("serviceaccount-controller", "serviceaccount", service_account::start),
    Controller::new("serviceaccount-token-controller", "serviceaccount-token", service_account_token::start),
    Controller::new("root-ca-certificate-publisher-controller", "root-ca-cert-publisher", root_ca::start),
    Controller::new("certificatesigningrequest-approving-controller", "csrapproving", certificates::approving::start),
    Controller::new("certificatesigningrequest-signing-controller", "csrsigning", certificates::signing::start),
    Controller::new("certificatesigningrequest-cleaner-controller", "csrcleaner", certificates::cleaning::start),
    Controller::new("bootstrap-signer-controller", "bootstrapsigner", bootstrap_token::signer::start).on_request(),
    Controller::new("token-cleaner-controller", "tokencleaner", bootstrap_token::cleaner::start).on_request(),
    Controller::new("clusterrole-aggregation-controller", "clusterrole-aggregation", cluster_role_aggregation::start),
    Controller::new("namespace-controller", "namespace", namespace::start),
    Controller::new("service-lb-controller", "service", load_balancer::start),
    Controller::new("service-cidr-controller", "", service_cidrs::start),
    Controller::new("resourcequota-controller", "resourcequota", resource_quota::start),
    Controller::new("persistentvolume-binder-controller", "persistentvolume-binder", persistent_volumes::start),
    Controller::new("local-path-provisioner-controller", "", local_volumes::start),
    Controller::new("persistentvolume-expander-controller", "persistentvolume-expander", volume_expansion::start),
    Controller::new("ephemeral-volume-controller", "ephemeral-volume", ephemeral_volumes::start),
    Controller::new("resourceclaim-controller", "resource-claim-controller", resource_claims::start),
    Controller::new(
        "persistentvolumeclaim-protection-controller",
        "pvc-protection",
        volume_protection::start_for_claims,
    ),
    Controller::new("persistentvolume-protection-controller", "pv-protection", volume_protection::start_for_volumes),
    Controller::new("pod-garbage-collector-controller", "podgc", pod_gc::start),
    Controller::new("garbage-collector-controller", "garbagecollector", garbage_collector::start),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let names: Vec<&str> =
            CONTROLLERS.iter().flat_map(|c| [c.name, c.alias]).filter(|name| !name.is_empty()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
