//! Clients of the plain port.

use std::future::ready;

use component::auth::{Authenticator, Found, Presented, User, user::MASTERS};
use futures::future::BoxFuture;

/// Trusts clients of the plain port, as upstream's old insecure port did.
#[derive(Clone, Copy, Debug)]
pub struct PlainPort;

impl Authenticator for PlainPort {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        let plain = presented.peer.is_some_and(|peer| !peer.encrypted);
        let user = plain.then(|| User::authenticated("system:unsecured", "", vec![MASTERS.into()]).into());
        Box::pin(ready(Ok(user)))
    }
}
