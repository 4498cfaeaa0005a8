//! Another server decides: it is asked by `SubjectAccessReview`, at the address that a kubeconfig names.

use std::time::Duration;

use component::auth::{
    Attributes, Authorizer, Decision, Rules, User, Verdict,
    delegated::{AccessReviews, Endpoint, ReviewVersion},
};
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::conditions::Conditions;
use crate::webhook::Connection;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Others may decide.
    NoOpinion,
    /// Nothing is allowed.
    Deny,
}

/// How a webhook is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How it is reached.
    pub connection: Connection,
    /// In which version.
    pub version: ReviewVersion,
    /// How long its consent stays good.
    pub allowed_ttl: Duration,
    /// How long its refusal does.
    pub refused_ttl: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// What it means when it does not answer.
    pub failure: Failure,
}

/// Asks a webhook.
pub struct Webhook {
    settings: Settings,
    /// Nobody is asked where these do not hold.
    conditions: Conditions,
    /// Made for the first question.
    reviews: OnceCell<AccessReviews>,
}

impl Webhook {
    /// The mode's name.
    pub const NAME: &str = "Webhook";

    /// A webhook.
    ///
    /// # Errors
    /// When its kubeconfig cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        settings.connection.check()?;
        Ok(Self { settings, conditions: Conditions::default(), reviews: OnceCell::new() })
    }

    /// The same under these conditions.
    #[must_use]
    pub fn when(self, conditions: Conditions) -> Self {
        Self { conditions, ..self }
    }

    async fn connect(&self) -> anyhow::Result<AccessReviews> {
        let (client, path) = self.settings.connection.connect().await?;
        let Settings { version, allowed_ttl, refused_ttl, timeout, .. } = self.settings;
        let reviews = AccessReviews::new(client, allowed_ttl, refused_ttl);
        Ok(reviews.at(Endpoint { path, version, timeout }))
    }

    async fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        match self.conditions.hold(attributes) {
            Ok(true) => {}
            Ok(false) => return Verdict::default(),
            Err(error) => return self.failed(Verdict::failed(error)),
        }
        let verdict = match self.reviews.get_or_try_init(|| self.connect()).await {
            Ok(reviews) => reviews.authorize(attributes).await,
            Err(error) => Verdict::failed(format!("{error:#}")),
        };
        self.failed(verdict)
    }

    /// What a verdict is that may be an error.
    fn failed(&self, verdict: Verdict) -> Verdict {
        if !verdict.error.is_empty() && self.settings.failure == Failure::Deny {
            return Verdict { decision: Decision::Deny, ..verdict };
        }
        verdict
    }
}

impl Authorizer for Webhook {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(self.decide(attributes))
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        let error = "webhook authorizer does not support user rule resolution".to_owned();
        Box::pin(std::future::ready(Rules { incomplete: true, error, ..Rules::default() }))
    }
}
