//! What the rules read of a pod.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    core::{Container, ContainerPort, Pod, PodSpec},
    quantity::Wire,
};

/// Amounts by resource name, as on the wire.
pub type ResourceList = BTreeMap<String, Wire>;

/// A container, as far as the rules read it.
pub trait ContainerView {
    /// Its name.
    fn name(&self) -> &str;
    /// What it asks for.
    fn requests(&self) -> Option<&ResourceList>;
    /// What it may not exceed.
    fn limits(&self) -> Option<&ResourceList>;
    /// Whether an init container runs on beside what follows it: a sidecar.
    fn restarts_always(&self) -> bool;
    /// Its ports.
    fn ports(&self) -> &[ContainerPort];
}

/// What the kubelet says that a container holds now; it differs from the specification while a resize is under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held<'a> {
    /// `allocatedResources`: promised by the kubelet.
    pub allocated: Option<&'a ResourceList>,
    /// `resources.requests`: in force.
    pub in_force: Option<&'a ResourceList>,
}

/// A pod, as far as the rules read it.
pub trait PodView {
    /// Its containers' type.
    type Container: ContainerView;

    /// Those that run together.
    fn containers(&self) -> &[Self::Container];
    /// Those that run before them, or beside them.
    fn init_containers(&self) -> &[Self::Container];
    /// `spec.resources.requests`: of the pod as a whole.
    fn pod_requests(&self) -> Option<&ResourceList>;
    /// `spec.resources.limits`: of the pod as a whole.
    fn pod_limits(&self) -> Option<&ResourceList>;
    /// Whether `spec.resources` is there, even if empty.
    fn has_pod_resources(&self) -> bool {
        self.pod_requests().is_some() || self.pod_limits().is_some()
    }
    /// What the sandbox itself costs.
    fn overhead(&self) -> Option<&ResourceList>;
    /// What a container holds now, by its status.
    fn held(&self, _container: &str) -> Held<'_> {
        Held::default()
    }
    /// Whether the kubelet will never carry out the resize that the specification asks for.
    fn resize_is_infeasible(&self) -> bool {
        false
    }
}

impl ContainerView for Container {
    fn name(&self) -> &str {
        &self.name
    }

    fn requests(&self) -> Option<&ResourceList> {
        self.resources.as_ref()?.requests.as_ref()
    }

    fn limits(&self) -> Option<&ResourceList> {
        self.resources.as_ref()?.limits.as_ref()
    }

    fn restarts_always(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    fn ports(&self) -> &[ContainerPort] {
        self.ports.as_deref().unwrap_or_default()
    }
}

impl PodView for PodSpec {
    type Container = Container;

    fn containers(&self) -> &[Container] {
        &self.containers
    }

    fn init_containers(&self) -> &[Container] {
        self.init_containers.as_deref().unwrap_or_default()
    }

    fn pod_requests(&self) -> Option<&ResourceList> {
        self.resources.as_ref()?.requests.as_ref()
    }

    fn pod_limits(&self) -> Option<&ResourceList> {
        self.resources.as_ref()?.limits.as_ref()
    }

    fn has_pod_resources(&self) -> bool {
        self.resources.is_some()
    }

    fn overhead(&self) -> Option<&ResourceList> {
        self.overhead.as_ref()
    }
}

/// What a pod without a specification is read as.
static NO_SPEC: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);

fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap_or(&NO_SPEC)
}

impl PodView for Pod {
    type Container = Container;

    fn containers(&self) -> &[Container] {
        spec(self).containers()
    }

    fn init_containers(&self) -> &[Container] {
        spec(self).init_containers()
    }

    fn pod_requests(&self) -> Option<&ResourceList> {
        spec(self).pod_requests()
    }

    fn pod_limits(&self) -> Option<&ResourceList> {
        spec(self).pod_limits()
    }

    fn has_pod_resources(&self) -> bool {
        spec(self).has_pod_resources()
    }

    fn overhead(&self) -> Option<&ResourceList> {
        PodView::overhead(spec(self))
    }

    fn held(&self, container: &str) -> Held<'_> {
        let status = self.status.as_ref();
        let running = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
        let init = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
        running.chain(init).find(|status| status.name == container).map_or_else(Held::default, |status| Held {
            allocated: status.allocated_resources.as_ref(),
            in_force: status.resources.as_ref().and_then(|resources| resources.requests.as_ref()),
        })
    }

    fn resize_is_infeasible(&self) -> bool {
        let conditions = self.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let mut pending = conditions.filter(|condition| condition.type_ == "PodResizePending");
        pending.next().is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
    }
}
