//! Client certificates.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use super::{Authenticator, Found, Presented, User, user::CREDENTIAL_ID};
use crate::{
    files::FromFiles,
    metrics,
    serve::{
        Peer,
        tls::{ClientAuthority, Subject},
    },
};

/// How long a verified certificate is taken for good: a signature is checked once a minute, not once a request.
const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// How many verified certificates are remembered.
const REMEMBERED: usize = 4096;

/// Recognises clients by certificates of certain authorities: CN is the name, O are the groups.
pub struct Certificates {
    authority: Arc<FromFiles<ClientAuthority>>,
    verified: Mutex<Verified>,
}

/// Whom a certificate names, and until when it is good, in seconds since 1970.
#[derive(Clone)]
struct Named {
    user: User,
    not_after: i64,
}

/// Certificates that were found good, and when; by which authorities.
#[derive(Default)]
struct Verified {
    users: HashMap<CertificateDer<'static>, (Instant, Named)>,
    by: Option<Arc<ClientAuthority>>,
}

impl Verified {
    /// Other authorities judge anew.
    fn judged_by(&mut self, authority: &Arc<ClientAuthority>) {
        if !self.by.as_ref().is_some_and(|by| Arc::ptr_eq(by, authority)) {
            self.users.clear();
            self.by = Some(Arc::clone(authority));
        }
    }
}

impl Certificates {
    /// Certificates of these authorities.
    #[must_use]
    pub fn new(authority: Arc<FromFiles<ClientAuthority>>) -> Self {
        Self { authority, verified: Mutex::default() }
    }

    fn find(&self, peer: &Peer) -> anyhow::Result<Option<User>> {
        let Some(leaf) = peer.certificates.first() else { return Ok(None) };
        let authority = self.authority.get();
        let named = match self.known(&authority, leaf) {
            Some(named) => Some(named),
            None => authority.verify(peer)?.and_then(named).inspect(|named| {
                self.remember(&authority, leaf.clone(), named.clone());
            }),
        };
        Ok(named.map(|named| {
            metrics::certificate_used(named.not_after);
            named.user
        }))
    }

    fn known(&self, authority: &Arc<ClientAuthority>, leaf: &CertificateDer<'static>) -> Option<Named> {
        let mut verified = self.verified.lock();
        verified.judged_by(authority);
        let (when, named) = verified.users.get(leaf)?;
        (when.elapsed() < VERIFIED_FOR).then(|| named.clone())
    }

    fn remember(&self, authority: &Arc<ClientAuthority>, leaf: CertificateDer<'static>, named: Named) {
        let mut verified = self.verified.lock();
        verified.judged_by(authority);
        if verified.users.len() >= REMEMBERED {
            verified.users.clear();
        }
        verified.users.insert(leaf, (Instant::now(), named));
    }
}

impl Authenticator for Certificates {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        let found = presented.peer.map_or(Ok(None), |peer| self.find(peer));
        Box::pin(std::future::ready(found.map(|user| user.map(Into::into))))
    }
}

/// A certificate without a name names nobody.
fn named(subject: Subject) -> Option<Named> {
    let Subject { common_name, organizations, uid, fingerprint, not_after } = subject;
    let user = User::authenticated(common_name, uid, organizations);
    let user = user.with_extra(CREDENTIAL_ID, format!("X509SHA256={fingerprint}"));
    (!user.name.is_empty()).then_some(Named { user, not_after })
}
