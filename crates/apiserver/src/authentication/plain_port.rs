//! Clients of the plain port.

use std::future::ready;

use component::auth::{Authenticator, Found, Presented, User, user::MASTERS};
use futures::future::BoxFuture;

/// Trusts clients of the plain port, as upstream's old insecure port did.
#[derive(Clone, Debug)]
pub struct PlainPort(User);

impl PlainPort {
    /// Its clients are this user.
    #[must_use]
    pub fn new(user: User) -> Self {
        Self(user)
    }

    /// Who its clients are as a rule: somebody who may do everything.
    #[must_use]
    pub fn master() -> User {
        User::authenticated("system:unsecured", "", vec![MASTERS.into()])
    }
}

impl Authenticator for PlainPort {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        let plain = presented.peer.is_some_and(|peer| !peer.encrypted);
        let user = plain.then(|| self.0.clone().into());
        Box::pin(ready(Ok(user)))
    }
}
