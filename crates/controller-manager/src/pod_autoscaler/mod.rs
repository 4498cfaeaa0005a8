//! Horizontal pod autoscalers: as many replicas of something as its metrics ask for.
//!
//! The driver reads the target's scale and the metrics; what follows from them is decided in [`readings`], [`limits`] and
//! [`plan`], which read nothing.

mod conditions;
pub mod counted;
mod limits;
mod memory;
mod metric;
mod plan;
mod readings;
mod sources;
mod target;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api_types::{
    autoscaling_v2::{HPAScalingRules, HorizontalPodAutoscalerStatus},
    codec::ToJson,
    jiff::Timestamp,
    quantity::Quantity,
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::Recorder,
};
use kube::{Client, api::Patch};
use parking_lot::Mutex;

use self::{
    conditions::Condition,
    counted::Fault,
    memory::Memory,
    metric::{Asking, Computed, Failure},
    plan::{Bounds, Draft, Rescale, Step},
    readings::{Basis, Patience, Tolerances},
    sources::Sources,
    target::Target,
};
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    scalable::Resources,
    slim::{Autoscaler, Pod},
    step::{Error, failed},
    write,
};

/// `--horizontal-pod-autoscaler-…`
#[derive(Clone, Copy, Debug)]
struct Settings {
    period: Duration,
    window: Duration,
    tolerance: f64,
    patience: Patience,
}

struct Controller {
    client: Client,
    autoscalers: Informer<Autoscaler>,
    pods: Informer<Pod>,
    resources: Resources,
    recorder: Recorder,
    settings: Settings,
    /// What is remembered of each autoscaler; gone with it.
    memories: Mutex<HashMap<ObjectKey, Memory>>,
    /// Which pods each autoscaler scales, as far as that is known; gone with it.
    selectors: Mutex<HashMap<ObjectKey, Selector>>,
}

/// The controller of horizontal pod autoscalers.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let flags = &context.config.flags;
    let settings = Settings {
        period: flags.autoscaling.sync_period,
        window: flags.autoscaling.downscale_stabilization,
        tolerance: flags.autoscaling.tolerance,
        patience: Patience {
            initialization: flags.autoscaling.cpu_initialization_period,
            readiness_delay: flags.autoscaling.initial_readiness_delay,
        },
    };
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        autoscalers: context.informer(),
        pods: context.informer(),
        resources: Resources::new(context.client.clone()),
        recorder: context.recorder("horizontal-pod-autoscaler"),
        settings,
        memories: Mutex::default(),
        selectors: Mutex::default(),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.autoscalers.on_event(move |event| {
        // What the controller itself writes is no reason to look again.
        let same = matches!(event, Event::Updated { old, new }
            if old.spec == new.spec && old.metadata.uid == new.metadata.uid);
        if !same {
            keys.add(ObjectKey::of(&**event.object()));
        }
    });
    let daemon = context.daemon.clone();
    let workers = flags.concurrency.pod_autoscaler;
    Some(Box::new(move || {
        queue.run(&daemon, "horizontalpodautoscaler", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// What was done with a target: replicas before and after.
type Done = (i32, i32);

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(autoscaler) = self.autoscalers.store().get(key) else {
            self.memories.lock().remove(key);
            self.selectors.lock().remove(key);
            return Ok(Outcome::Done);
        };
        let began = Instant::now();
        let mut draft = Draft::of(&autoscaler, Timestamp::now());
        let (done, fault) = match self.scale(key, &autoscaler, &mut draft).await {
            Ok(done) => (done, Fault::None),
            Err(fault) => ((0, 0), fault),
        };
        for (kind, reason, message) in std::mem::take(&mut draft.told) {
            self.recorder.record(&object_reference(&*autoscaler), kind, reason, message);
        }
        let written = self.write(&autoscaler, &draft.status).await;
        let fault = if written.is_err() { Fault::Internal } else { fault };
        counted::reconciled(done, fault, began.elapsed());
        written.map(|()| Outcome::RequeueAfter(self.settings.period))
    }

    /// Brings the target to the size that it should have.
    async fn scale(&self, key: &ObjectKey, autoscaler: &Autoscaler, draft: &mut Draft) -> Result<Done, Fault> {
        let target = match target::find(&self.client, &self.resources, autoscaler).await {
            Ok(target) => target,
            Err(error) => {
                draft.lost(&error);
                return Err(Fault::Internal);
            }
        };
        draft.found();
        let now = Timestamp::now();
        let current = target.scale.spec.replicas;
        self.memories.lock().entry(key.clone()).or_default().begin(current, now);
        let (rescale, metrics) = match plan::bounds(autoscaler, current) {
            Bounds::Disabled => {
                let why = ("ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
                draft.set(Condition::active(false, why));
                (None, None)
            }
            Bounds::Outside(rescale) => (Some(rescale), None),
            Bounds::Within => {
                let computed = self.compute(key, autoscaler, &target, draft).await?;
                let verdict = plan::judge(&computed, current);
                draft.set(verdict.active);
                match verdict.wanted {
                    Ok((desired, metric)) => {
                        let rescale = self.limit(key, autoscaler, (current, desired), &metric, draft);
                        (rescale, Some(verdict.statuses))
                    }
                    Err(error) => {
                        draft.clueless(current, Some(verdict.statuses), error);
                        return Err(fault_of(&computed));
                    }
                }
            }
        };
        match rescale {
            None => {
                draft.settle(current, current, metrics);
                Ok((current, current))
            }
            Some(rescale) => self.rescale(key, autoscaler, &target, Step { current, rescale, metrics }, draft).await,
        }
    }

    /// What each metric asks for.
    async fn compute(
        &self,
        key: &ObjectKey,
        autoscaler: &Autoscaler,
        target: &Target,
        draft: &mut Draft,
    ) -> Result<Vec<Result<Computed, Failure>>, Fault> {
        let (current, existing) = (target.scale.spec.replicas, target.scale.status.replicas);
        let (selector, pods) = match self.selected(key, &target.scale.status.selector, draft) {
            Ok(selected) => selected,
            Err(error) => {
                draft.clueless(current, None, error);
                return Err(Fault::Internal);
            }
        };
        let (tolerances, patience) = (self.tolerances(autoscaler), self.settings.patience);
        let basis = Basis { pods: &pods, current, existing, tolerances, patience, now: Timestamp::now() };
        let sources = Sources { client: &self.client, resources: &self.resources, namespace: &key.namespace };
        let asking = Asking { sources, basis, selector: &selector };
        let mut computed = Vec::new();
        for spec in autoscaler.spec.metrics.iter().flatten() {
            let began = Instant::now();
            let one = asking.compute(spec).await;
            let before = autoscaler.status.current_replicas.unwrap_or(0);
            let (to, fault) = match &one {
                Ok(one) => (one.replicas, Fault::None),
                Err(failure) => {
                    draft.warn(failure.reason, failure.error.clone());
                    (before, if failure.of_spec { Fault::Spec } else { Fault::Internal })
                }
            };
            counted::computed(&spec.type_, (before, to), fault, began.elapsed());
            computed.push(one);
        }
        Ok(computed)
    }

    /// The pods of a target, which must be nobody else's to scale.
    fn selected(&self, key: &ObjectKey, text: &str, draft: &mut Draft) -> Result<(Selector, Vec<Arc<Pod>>), String> {
        if text.is_empty() {
            let error = "selector is required";
            draft.warn("SelectorRequired", error);
            let message = "the HPA target's scale is missing a selector";
            draft.set(Condition::active(false, ("InvalidSelector", message)));
            return Err(error.to_owned());
        }
        let mut refuse = |reason: &'static str, error: String| {
            draft.warn(reason, error.clone());
            draft.set(Condition::active(false, (reason, &error)));
            error
        };
        let selector = text.parse::<Selector>().map_err(|error| {
            let error = format!("couldn't convert selector into a corresponding internal selector object: {error}");
            refuse("InvalidSelector", error)
        })?;
        let mut pods = self.pods.store().list_namespace(&key.namespace);
        pods.retain(|pod| selector.matches(&pod.metadata.labels));
        let mut selectors = self.selectors.lock();
        selectors.insert(key.clone(), selector.clone());
        let selects = |selector: &Selector| pods.iter().any(|pod| selector.matches(&pod.metadata.labels));
        let of_namespace = selectors.iter().filter(|(other, _)| other.namespace == key.namespace);
        let mut rivals: Vec<String> =
            of_namespace.filter(|(_, selector)| selects(selector)).map(|(other, _)| other.to_string()).collect();
        drop(selectors);
        if rivals.len() > 1 {
            rivals.sort();
            let rivals = rivals.join(" ");
            let error = format!("pods by selector {text} are controlled by multiple HPAs: [{rivals}]");
            return Err(refuse("AmbiguousSelector", error));
        }
        Ok((selector, pods))
    }

    fn tolerances(&self, autoscaler: &Autoscaler) -> Tolerances {
        let behavior = autoscaler.spec.behavior.as_ref();
        let own = |rules: Option<&HPAScalingRules>| {
            let tolerance = rules.and_then(|rules| rules.tolerance.as_ref());
            let quantity = tolerance.and_then(|wire| Quantity::try_from(wire).ok());
            quantity.map_or(self.settings.tolerance, |quantity| quantity.approximate())
        };
        Tolerances {
            down: own(behavior.and_then(|behavior| behavior.scale_down.as_ref())),
            up: own(behavior.and_then(|behavior| behavior.scale_up.as_ref())),
        }
    }

    /// What is left of what the metrics want.
    fn limit(
        &self,
        key: &ObjectKey,
        autoscaler: &Autoscaler,
        (current, desired): (i32, i32),
        metric: &str,
        draft: &mut Draft,
    ) -> Option<Rescale> {
        let wish = plan::wish(autoscaler, current, desired, Timestamp::now());
        let mut memories = self.memories.lock();
        let memory = memories.entry(key.clone()).or_default();
        let limited = limits::limit(wish, autoscaler.spec.behavior.as_ref(), self.settings.window, memory);
        drop(memories);
        let rescale = plan::rescale(&wish, metric, &limited);
        draft.set(limited.able);
        draft.set(limited.limited);
        rescale
    }

    async fn rescale(
        &self,
        key: &ObjectKey,
        autoscaler: &Autoscaler,
        target: &Target,
        step: Step,
        draft: &mut Draft,
    ) -> Result<Done, Fault> {
        let (from, to) = (step.current, step.rescale.replicas);
        if let Err(error) = target.scale_to(&self.client, to).await {
            draft.refused(&step, &error);
            return Err(Fault::Internal);
        }
        draft.rescaled(&step);
        if let Some(behavior) = &autoscaler.spec.behavior {
            let longest = limits::longest_period(behavior);
            self.memories.lock().entry(key.clone()).or_default().scaled(from, to, longest, Timestamp::now());
        }
        Ok((from, to))
    }

    async fn write(&self, autoscaler: &Autoscaler, status: &HorizontalPodAutoscalerStatus) -> Result<(), Error> {
        if *status == autoscaler.status {
            return Ok(());
        }
        let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Autoscaler> = Api::namespaced(self.client.clone(), namespace);
        let (old, new) = (Status(&autoscaler.status), Status(status));
        let patch = Patch::Merge(write::status_patch(autoscaler.metadata.uid.as_deref(), &old, &new));
        let name = autoscaler.metadata.name.as_deref().unwrap_or_default();
        match api.patch_status(name, &write::patch_params(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(refusal)) if component::api::is_moot(&refusal) => Ok(()),
            Err(error) => Err(failed("writing the status of an autoscaler")(error)),
        }
    }
}

fn fault_of(computed: &[Result<Computed, Failure>]) -> Fault {
    let of_spec = computed.iter().any(|one| one.as_ref().is_err_and(|failure| failure.of_spec));
    if of_spec { Fault::Spec } else { Fault::Internal }
}

/// A status that is to be written.
struct Status<'a>(&'a HorizontalPodAutoscalerStatus);

impl ToJson for Status<'_> {
    fn to_json(&self) -> Vec<u8> {
        // Types of the API have string keys and no failing serialisers.
        serde_json::to_vec(self.0).unwrap_or_default()
    }
}
