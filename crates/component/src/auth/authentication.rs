//! Who makes a request: an ordered list of authenticators.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::HeaderMap;

use super::User;
use crate::serve::Peer;

/// What a client presents.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// The other end of the connection, with its certificates.
    pub peer: Option<&'a Peer>,
    /// For whom a token must have been made; empty when that does not matter.
    pub audiences: &'a [String],
}

/// Who was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// For which of the audiences that were asked for a token was made; empty when it does not say.
    pub audiences: Vec<String>,
}

impl From<User> for Identity {
    fn from(user: User) -> Self {
        Self { user, audiences: Vec::new() }
    }
}

/// Somebody; nobody that this authenticator knows; or an error, when something is presented that is not good, or cannot
/// be looked up.
pub type Found = anyhow::Result<Option<Identity>>;

/// Finds out who makes a request.
pub trait Authenticator: Send + Sync + 'static {
    /// Looks at what a client presents.
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found>;
}

/// What happens to requests that present nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// They are `system:anonymous`.
    #[default]
    Allowed,
    /// They get a 401.
    Refused,
}

/// Authenticators in their order. The first that knows the client decides. One that fails is passed over, but when
/// nobody after it knows the client, the client is not taken for anonymous.
#[derive(Clone, Default)]
pub struct Authenticators {
    members: Vec<Arc<dyn Authenticator>>,
    anonymous: Anonymous,
}

impl Authenticators {
    /// A list.
    #[must_use]
    pub fn new(members: Vec<Arc<dyn Authenticator>>, anonymous: Anonymous) -> Self {
        Self { members, anonymous }
    }

    async fn ask(&self, presented: Presented<'_>) -> Found {
        let mut failures = Failures::default();
        for member in &self.members {
            match member.authenticate(presented).await {
                Ok(Some(identity)) => return Ok(Some(identity)),
                Ok(None) => {}
                Err(error) => failures.0.push(error),
            }
        }
        failures.into_result()?;
        Ok((self.anonymous == Anonymous::Allowed).then(|| User::anonymous().into()))
    }
}

impl Authenticator for Authenticators {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        Box::pin(self.ask(presented))
    }
}

/// Errors of the members of a list.
#[derive(Default)]
pub(super) struct Failures(pub(super) Vec<anyhow::Error>);

impl Failures {
    /// The only error as it is, several as Go writes them: `[one, another]`.
    pub(super) fn into_result(mut self) -> anyhow::Result<()> {
        match self.0.len() {
            0 => Ok(()),
            1 => self.0.pop().map_or(Ok(()), Err),
            _ => {
                let texts: Vec<String> = self.0.iter().map(|error| format!("{error:#}")).collect();
                Err(anyhow::anyhow!("[{}]", texts.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authenticator that always finds the same.
    struct Fixed(Result<Option<&'static str>, &'static str>);

    impl Authenticator for Fixed {
        fn authenticate<'a>(&'a self, _: Presented<'a>) -> BoxFuture<'a, Found> {
            let found = self.0.map_err(anyhow::Error::msg);
            Box::pin(async { Ok(found?.map(|name| User::authenticated(name, "", Vec::new()).into())) })
        }
    }

    async fn find(members: &[Result<Option<&'static str>, &'static str>], anonymous: Anonymous) -> String {
        let members = members.iter().map(|found| Arc::new(Fixed(*found)) as Arc<dyn Authenticator>).collect();
        let headers = HeaderMap::new();
        let presented = Presented { headers: &headers, peer: None, audiences: &[] };
        match Authenticators::new(members, anonymous).authenticate(presented).await {
            Ok(Some(identity)) => identity.user.name,
            Ok(None) => "nobody".to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[tokio::test]
    async fn the_first_that_knows_the_client_decides() {
        use Anonymous::{Allowed, Refused};
        assert_eq!(find(&[Ok(None), Ok(Some("ann")), Ok(Some("bob"))], Allowed).await, "ann");
        assert_eq!(find(&[Err("bad"), Ok(Some("ann"))], Allowed).await, "ann", "an error is passed over");
        assert_eq!(find(&[Ok(None)], Allowed).await, "system:anonymous");
        assert_eq!(find(&[Ok(None)], Refused).await, "nobody");
        assert_eq!(find(&[Err("bad"), Ok(None)], Allowed).await, "error: bad", "bad credentials are not anonymous");
        assert_eq!(find(&[Err("bad"), Err("worse")], Allowed).await, "error: [bad, worse]");
    }
}
