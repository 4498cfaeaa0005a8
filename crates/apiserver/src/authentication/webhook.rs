//! Another server knows whose tokens they are: it is asked by `TokenReview`, at the address that a kubeconfig names.

use std::time::Duration;

use component::auth::{
    Found, Identity, TokenAuthenticator,
    delegated::{Endpoint, ReviewVersion, TokenReviews},
};
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::audience::in_both;
use crate::webhook::Connection;

/// How long an answer may take; upstream's.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a webhook is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How it is reached.
    pub connection: Connection,
    /// In which version.
    pub version: ReviewVersion,
    /// How long its answers stay good, whatever they are.
    pub ttl: Duration,
    /// Who this server is to tokens: for whom a token was made when the webhook does not say.
    pub audiences: Vec<String>,
}

/// Asks a webhook.
pub struct TokenWebhook {
    settings: Settings,
    /// Made for the first token.
    reviews: OnceCell<TokenReviews>,
}

impl TokenWebhook {
    /// A webhook.
    ///
    /// # Errors
    /// When its kubeconfig cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        settings.connection.check()?;
        Ok(Self { settings, reviews: OnceCell::new() })
    }

    async fn connect(&self) -> anyhow::Result<TokenReviews> {
        let (client, path) = self.settings.connection.connect().await?;
        let Settings { version, ttl, .. } = self.settings;
        Ok(TokenReviews::new(client, ttl).at(Endpoint { path, version, timeout: TIMEOUT }))
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Found {
        let reviews = self.reviews.get_or_try_init(|| self.connect()).await?;
        let Some(identity) = reviews.find(token, audiences).await? else { return Ok(None) };
        if audiences.is_empty() {
            return Ok(Some(identity));
        }
        let said = if identity.audiences.is_empty() { &self.settings.audiences } else { &identity.audiences };
        let meant = in_both(audiences, said);
        Ok((!meant.is_empty()).then_some(Identity { audiences: meant, ..identity }))
    }
}

impl TokenAuthenticator for TokenWebhook {
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(self.ask(token, audiences))
    }
}
