//! What a write has to pass besides validation: plugins, in their order. The plugins themselves are in
//! [`crate::admission`].

mod rounds;
mod times;

use std::sync::{Arc, Weak};

use api_types::StatusError;
use futures::future::BoxFuture;

pub use rounds::{Memory, Rounds};
pub use times::{Admissions, Clock, PluginTimes, Step};

use super::{Registry, Review, following::Mirrored};

/// One plugin.
pub trait Plugin: Send + Sync + 'static {
    /// What it keeps of objects; it is told of them while the server runs.
    fn mirrored(&self) -> Vec<Mirrored> {
        Vec::new()
    }

    /// Whether a review concerns it; the others it does not see.
    fn concerns(&self, review: &Review<'_>) -> bool;

    /// May change or replace the object.
    ///
    /// # Errors
    /// Refuses the request.
    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let _ = review;
        Box::pin(async { Ok(()) })
    }

    /// Looks at what would be stored.
    ///
    /// # Errors
    /// Refuses the request.
    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let _ = review;
        Box::pin(async { Ok(()) })
    }
}

/// A plugin's way to the registry that holds it.
#[derive(Clone)]
pub struct Handle(Weak<Registry>);

impl Handle {
    pub(super) fn new(registry: Weak<Registry>) -> Self {
        Self(registry)
    }

    /// The registry.
    ///
    /// # Errors
    /// 503 when the server has ended.
    pub fn registry(&self) -> Result<Arc<Registry>, StatusError> {
        self.0.upgrade().ok_or_else(|| StatusError::service_unavailable("the server is shutting down".to_owned()))
    }
}

/// A plugin and the name under which it is counted.
pub type Named = (&'static str, Box<dyn Plugin>);

/// Plugins in their order.
#[derive(Default)]
pub struct Admission {
    plugins: Vec<(PluginTimes, Box<dyn Plugin>)>,
    metrics: Arc<Admissions>,
}

impl Admission {
    /// These plugins, in this order; what they take and refuse is counted there.
    #[must_use]
    pub fn new(plugins: Vec<Named>, metrics: &Arc<Admissions>) -> Self {
        let counted = |(name, plugin)| (metrics.of_plugin(name), plugin);
        Self { plugins: plugins.into_iter().map(counted).collect(), metrics: metrics.clone() }
    }

    /// What its plugins keep of objects.
    #[must_use]
    pub fn mirrored(&self) -> Vec<Mirrored> {
        self.plugins.iter().flat_map(|(_, plugin)| plugin.mirrored()).collect()
    }

    /// Runs the mutating side, once more when somebody changed the object in a way that others have to see.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, review: &mut Review<'_>) -> Result<(), StatusError> {
        self.admit_once(review).await?;
        if review.rounds.begin_again() { self.admit_once(review).await } else { Ok(()) }
    }

    async fn admit_once(&self, review: &mut Review<'_>) -> Result<(), StatusError> {
        let mut clock = Clock::start(Step::Admit, review.door.operation);
        for (times, plugin) in &self.plugins {
            if plugin.concerns(review) {
                let outcome = plugin.admit(review).await;
                times.observe(clock.lap(&outcome));
                if outcome.is_err() {
                    self.metrics.step(clock.total(&outcome));
                    return outcome;
                }
            }
        }
        self.metrics.step(clock.total(&Ok(())));
        Ok(())
    }

    /// Runs the validating side, which sees what the mutating side has made.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let mut clock = Clock::start(Step::Validate, review.door.operation);
        for (times, plugin) in &self.plugins {
            if plugin.concerns(review) {
                let outcome = plugin.validate(review).await;
                times.observe(clock.lap(&outcome));
                if outcome.is_err() {
                    self.metrics.step(clock.total(&outcome));
                    return outcome;
                }
            }
        }
        self.metrics.step(clock.total(&Ok(())));
        Ok(())
    }
}
