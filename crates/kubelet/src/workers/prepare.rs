//! What must be there before containers start: objects, tokens, volumes.

use std::sync::Arc;

use api_types::core::Pod;
use component::recorder::EventType::Warning;

use super::worker::{Next, Worker};
use crate::objects::Objects;
use crate::pod::PodExt;
use crate::status::Reason;
use crate::volumes::claims::Begun;
use crate::volumes::payload::{Tokens, tokens_of};
use crate::volumes::{self, PayloadSources, SetUp};

/// What containers wait for in a pod whose volumes are not there, as upstream's status has it.
const CREATING: &str = "ContainerCreating";
const INITIALIZING: &str = "PodInitializing";

/// No driver can register here, so that nobody brings devices to containers: better none starts than one without.
const NO_DEVICES: &str = "Failed to prepare dynamic resources: no DRA driver is registered on this node";

/// Whether a pod has claims to devices. One whose claim turned out not to be needed has none.
fn claims_devices(pod: &Pod) -> bool {
    let made = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    let needless = |name: &str| made.clone().any(|status| status.name == name && status.resource_claim_name.is_none());
    pod.pod_spec().resource_claims.iter().flatten().any(|own| !needless(&own.name))
}

impl Worker {
    /// Sets up the pod's volumes, or brings them up to date. A failure does not disturb containers that run; it is tried
    /// again.
    pub(super) async fn prepare(&mut self, pod: &Arc<Pod>) -> Result<(), Next> {
        self.objects.follow(pod, &self.nudge).await;
        let begun = if self.runtime.containers.is_empty() { Begun::No } else { Begun::Yes };
        self.context.claims.follow(pod, begun, &mut self.claimed).await;
        if self.runtime.containers.is_empty() && claims_devices(pod) {
            self.note_volumes(pod, NO_DEVICES);
            self.context.events.pod(pod, Warning, "FailedPrepareDynamicResources", NO_DEVICES);
            return Err(self.later());
        }
        let tokens = self.fetch_tokens(pod).await;
        let set_up = self.set_up_volumes(pod, &tokens).await;
        let complaints = set_up.complaints();
        self.note_volumes(pod, &complaints.join("; "));
        for complaint in &complaints {
            self.context.events.pod(pod, Warning, "FailedMount", complaint);
        }
        // One that was there before is there still.
        self.volumes.extend(set_up.volumes);
        let complete = set_up.failed.keys().all(|name| self.volumes.contains_key(name));
        let running = self.runtime.containers.iter().any(|container| container.state.is_running());
        self.stale_volumes = None;
        if complaints.is_empty() {
            self.volume_retry.reset();
            return Ok(());
        }
        if running && complete {
            self.stale_volumes = Some(self.volume_retry.next_delay());
            return Ok(());
        }
        Err(self.later())
    }

    /// Says in the status why containers are not even created. An empty message takes that back.
    fn note_volumes(&mut self, pod: &Pod, message: &str) {
        self.reasons.retain(|_, reason| reason.reason != CREATING && reason.reason != INITIALIZING);
        if message.is_empty() {
            return;
        }
        let initialises = pod.pod_spec().init_containers.iter().flatten().next().is_some();
        let reason = Reason::new(if initialises { INITIALIZING } else { CREATING }, message);
        for (_, container) in pod.all_containers() {
            if self.runtime.latest(&container.name).is_none() {
                self.reasons.insert(container.name.clone(), reason.clone());
            }
        }
    }

    async fn fetch_tokens(&self, pod: &Pod) -> Tokens {
        let mut tokens = Tokens::new();
        for key in tokens_of(pod) {
            let token = self.context.tokens.get(pod, &key).await;
            tokens.insert(key, token);
        }
        tokens
    }

    async fn set_up_volumes(&self, pod: &Pod, tokens: &Tokens) -> SetUp {
        let sources = PayloadSources {
            pod,
            ips: &self.ips,
            node_ips: &self.context.node.ips,
            allocatable: &self.context.node.allocatable,
            claimed: &self.claimed,
            objects: &self.objects as &dyn Objects,
            tokens,
        };
        volumes::set_up(&sources, &self.directory).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_claims_devices_does_not_run_without() {
        let spec = json!({"containers": [], "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]});
        for (pod, claims) in [
            (json!({"spec": {"containers": []}}), false),
            (json!({"spec": spec}), true),
            (
                json!({"spec": spec, "status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "x"}]}}),
                true,
            ),
            (json!({"spec": spec, "status": {"resourceClaimStatuses": [{"name": "gpu"}]}}), false),
        ] {
            let mut pod = pod;
            pod["metadata"] = json!({});
            assert_eq!(claims_devices(&serde_json::from_value(pod.clone()).unwrap()), claims, "{pod}");
        }
    }
}
