//! One step of a pod that should run: observe, plan, act, until nothing is left to do.

use std::sync::Arc;
use std::time::Duration;

use api_types::core::Pod;
use api_types::jiff::{SignedDuration, Timestamp};
use component::recorder::EventType::{Normal, Warning};
use tokio::time::Instant;

use super::worker::{Next, Worker};
use crate::plan::{Observed, Plan, Waiting, compute_actions};
use crate::pod::PodExt;
use crate::status::{Phase, Reason};
use component::duration::go_duration;

/// How acting went.
#[derive(Debug, PartialEq, Eq)]
enum Acted {
    /// Look again at once.
    Progress,
    /// Something failed; the time after which it makes sense to try again, if that is known.
    Failed(Option<Duration>),
}

/// More rounds than any pod needs: a plan that never comes to rest must not occupy a core.
const ROUNDS: usize = 200;

impl Worker {
    pub(super) async fn sync(&mut self, pod: &Arc<Pod>) -> Next {
        self.publish(pod);
        if let Err(error) = self.catch_up(pod).await {
            tracing::warn!(pod = %pod.described(), "observing: {error}");
            return self.later();
        }
        self.check_deadline(pod);
        self.check_eviction();
        if self.is_over(pod) {
            return self.rest(pod).await;
        }
        if let Some(Err(retry)) = Self::while_running(&self.mailbox.clone(), self.prepare(pod)).await {
            self.reconcile_probes(pod);
            self.publish(pod);
            return retry;
        }
        let next = self.converge(pod).await;
        self.reconcile_probes(pod);
        self.publish(pod);
        next
    }

    /// What runs is probed, whatever keeps the rest of the pod from running.
    fn reconcile_probes(&mut self, pod: &Arc<Pod>) {
        self.probes.reconcile(pod, &self.runtime, self.ips.first().copied());
    }

    async fn converge(&mut self, pod: &Arc<Pod>) -> Next {
        for _ in 0..ROUNDS {
            if !self.should_run() {
                return Next::WaitAtMost(Duration::ZERO);
            }
            let plan = self.plan(pod);
            if plan.is_idle() {
                self.retry.reset();
                self.resize_is_done(pod);
                return self.wait_for(pod, &plan.waiting);
            }
            let acted = self.act(pod, plan).await;
            self.caught_up = Instant::now();
            self.publish(pod);
            match acted {
                Acted::Progress => {}
                Acted::Failed(None) => return self.later(),
                Acted::Failed(Some(time)) => return Next::WaitAtMost(time),
            }
        }
        self.later()
    }

    fn plan(&self, pod: &Pod) -> Plan {
        let probes = self.probes.results();
        let seen = Observed {
            pod,
            runtime: &self.runtime,
            probes: &probes,
            back_offs: &self.back_offs,
            replaced: &self.replaced,
        };
        let plan = compute_actions(seen, Timestamp::now());
        if plan.tear_down && self.is_torn_down() { Plan::default() } else { plan }
    }

    /// Whether nothing runs any more.
    pub(super) fn is_torn_down(&self) -> bool {
        self.runtime.ready_sandbox().is_none() && !self.runtime.containers.iter().any(|c| c.state.is_running())
    }

    async fn act(&mut self, pod: &Arc<Pod>, plan: Plan) -> Acted {
        if plan.tear_down {
            return self.progress(pod, Self::tear_down).await;
        }
        if !plan.kill.is_empty() {
            self.replaced.extend(plan.kill.iter().filter(|kill| kill.restart).map(|kill| kill.id.clone()));
            self.kill_some(pod, &plan.kill).await;
            return self.look_again(pod).await;
        }
        let mut acted = Acted::Progress;
        for resize in &plan.resize {
            if self.resize_container(pod, resize).await.is_err() {
                acted = Acted::Failed(None);
            }
        }
        for sandbox in &plan.remove_sandboxes {
            self.remove_sandbox(sandbox).await;
        }
        for container in &plan.remove {
            if let Err(error) = self.context.runtime.remove_container(container).await {
                tracing::warn!(pod = %pod.described(), %container, "removing: {error}");
            }
            if let Some(gone) = self.runtime.containers.iter().find(|known| known.id == *container).cloned() {
                self.unlink_log(&pod.identity(), &gone).await;
            }
            self.runtime.containers.retain(|known| known.id != *container);
        }
        if let Some(attempt) = plan.create_sandbox {
            return match self.create_sandbox(pod, attempt).await {
                Ok(()) => Acted::Progress,
                Err(()) => Acted::Failed(None),
            };
        }
        self.note_waiting(pod, &plan.waiting);
        if !plan.start.is_empty() && self.connect_sandbox(pod).await.is_err() {
            return Acted::Failed(None);
        }
        for start in &plan.start {
            if !self.should_run() {
                break;
            }
            if let Err(retry_in) = self.start(pod, start).await {
                acted = Acted::Failed(retry_in);
            }
        }
        acted
    }

    async fn progress(&mut self, pod: &Arc<Pod>, act: impl AsyncFnOnce(&mut Self, &Arc<Pod>)) -> Acted {
        act(self, pod).await;
        self.look_again(pod).await
    }

    async fn look_again(&mut self, pod: &Pod) -> Acted {
        match self.observe(pod).await {
            Ok(()) => Acted::Progress,
            Err(error) => {
                tracing::warn!(pod = %pod.described(), "observing: {error}");
                Acted::Failed(None)
            }
        }
    }

    /// Says which containers are in back-off, once for each time.
    fn note_waiting(&mut self, pod: &Pod, waiting: &[Waiting]) {
        for Waiting { name, delay, until } in waiting {
            let described = pod.described();
            let delay = go_duration(*delay);
            let message = format!("back-off {delay} restarting failed container={name} pod={described}");
            self.reasons.insert(name.clone(), Reason::new("CrashLoopBackOff", message));
            if self.told_back_offs.insert(name.clone(), *until) != Some(*until) {
                let message = format!("Back-off restarting failed container {name} in pod {described}");
                self.context.events.container(pod, name, Warning, "BackOff", &message);
            }
        }
    }

    fn wait_for(&mut self, pod: &Pod, waiting: &[Waiting]) -> Next {
        self.note_waiting(pod, waiting);
        let starts = waiting.iter().map(|waiting| waiting.until);
        let soonest = starts.chain(self.deadline(pod)).min();
        let refresh = self.context.tokens.refresh_in(pod);
        let until = soonest.map(|until| time_until(until, Timestamp::now()));
        match until.into_iter().chain(refresh).chain(self.stale_volumes).min() {
            Some(time) => Next::WaitAtMost(time),
            None => Next::Wait,
        }
    }

    /// When `activeDeadlineSeconds` is over.
    fn deadline(&self, pod: &Pod) -> Option<Timestamp> {
        let seconds = pod.pod_spec().active_deadline_seconds.filter(|_| self.failure.is_none())?;
        let status = self.status.as_ref().or(pod.status.as_ref())?;
        deadline_of(status.start_time.as_ref()?.0, seconds)
    }

    fn check_deadline(&mut self, pod: &Pod) {
        if self.deadline(pod).is_some_and(|deadline| Timestamp::now() >= deadline) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.context.events.pod(pod, Normal, "DeadlineExceeded", message);
            self.failure = Some(Reason::new("DeadlineExceeded", message));
        }
    }

    fn check_eviction(&mut self) {
        if let Some(eviction) = self.context.evictions.take(&self.uid).filter(|_| self.failure.is_none()) {
            self.failure = Some(eviction.reason);
            self.evicted = Some(eviction.grace);
        }
    }

    /// Whether the pod has come to its end, so that nothing of it may start again.
    fn is_over(&self, pod: &Pod) -> bool {
        let told = self.status.as_ref().and_then(|status| status.phase.as_deref());
        let phase = Phase::parse(told.or(Some(pod.phase())));
        self.failure.is_some() || phase.is_final()
    }

    /// Stops what still runs of a pod that is over.
    async fn rest(&mut self, pod: &Arc<Pod>) -> Next {
        if !self.is_torn_down() {
            self.tear_down(pod).await;
            self.caught_up = Instant::now();
            if self.look_again(pod).await != Acted::Progress {
                return self.later();
            }
        }
        self.release();
        self.publish(pod);
        Next::Wait
    }
}

/// `None` is later than any clock shows.
fn deadline_of(start: Timestamp, seconds: i64) -> Option<Timestamp> {
    start.checked_add(SignedDuration::from_secs(seconds.max(0))).ok()
}

/// At least a little, so that a clock that is behind does not make a busy loop.
fn time_until(until: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
    left.max(Duration::from_millis(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_saturate() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for (seconds, expected) in [(5, Some(at(105))), (0, Some(at(100))), (i64::MIN, Some(at(100))), (i64::MAX, None)]
        {
            assert_eq!(deadline_of(at(100), seconds), expected, "{seconds}");
        }
        assert_eq!(time_until(Timestamp::MIN, Timestamp::MAX), Duration::from_millis(10));
        assert!(time_until(Timestamp::MAX, Timestamp::MIN) > Duration::from_secs(1 << 36));
    }
}
