//! Who makes a request.

/// The group of every request that was authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests that presented nothing.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user of requests that presented nothing.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// A user as authentication found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name, such as `system:node:boba`.
    pub name: String,
    /// A unique id where the authenticator knows one, else empty.
    pub uid: String,
    /// The groups, `system:authenticated` among them.
    pub groups: Vec<String>,
}

impl User {
    /// Somebody who presented nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), uid: String::new(), groups: vec![UNAUTHENTICATED.into()] }
    }

    /// Somebody who proved who they are: `system:authenticated` is added to the groups.
    #[must_use]
    pub fn authenticated(name: impl Into<String>, uid: impl Into<String>, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        Self { name: name.into(), uid: uid.into(), groups }
    }
}
