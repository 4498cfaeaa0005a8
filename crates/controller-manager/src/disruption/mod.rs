//! Disruption budgets: how many of some pods may go at once. The API server lets pods be evicted by what is written here.

mod plan;
mod scale;
mod stale;

use std::{fmt::Write, sync::Arc};

use api_types::{
    jiff::Timestamp,
    meta::LabelSelector,
    policy::{PodDisruptionBudget, PodDisruptionBudgetStatus},
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{Client, api::Patch};

use self::{
    plan::{Basis, basis},
    scale::Scales,
};
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    scalable::Resources,
    slim::Pod,
    step::{Error, failed},
    write,
};

/// The controller of disruption budgets.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        budgets: context.informer(),
        pods: context.informer(),
        scales: Scales {
            client: context.client.clone(),
            controllers: context.informer(),
            replica_sets: context.informer(),
            deployments: context.informer(),
            stateful_sets: context.informer(),
            resources: Resources::new(context.client.clone()),
        },
        recorder: context.recorder("controllermanager"),
    });
    let (budgets, stale) = (WorkQueue::new(), WorkQueue::new());
    subscribe(&controller, &budgets);
    stale::subscribe(&controller.pods, &stale);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        let (client, pods) = (controller.client.clone(), controller.pods.clone());
        stale.run(&daemon, "stale-disruption", 1, move |key| {
            let (client, pods) = (client.clone(), pods.clone());
            async move { write::settle_races(stale::reconcile(&client, &pods, &key).await) }
        });
        budgets.run(&daemon, "disruption", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// Queues budgets when they change, and when pods that they select do.
fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let keys = Arc::clone(queue);
    controller.budgets.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let (budgets, keys) = (controller.budgets.clone(), Arc::clone(queue));
    controller.pods.on_event(move |event| {
        let (Event::Added(pod) | Event::Updated { new: pod, .. } | Event::Deleted(pod)) = event;
        let before = if let Event::Updated { old, .. } = event { old } else { pod };
        for budget in budgets.store().list_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let Some(selector) = selector(&budget) else { continue };
            if selector.matches(&pod.metadata.labels) || selector.matches(&before.metadata.labels) {
                keys.add(ObjectKey::of(&*budget));
            }
        }
    });
}

/// What a budget selects: nothing when it does not say.
fn selector(budget: &PodDisruptionBudget) -> Option<Selector> {
    Selector::from_label_selector(Some(budget.spec.as_ref()?.selector.as_ref()?)).ok()
}

struct Controller {
    client: Client,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    scales: Scales,
    recorder: Recorder,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(budget) = self.budgets.store().get(key) else { return Ok(Outcome::Done) };
        let mut pods = Vec::new();
        if let Some(selector) = selector(&budget) {
            pods = self.pods.store().list_namespace(&key.namespace);
            pods.retain(|pod| selector.matches(&pod.metadata.labels));
        }
        if pods.is_empty() {
            self.record(&budget, EventType::Normal, "NoPods", "No matching pods found");
        }
        let now = Timestamp::now();
        let expected = match self.expected(&budget, &pods).await {
            Ok(expected) => expected,
            Err(error) => {
                let message = format!("Failed to calculate the number of expected pods: {error}");
                self.record(&budget, EventType::Warning, "CalculateExpectedPodCountFailed", &message);
                let status = plan::fail_safe(&budget, error.to_string(), now);
                self.write_status(&budget, &status).await?;
                return Ok(Outcome::Done);
            }
        };
        let plan = plan::plan(&budget, &pods, expected, now);
        for pod in &plan.not_deleted {
            let name = budget.metadata.name.as_deref().unwrap_or_default();
            let message = format!("Pod was expected by PDB {}/{name} to be deleted but it wasn't", key.namespace);
            self.recorder.record(&object_reference(&**pod), EventType::Warning, "NotDeleted", message);
        }
        self.write_status(&budget, &plan.status).await?;
        Ok(plan.next.map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    /// How many pods there should be.
    async fn expected(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Result<i32, scale::Error> {
        let spec = budget.spec.clone().unwrap_or_default();
        if basis(&spec) == Basis::Pods {
            let is_given = spec.min_available.is_some();
            return Ok(if is_given { i32::try_from(pods.len()).unwrap_or(i32::MAX) } else { 0 });
        }
        let wanted = self.scales.wanted(budget.metadata.namespace.as_deref().unwrap_or_default(), pods).await?;
        if !wanted.unmanaged.is_empty() {
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
                in_go(&spec.selector.unwrap_or_default())
            );
            self.record(budget, EventType::Warning, "UnmanagedPods", &message);
        }
        Ok(wanted.pods)
    }

    /// Writes the status if it changed, over no other one: evictions count it down.
    async fn write_status(
        &self,
        budget: &PodDisruptionBudget,
        status: &PodDisruptionBudgetStatus,
    ) -> Result<(), Error> {
        let old = budget.status.clone().unwrap_or_default();
        if *status == old {
            return Ok(());
        }
        let mut patch = write::status_patch(budget.metadata.uid.as_deref(), &old, status);
        patch["metadata"]["resourceVersion"] = budget.metadata.resource_version.clone().into();
        let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), namespace);
        let name = budget.metadata.name.as_deref().unwrap_or_default();
        let written = api.patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(drop).map_err(failed("writing the status"))
    }

    fn record(&self, budget: &PodDisruptionBudget, kind: EventType, reason: &str, message: &str) {
        self.recorder.record(&object_reference(budget), kind, reason, message);
    }
}

/// A selector as Go prints it.
fn in_go(selector: &LabelSelector) -> String {
    let mut text = "&LabelSelector{MatchLabels:map[string]string{".to_owned();
    // Writing to a string does not fail.
    for (key, value) in selector.match_labels.iter().flatten() {
        let _ = write!(text, "{key}: {value},");
    }
    text.push_str("},MatchExpressions:[]LabelSelectorRequirement{");
    for own in selector.match_expressions.iter().flatten() {
        let values = own.values.clone().unwrap_or_default().join(" ");
        let _ =
            write!(text, "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", own.key, own.operator);
    }
    text + "},}"
}
