//! The end of a pod: its containers stop, its last status is told, and everything of it is taken away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::core::Pod;
use component::recorder::EventType::Warning;
use tokio::sync::watch;

use super::worker::{Next, Worker};
use super::{Desired, Intent};
use crate::pod::PodExt;
use crate::status::Stage;

impl Worker {
    pub(super) async fn terminate(&mut self, desired: &Desired) -> Next {
        let pod = &desired.pod;
        if self.stage < Stage::Terminated {
            self.stage = Stage::Terminating;
            self.probes.only_readiness();
            if let Err(error) = self.stop(pod).await {
                let message = format!("error killing pod: {error}");
                self.context.events.pod(pod, Warning, "FailedKillPod", &message);
                return self.later();
            }
            self.stage = Stage::Terminated;
            self.release();
        }
        self.publish(pod);
        if let Err(why) = self.clean_up().await {
            tracing::warn!(pod = %pod.described(), "cleaning up: {why}");
            return self.later();
        }
        self.retry.reset();
        self.context.statuses.finish(&self.uid);
        // What was told meanwhile may have taken the pod away.
        match self.mailbox.borrow().intent {
            Intent::Remove { .. } => {
                self.context.statuses.forget(&self.uid);
                self.release();
                self.context.images.forget(&self.uid);
                self.context.tokens.forget(&self.uid);
                Next::Done
            }
            _ => Next::Wait,
        }
    }

    /// What the pod held is free for others.
    pub(super) fn release(&self) {
        self.context.allocations.release(&self.uid);
        self.workers.nudge_deferred();
    }

    /// Stops every container, faster if the grace period is cut meanwhile.
    async fn stop(&mut self, pod: &Arc<Pod>) -> Result<(), crate::runtime::RuntimeError> {
        let began = Instant::now();
        self.catch_up(pod).await?;
        self.publish(pod);
        loop {
            let victims = self.running(pod);
            if victims.is_empty() {
                break;
            }
            let grace = self.mailbox.borrow_and_update().intent.grace().unwrap_or(0);
            let killer = self.killer(pod);
            let mut mailbox = self.mailbox.clone();
            tokio::select! {
                () = killer.kill_all(victims, Duration::from_secs(grace.into()), Some(began)) => {
                    self.observe(pod).await?;
                    break;
                }
                () = shorter_grace(&mut mailbox, grace) => self.observe(pod).await?,
            }
        }
        self.stop_sandboxes().await;
        self.caught_up = tokio::time::Instant::now();
        self.after_change(pod).await;
        Ok(())
    }

    /// Removes containers, sandboxes and the pod's directory.
    async fn clean_up(&mut self) -> Result<(), String> {
        for container in std::mem::take(&mut self.runtime.containers) {
            let removed = self.context.runtime.remove_container(&container.id).await;
            removed.map_err(|error| error.to_string())?;
        }
        for sandbox in self.runtime.sandboxes.clone() {
            self.remove_sandbox(&sandbox.id).await;
        }
        if !self.runtime.sandboxes.is_empty() {
            return Err("a sandbox is left".to_owned());
        }
        self.unlink_logs().await.map_err(|error| error.to_string())?;
        self.directory.remove().await.map_err(|error| error.to_string())
    }
}

async fn shorter_grace(mailbox: &mut watch::Receiver<Desired>, than: u32) {
    let shorter = |desired: &Desired| desired.intent.grace().is_some_and(|grace| grace < than);
    if mailbox.wait_for(shorter).await.is_err() {
        std::future::pending::<()>().await;
    }
}
