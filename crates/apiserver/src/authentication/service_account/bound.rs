//! Tokens that this server issued, or another one with the same keys.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use component::{
    auth::{Found, Identity, TokenAuthenticator},
    jwt::{Algorithm, Claims, Seconds, Token},
};
use futures::future::BoxFuture;

use super::{
    Account, Issuing,
    claims::{AllClaims, Binding, ClaimedObject},
    objects,
};
use crate::{
    authentication::audience::{in_both, quoted},
    registry::{Registry, admission::Handle},
};

/// What was deleted so long ago, in seconds, is gone: until then clocks may differ.
const LEEWAY: i64 = 60;

/// Recognises tokens by their signatures, and looks whether what they are bound to still exists.
pub struct Bound {
    issuing: Arc<Issuing>,
    registry: Handle,
}

impl Bound {
    /// Recognises tokens of these issuers.
    #[must_use]
    pub fn new(issuing: Arc<Issuing>, registry: Handle) -> Self {
        Self { issuing, registry }
    }

    async fn look(&self, token: &str, audiences: &[String]) -> Found {
        let Some(token) = Token::parse(token, Algorithm::OF_SERVICE_ACCOUNTS) else { return Ok(None) };
        if !token.issuer().is_some_and(|issuer| self.issuing.issuers.contains(&issuer)) {
            return Ok(None);
        }
        let claims: AllClaims = token.verify(&self.issuing.verifying().verifying)?;
        let audiences = self.audiences(&claims.public, audiences)?;
        let account = self.check(claims).await?;
        Ok(Some(Identity { user: account.user(), audiences }))
    }

    /// For which of those who are meant it was made.
    fn audiences(&self, claims: &Claims, asked: &[String]) -> anyhow::Result<Vec<String>> {
        meant(&claims.audiences, asked, &self.issuing.audiences)
    }

    async fn check(&self, claims: AllClaims) -> anyhow::Result<Account> {
        let now = Seconds(api_types::jiff::Timestamp::now().as_second());
        claims.public.check_time(now).map_err(|error| anyhow::anyhow!("service account {error}"))?;
        let registry = self.registry.registry()?;
        let then = Seconds(now.0 - LEEWAY);
        let Binding { namespace, node, pod, secret, account, .. } = claims.kubernetes;
        let found = objects::find(&registry, "serviceaccounts", &namespace, &account.name).await?;
        ensure!(found.uid == account.uid, "service account UID ({}) does not match claim ({})", found.uid, account.uid);
        if found.is_deleted_before(then) {
            bail!("service account {namespace}/{} has been deleted", account.name);
        }
        let check = Check { registry: &registry, then };
        if let Some(secret) = &secret {
            check.exists(("secrets", "secret"), &namespace, secret).await?;
        }
        if let Some(pod) = &pod {
            check.exists(("pods", "pod"), &namespace, pod).await?;
        }
        // A pod's node is only told.
        if let (Some(node), None) = (&node, &pod) {
            check.exists(("nodes", "node"), "", node).await?;
        }
        let token_id = claims.public.id;
        Ok(Account { namespace, name: account.name, uid: account.uid, pod, node, token_id })
    }
}

/// For which of the audiences that are asked for (this server, if none) a token was made (this server, if it does not
/// say).
pub(super) fn meant(said: &[String], asked: &[String], own: &[String]) -> anyhow::Result<Vec<String>> {
    let said = if said.is_empty() { own } else { said };
    let asked = if asked.is_empty() { own } else { asked };
    let both = in_both(said, asked);
    if both.is_empty() && !own.is_empty() {
        bail!("token audiences {} is invalid for the target audiences {}", quoted(said), quoted(asked));
    }
    Ok(both)
}

struct Check<'a> {
    registry: &'a Registry,
    then: Seconds,
}

impl Check<'_> {
    /// Sees that an object is still the one for which the token was made.
    async fn exists(
        &self,
        (plural, kind): (&str, &str),
        namespace: &str,
        claimed: &ClaimedObject,
    ) -> anyhow::Result<()> {
        const GONE: &str = "service account token has been invalidated";
        let found = objects::find(self.registry, plural, namespace, &claimed.name).await.ok().context(GONE)?;
        ensure!(
            found.uid == claimed.uid,
            "{kind} UID ({}) does not match service account {kind} ref claim ({})",
            found.uid,
            claimed.uid
        );
        ensure!(!found.is_deleted_before(self.then), GONE);
        Ok(())
    }
}

impl TokenAuthenticator for Bound {
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(self.look(token, audiences))
    }
}
