//! Looks after one server behind this one.

use std::{sync::Arc, time::Duration};

use component::backoff::Backoff;
use tokio::sync::Notify;

use super::{
    availability::{self, Verdict},
    metrics::Unavailable,
    read,
    remote::Remote,
};
use crate::{
    catalogue::{ChangeError, Forward, Served},
    discovery::Foreign,
    registry::Registry,
};

/// At least so long between two looks, whatever happens to services.
const PAUSE: Duration = Duration::from_millis(250);
/// So often a server is asked that is well; upstream's interval.
const INTERVAL: Duration = Duration::from_secs(30);
/// So long, growing, until one is asked again that is not.
const SHORTEST: Duration = Duration::from_secs(1);

/// One server, and what is known of it.
pub struct Watching {
    /// The name of its API service.
    pub name: String,
    /// What is served of it.
    pub forward: Forward,
    /// The way there.
    pub remote: Arc<Remote>,
    /// Where services and API services are.
    pub registry: Arc<Registry>,
    /// What is served.
    pub served: Arc<Served>,
    /// Where it is counted when it cannot be asked.
    pub metrics: Unavailable,
    /// Told when its service or its endpoints may have changed.
    pub told: Arc<Notify>,
}

impl Watching {
    /// Asks the server again and again, for as long as this is polled.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(SHORTEST, INTERVAL);
        loop {
            let pause = if self.look().await {
                backoff.reset();
                INTERVAL
            } else {
                backoff.next_delay()
            };
            tokio::time::sleep(PAUSE).await;
            // What happens meanwhile hurries the next look.
            let _ = tokio::time::timeout(pause, self.told.notified()).await;
        }
    }

    /// Looks at the server once. Tells whether all is well.
    async fn look(&mut self) -> bool {
        let group_version = match &*self.forward.group {
            "" => self.forward.version.to_string(),
            group => format!("{group}/{}", self.forward.version),
        };
        let (verdict, foreign) = availability::check(&self.registry, &self.remote, &group_version).await;
        self.remote.set_available(verdict.is_available());
        self.metrics.note(&self.name, &verdict);
        self.tell(foreign);
        self.say(&verdict).await && verdict.is_available()
    }

    /// Tells in discovery what the server tells. What it does not tell again may be as it was.
    fn tell(&mut self, foreign: Option<Foreign>) {
        let foreign = foreign.unwrap_or_else(|| self.forward.foreign.stale());
        if *self.forward.foreign == foreign {
            return;
        }
        self.forward.foreign = Arc::new(foreign);
        let changed: Result<(), ChangeError> = self.served.change(|draft| {
            draft.refresh(self.forward.clone());
            Ok(())
        });
        if let Err(error) = changed {
            tracing::error!("what is served could not be changed: {error}");
        }
    }

    async fn say(&self, verdict: &Verdict) -> bool {
        let said = match read(&self.registry, &self.name).await {
            Ok(Some(service)) => availability::says(&service, verdict),
            Ok(None) => true,
            Err(_) => false,
        };
        if said {
            return true;
        }
        let written = availability::write(&self.registry, &self.name, verdict).await;
        written.inspect_err(|error| tracing::warn!("status of API service {}: {error}", self.name)).is_ok()
    }
}
