//! Tokens that are kept in secrets: they do not end, and are good as long as the secret has them.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use api_types::{
    Object, StatusError,
    core::{Secret, ServiceAccount},
    jiff::Timestamp,
};
use component::{
    auth::{Found, Identity, TokenAuthenticator, user::service_account},
    jwt::{Algorithm, Claims, Seconds, Token},
};
use futures::future::BoxFuture;
use serde::Deserialize;

use super::{Account, Issuing, bound::meant};
use crate::{
    registry::own::{loopback_user, own_options},
    registry::{Change, Changed, Part, Registry, Stored, Target, Write, admission::Handle},
};

/// Who issues such tokens.
const ISSUER: &str = "kubernetes/serviceaccount";
const TOKEN: &str = "token";
/// When a token was last used, by day.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// Since when a token is not good any more, because nobody had used it.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LegacyClaims {
    #[serde(flatten)]
    public: Claims,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    uid: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
}

impl LegacyClaims {
    fn check(&self) -> anyhow::Result<()> {
        let claims = [
            (&self.public.subject, "sub"),
            (&self.namespace, "namespace"),
            (&self.secret, "secretName"),
            (&self.account, "serviceAccountName"),
            (&self.uid, "serviceAccountUID"),
        ];
        for (claim, name) in claims {
            ensure!(!claim.is_empty(), "{name} claim is missing");
        }
        let subject = service_account(&self.public.subject);
        ensure!(subject == Some((self.namespace.as_str(), self.account.as_str())), "sub claim is invalid");
        Ok(())
    }
}

/// Recognises the tokens of secrets.
pub struct Legacy {
    issuing: Arc<Issuing>,
    registry: Handle,
}

impl Legacy {
    /// Recognises tokens that were signed with the issuer's keys.
    #[must_use]
    pub fn new(issuing: Arc<Issuing>, registry: Handle) -> Self {
        Self { issuing, registry }
    }

    async fn look(&self, text: &str, audiences: &[String]) -> Found {
        let Some(token) = Token::parse(text, Algorithm::OF_SERVICE_ACCOUNTS) else { return Ok(None) };
        if token.issuer().as_deref() != Some(ISSUER) {
            return Ok(None);
        }
        let claims: LegacyClaims = token.verify(&self.issuing.verifying().verifying)?;
        let audiences = meant(&claims.public.audiences, audiences, &self.issuing.audiences)?;
        claims.public.check_time(Seconds(Timestamp::now().as_second()))?;
        claims.check()?;
        if self.issuing.lookup {
            self.look_up(text, &claims).await?;
        }
        let LegacyClaims { account: name, uid, namespace, .. } = claims;
        Ok(Some(Identity { user: Account { namespace, name, uid, ..Account::default() }.user(), audiences }))
    }

    /// Sees that secret and account are still there.
    async fn look_up(&self, text: &str, claims: &LegacyClaims) -> anyhow::Result<()> {
        const GONE: &str = "Token has been invalidated";
        let registry = self.registry.registry()?;
        let namespace = claims.namespace.as_str();
        let secret = get(&registry, "secrets", Target { namespace, name: &claims.secret }).await.ok().context(GONE)?;
        let secret: &Secret = secret.expect_ref("Secret")?;
        ensure!(secret.metadata.deletion_timestamp.is_none(), GONE);
        let kept = secret.data.as_ref().and_then(|data| data.get(TOKEN));
        ensure!(kept.is_some_and(|kept| kept.0 == text.as_bytes()), "Token does not match server's copy");
        let account = get(&registry, "serviceaccounts", Target { namespace, name: &claims.account }).await?;
        let account: &ServiceAccount = account.expect_ref("ServiceAccount")?;
        let name = &claims.account;
        if account.metadata.deletion_timestamp.is_some() {
            bail!("ServiceAccount {namespace}/{name} has been deleted");
        }
        let uid = account.metadata.uid.as_deref().unwrap_or_default();
        ensure!(uid == claims.uid, "ServiceAccount UID ({uid}) does not match claim ({})", claims.uid);
        let labels = secret.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(INVALID_SINCE)).is_some_and(|since| !since.is_empty()) {
            bail!(
                "the token in secret {namespace}/{} for service account {namespace}/{name} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token",
                claims.secret
            );
        }
        note_use(&registry, secret).await;
        Ok(())
    }
}

async fn get(registry: &Registry, plural: &str, target: Target<'_>) -> Result<Box<dyn Object>, StatusError> {
    registry.get_object(&*registry.core(plural)?, target).await
}

/// Writes down the day, once a day. The token is good whether that succeeds or not.
async fn note_use(registry: &Registry, secret: &Secret) {
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let noted = secret.metadata.labels.as_ref().and_then(|labels| labels.get(LAST_USED));
    // Another server's clock may be ahead.
    if noted.is_some_and(|noted| *noted >= today) {
        return;
    }
    let (namespace, name) = (&secret.metadata.namespace, &secret.metadata.name);
    let target =
        Target { namespace: namespace.as_deref().unwrap_or_default(), name: name.as_deref().unwrap_or_default() };
    let note = Note { uid: secret.metadata.uid.clone(), today };
    let user = loopback_user();
    let written = async {
        let secrets = registry.core("secrets")?;
        registry.update(&secrets, &Write::new(&user, own_options()), target, Part::Main, &note).await
    };
    if let Err(error) = written.await {
        tracing::warn!("noting the use of the token in secret {}/{}: {error}", target.namespace, target.name);
    }
}

struct Note {
    uid: Option<String>,
    today: String,
}

impl Change for Note {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        let metadata = new.meta_mut();
        if metadata.uid == self.uid {
            metadata.labels.get_or_insert_default().insert(LAST_USED.to_owned(), self.today.clone());
        }
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

impl TokenAuthenticator for Legacy {
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(self.look(token, audiences))
    }
}
