//! Leader election on a Lease, after client-go's `leaderelection`.
//!
//! At most one candidate leads, provided that clocks run at about the same speed: a follower takes
//! over only after it has itself seen the lease unrenewed for the whole lease duration.

use std::time::Duration;

use api_types::{
    coordination::{Lease, LeaseSpec},
    meta::{MicroTime, ObjectMeta},
};
use kube::{Client, api::PostParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{api::Api, flags::LeaderElectionFlags};

/// A candidate for one lease.
#[derive(Clone)]
pub struct Candidate {
    leases: Api<Lease>,
    /// The lease's name.
    name: String,
    /// Who this candidate is.
    identity: String,
    timing: LeaderElectionFlags,
}

/// What this candidate last saw of the lease, and when, by its own clock.
struct Observed {
    lease: Lease,
    at: Instant,
}

impl Candidate {
    /// A candidate for the lease `name`. Its identity is the host's name and a random part.
    #[must_use]
    pub fn new(client: Client, name: &str, timing: &LeaderElectionFlags) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let identity = format!("{}_{}", host.trim(), uuid::Uuid::new_v4());
        let leases = Api::namespaced(client, &timing.namespace);
        Self { leases, name: name.to_owned(), identity, timing: timing.clone() }
    }

    /// Waits until this candidate leads. Then renews in the returned future, which ends when the
    /// leadership is lost, or released because `shutdown` was cancelled.
    pub async fn lead(self, shutdown: CancellationToken) -> impl Future<Output = ()> + Send {
        let mut observed = None;
        let renewed = loop {
            let asked = Instant::now();
            match tokio::time::timeout(self.timing.renew_deadline, self.try_acquire(&mut observed)).await {
                Ok(Ok(true)) => break asked,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::info!(lease = self.name, "acquiring: {error}"),
                Err(_) => tracing::info!(lease = self.name, "acquiring: no answer"),
            }
            tokio::time::sleep(self.timing.retry_period.mul_f64(1.0 + rand::random::<f64>() * 0.2)).await;
        };
        tracing::info!(lease = self.name, identity = self.identity, "became leader");
        self.renew_until_lost(observed, renewed, shutdown)
    }

    async fn renew_until_lost(self, mut observed: Option<Observed>, mut renewed: Instant, shutdown: CancellationToken) {
        while renewed.elapsed() < self.timing.renew_deadline {
            if shutdown.run_until_cancelled(tokio::time::sleep(self.timing.retry_period)).await.is_none() {
                self.release(observed).await;
                return;
            }
            // Others count from when this request arrived: an answer that comes late renews for less long, and one that
            // comes too late is not waited for.
            let (asked, left) = (Instant::now(), self.timing.renew_deadline.saturating_sub(renewed.elapsed()));
            match tokio::time::timeout(left, self.try_acquire(&mut observed)).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(lease = self.name, "renewing: {error}"),
                Err(_) => {}
            }
        }
        tracing::error!(lease = self.name, "lost the leadership");
    }

    /// One attempt to take or renew the lease.
    async fn try_acquire(&self, observed: &mut Option<Observed>) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let created = self.leases.create(&PostParams::default(), &self.claim(None)).await?;
            *observed = Some(Observed { lease: created, at: Instant::now() });
            return Ok(true);
        };
        if observed.as_ref().is_none_or(|seen| seen.lease.spec != lease.spec) {
            *observed = Some(Observed { lease: lease.clone(), at: Instant::now() });
        }
        let seen_at = observed.as_ref().map_or_else(Instant::now, |seen| seen.at);
        if !self.may_take(&lease, seen_at) {
            return Ok(false);
        }
        let updated = self.leases.replace(&self.name, &PostParams::default(), &self.claim(Some(&lease))).await?;
        *observed = Some(Observed { lease: updated, at: Instant::now() });
        Ok(true)
    }

    fn may_take(&self, lease: &Lease, seen_at: Instant) -> bool {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        let duration = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let expired = seen_at.elapsed() >= Duration::from_secs(u64::try_from(duration).unwrap_or(0));
        holder.is_empty() || holder == self.identity || expired
    }

    /// The lease as it looks when this candidate holds it.
    fn claim(&self, current: Option<&Lease>) -> Lease {
        let now = MicroTime(api_types::jiff::Timestamp::now());
        let old = current.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let mine = old.holder_identity.as_deref() == Some(&self.identity);
        let transitions = old.lease_transitions.unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease_duration.as_secs()).ok(),
            acquire_time: if mine { old.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if mine || current.is_none() {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        };
        let metadata = current.map_or_else(
            || ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        Lease { metadata, spec: Some(spec) }
    }

    /// Lets the next candidate lead at once.
    async fn release(&self, observed: Option<Observed>) {
        let Some(Observed { mut lease, .. }) = observed else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let parameters = PostParams::default();
        let release = self.leases.replace(&self.name, &parameters, &lease);
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), release).await {
            tracing::info!(lease = self.name, "releasing: {error}");
        }
    }
}
