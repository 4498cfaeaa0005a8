//! What a write has to pass besides validation: plugins, in their order. The plugins themselves are in
//! [`crate::admission`].

use std::sync::{Arc, Weak};

use api_types::StatusError;
use futures::future::BoxFuture;

use super::{Registry, Review};

/// One plugin.
pub trait Plugin: Send + Sync + 'static {
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

/// Plugins in their order.
#[derive(Default)]
pub struct Admission(Vec<Box<dyn Plugin>>);

impl Admission {
    /// These plugins, in this order.
    #[must_use]
    pub fn new(plugins: Vec<Box<dyn Plugin>>) -> Self {
        Self(plugins)
    }

    /// Runs the mutating side.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, review: &mut Review<'_>) -> Result<(), StatusError> {
        for plugin in &self.0 {
            if plugin.concerns(review) {
                plugin.admit(review).await?;
            }
        }
        Ok(())
    }

    /// Runs the validating side, which sees what the mutating side has made.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, review: &Review<'_>) -> Result<(), StatusError> {
        for plugin in &self.0 {
            if plugin.concerns(review) {
                plugin.validate(review).await?;
            }
        }
        Ok(())
    }
}
