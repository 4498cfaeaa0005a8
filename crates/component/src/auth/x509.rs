//! Client certificates.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use super::{Authenticator, Found, Presented, User, user::CREDENTIAL_ID};
use crate::serve::{
    Peer,
    tls::{ClientAuthority, Subject},
};

/// How long a verified certificate is taken for good: a signature is checked once a minute, not once a request.
const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// How many verified certificates are remembered.
const REMEMBERED: usize = 4096;

/// Recognises clients by certificates of certain authorities: CN is the name, O are the groups.
pub struct Certificates {
    authority: ClientAuthority,
    /// Certificates that were found good, and when.
    verified: Mutex<HashMap<CertificateDer<'static>, (Instant, User)>>,
}

impl Certificates {
    /// Certificates of these authorities.
    #[must_use]
    pub fn new(authority: ClientAuthority) -> Self {
        Self { authority, verified: Mutex::default() }
    }

    fn find(&self, peer: &Peer) -> anyhow::Result<Option<User>> {
        let Some(leaf) = peer.certificates.first() else { return Ok(None) };
        if let Some((when, user)) = self.verified.lock().get(leaf)
            && when.elapsed() < VERIFIED_FOR
        {
            return Ok(Some(user.clone()));
        }
        let user = self.authority.verify(peer)?.and_then(user);
        if let Some(user) = &user {
            self.remember(leaf.clone(), user.clone());
        }
        Ok(user)
    }

    fn remember(&self, leaf: CertificateDer<'static>, user: User) {
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(leaf, (Instant::now(), user));
    }
}

impl Authenticator for Certificates {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        let found = presented.peer.map_or(Ok(None), |peer| self.find(peer));
        Box::pin(std::future::ready(found.map(|user| user.map(Into::into))))
    }
}

/// A certificate without a name names nobody.
fn user(subject: Subject) -> Option<User> {
    let user = User::authenticated(subject.common_name, subject.uid, subject.organizations);
    (!user.name.is_empty()).then(|| user.with_extra(CREDENTIAL_ID, format!("X509SHA256={}", subject.fingerprint)))
}
