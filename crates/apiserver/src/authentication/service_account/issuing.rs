//! What this server signs tokens with, and whose tokens it believes.

use std::{sync::Arc, time::Duration};

use component::{
    files::FromFiles,
    jwt::{Claims, PublicKey, Seconds, SigningKey},
};
use uuid::Uuid;

use super::claims::{AllClaims, Binding};

/// A pod's token asks for so many seconds when whoever made the pod did not: upstream's number, by which it is known.
const USUAL_LIFE: i64 = 3607;
/// So long such a token really lives, in seconds, because old clients do not read the file again.
const EXTENDED_LIFE: i64 = 365 * 24 * 60 * 60;

/// The keys.
#[derive(Debug)]
pub struct IssuingKeys {
    /// Signs.
    pub signing: SigningKey,
    /// Whose signatures are believed.
    pub verifying: Vec<PublicKey>,
}

/// How service accounts get their tokens.
pub struct Issuing {
    /// Who the issuer is: new tokens name the first, tokens of all are believed.
    pub issuers: Vec<String>,
    /// For whom tokens are that do not say it: this server.
    pub audiences: Vec<String>,
    /// The keys, which may change.
    pub keys: FromFiles<IssuingKeys>,
    /// Whether secrets of older tokens have to exist.
    pub lookup: bool,
    /// The longest life of a token.
    pub longest: Option<Duration>,
    /// Whether pods' usual tokens live longer than they say.
    pub extend: bool,
    /// Where the keys are published; empty for this server.
    pub keys_url: String,
}

/// What a token is to say.
#[derive(Debug)]
pub struct Grant {
    /// The user.
    pub subject: String,
    /// For whom it is.
    pub audiences: Vec<String>,
    /// How long it is to live, in seconds.
    pub life: i64,
    /// To what it is bound.
    pub binding: Binding,
}

impl Issuing {
    /// Whose signatures are believed.
    #[must_use]
    pub fn verifying(&self) -> Arc<IssuingKeys> {
        self.keys.get()
    }

    /// The life of a token that is asked to live so long, in seconds, when that is shorter.
    #[must_use]
    pub fn shortened(&self, asked: i64) -> Option<i64> {
        let longest = i64::try_from(self.longest?.as_secs()).ok().filter(|longest| *longest > 0)?;
        (asked > longest).then_some(longest)
    }

    /// A signed token, and its id.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign(&self, mut grant: Grant, now: Seconds) -> anyhow::Result<(String, String)> {
        let mut life = grant.life;
        if self.extends(&grant) {
            grant.binding.warn_after = Some(Seconds(now.0 + life));
            life = EXTENDED_LIFE;
        }
        let id = Uuid::new_v4().to_string();
        let public = Claims {
            audiences: grant.audiences,
            expires: Some(Seconds(now.0 + life)),
            issued: Some(now),
            issuer: self.issuers.first().cloned().unwrap_or_default(),
            id: id.clone(),
            not_before: Some(now),
            subject: grant.subject,
        };
        let claims = AllClaims { public, kubernetes: grant.binding };
        Ok((self.keys.get().signing.sign(&claims)?, id))
    }

    fn extends(&self, grant: &Grant) -> bool {
        let for_this_server = grant.audiences.iter().all(|audience| self.audiences.contains(audience));
        self.extend && grant.life == USUAL_LIFE && grant.binding.pod.is_some() && for_this_server
    }
}
