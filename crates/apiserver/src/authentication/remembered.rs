//! Tokens that were found good are taken for good a little longer, as upstream does: a signature is verified and objects
//! are looked up once in ten seconds, not once a request.

use std::{sync::Arc, time::Duration};

use component::auth::{Answers, Found, Identity, TokenAuthenticator};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

/// How long a token is taken for good.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// Remembers what another authenticator found. What is no good is looked at every time.
pub struct Remembered {
    inner: Arc<dyn TokenAuthenticator>,
    /// By hashes that nobody outside can compute: tokens themselves are nowhere, and how long a look-up takes tells nothing.
    known: Answers<[u8; 32], Identity>,
    secret: [u8; 32],
}

impl Remembered {
    /// Remembers what `inner` finds.
    #[must_use]
    pub fn new(inner: Arc<dyn TokenAuthenticator>) -> Self {
        Self { inner, known: Answers::new(), secret: rand::random() }
    }

    fn key(&self, token: &str, audiences: &[String]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for text in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

impl TokenAuthenticator for Remembered {
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(async move {
            let key = self.key(token, audiences);
            if let Some(known) = self.known.get(&key) {
                return Ok(Some(known));
            }
            let found = self.inner.find(token, audiences).await?;
            if let Some(identity) = &found {
                self.known.put(key, identity.clone(), GOOD_FOR);
            }
            Ok(found)
        })
    }
}
