//! What is done about a pod that no node takes: what is said, and who goes for it.

use std::sync::Arc;

use component::informer::ObjectKey;
use futures::{StreamExt, stream};

use super::Scheduler;
use crate::{
    binder::Nomination,
    cache::{PodInfo, Snapshot},
    extenders::ExtenderError,
    framework::{Failure, Rescue, Room, Victims, unschedulable_message},
    plugins::default_preemption::best,
    queue::{Retry, Waiting},
};

/// Pods that are made to go at once.
const AT_ONCE: usize = 16;

/// What has been decided about a pod that no node takes.
#[derive(Debug)]
pub(super) struct Resolution {
    message: String,
    /// For programs, why the pod is not placed.
    reason: &'static str,
    nomination: Nomination,
    retry: Retry,
    /// Who goes for it.
    victims: Option<Victims>,
    /// Less important pods that lose the room that is kept for them on the same node.
    losers: Vec<Arc<PodInfo>>,
}

impl Resolution {
    /// Nothing but to say so.
    pub(super) fn of(failure: Failure) -> Self {
        let message = unschedulable_message(&failure);
        let retry = Retry::Rejected(failure.remembered());
        Self {
            message,
            reason: "Unschedulable",
            nomination: Nomination::Kept,
            retry,
            victims: None,
            losers: Vec::new(),
        }
    }

    /// Nothing could be decided: say so, and try again in a while.
    pub(super) fn failed(error: &ExtenderError) -> Self {
        Self {
            message: error.to_string(),
            reason: "SchedulerError",
            nomination: Nomination::Withdrawn,
            retry: Retry::Failed,
            victims: None,
            losers: Vec::new(),
        }
    }
}

impl Scheduler {
    /// Chooses who goes for a pod, and keeps the room from now on.
    pub(super) fn resolve(
        &self,
        key: &ObjectKey,
        waiting: &Waiting,
        mut failure: Failure,
        snapshot: &Snapshot,
    ) -> Resolution {
        let rescue = std::mem::take(&mut failure.rescue);
        let (nomination, victims) = match rescue {
            Rescue::Refused { message, room } => {
                failure.rescue = Rescue::Refused { message, room };
                (if room == Room::Kept { Nomination::Kept } else { Nomination::Withdrawn }, None)
            }
            Rescue::Nothing => (Nomination::Withdrawn, None),
            Rescue::Possible(candidates) => match best(candidates) {
                Some(victims) => (Nomination::For(Arc::clone(&victims.node)), Some(victims)),
                None => (Nomination::Withdrawn, None),
            },
        };
        let mut losers = Vec::new();
        match &nomination {
            Nomination::Kept => {}
            Nomination::Withdrawn => self.give_up_room(&waiting.pod),
            Nomination::For(node) => {
                let kept = snapshot.node(node).map_or(&[][..], |node| node.nominated());
                losers.extend(kept.iter().filter(|other| other.priority < waiting.pod.info.priority).cloned());
                let mut cache = self.cache.lock();
                losers.iter().for_each(|loser| drop(cache.withdraw(loser.uid())));
                drop(cache);
                self.keep_room(key, waiting, node);
            }
        }
        self.metrics.preemption(victims.as_ref().map(|victims| victims.pods.len()));
        Resolution { nomination, victims, losers, ..Resolution::of(failure) }
    }

    /// From now on room on a node is kept for a pod, if it is still there.
    pub(super) fn keep_room(&self, key: &ObjectKey, waiting: &Waiting, node: &str) {
        self.cache.lock().nominate(&waiting.pod.info, node);
        if !self.queue.holds(key, waiting.pod.uid()) {
            self.give_up_room(&waiting.pod);
        }
    }

    /// Says why a pod is not placed, and makes others go for it. Only then is the pod tried again.
    pub(super) async fn reject(&self, key: ObjectKey, waiting: &Waiting, resolution: Resolution) {
        let Resolution { message, reason, nomination, retry, victims, losers } = resolution;
        tracing::info!(pod = %key, "unable to schedule: {message}");
        let Some(victims) = victims else {
            self.queue.retry(&key, waiting, retry);
            if let Err(error) = self.binder.reject(&waiting.pod, (reason, &message), &nomination).await {
                tracing::warn!(pod = %key, "writing why it is not scheduled: {error}");
            }
            return;
        };
        let retry = match self.binder.reject(&waiting.pod, (reason, &message), &nomination).await {
            Ok(true) => self.preempt(&key, waiting, &victims, &losers, retry).await,
            // It has gone, and nobody must go for it.
            Ok(false) => Retry::Failed,
            Err(error) => {
                tracing::warn!(pod = %key, "writing where room is made for it: {error}");
                Retry::Failed
            }
        };
        self.queue.retry(&key, waiting, retry);
    }

    async fn preempt(
        &self,
        key: &ObjectKey,
        waiting: &Waiting,
        victims: &Victims,
        losers: &[Arc<PodInfo>],
        mut retry: Retry,
    ) -> Retry {
        for loser in losers {
            if let Err(error) = self.binder.withdraw(loser).await {
                tracing::warn!(pod = %key, "withdrawing the nomination of {}: {error}", loser.identity.name);
            }
        }
        // Who is on the way out already need not be told again.
        let staying: Vec<Arc<PodInfo>> = victims.pods.iter().filter(|victim| !victim.leaving).cloned().collect();
        let go = |victim: Arc<PodInfo>| async move { self.binder.preempt(&victim, &victims.node, &waiting.pod).await };
        let mut gone = stream::iter(staying).map(go).buffer_unordered(AT_ONCE);
        while let Some(result) = gone.next().await {
            if let Err(error) = result {
                tracing::warn!(pod = %key, node = &*victims.node, "making room for it: {error}");
                retry = Retry::Failed;
            }
        }
        retry
    }
}
