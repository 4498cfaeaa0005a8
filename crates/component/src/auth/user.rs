//! Who makes a request.

use std::collections::BTreeMap;

use api_types::validation::names;

/// The group of every request that was authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests that presented nothing.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user of requests that presented nothing.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of kubelets.
pub const NODES: &str = "system:nodes";
/// The extra that names the credential by which somebody was recognised.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// The extra that names the pod for which a token was made.
pub const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// The extra with that pod's uid.
pub const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// The extra that names the node on which that pod was, or for which a token was made.
pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// The extra with that node's uid.
pub const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

/// A user as authentication found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name, such as `system:node:boba`.
    pub name: String,
    /// A unique id where the authenticator knows one, else empty.
    pub uid: String,
    /// The groups, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// What else the authenticator knows; keys are lower case.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody who presented nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// Somebody who proved who they are: `system:authenticated` is added to the groups.
    #[must_use]
    pub fn authenticated(name: impl Into<String>, uid: impl Into<String>, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        Self { name: name.into(), uid: uid.into(), groups, extra: BTreeMap::new() }
    }

    /// The user, with something more that is known.
    #[must_use]
    pub fn with_extra(mut self, key: &str, value: impl Into<String>) -> Self {
        self.extra.entry(key.to_owned()).or_default().push(value.into());
        self
    }

    /// Whether the user is a member.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// The namespace and name in `system:serviceaccount:NAMESPACE:NAME`, when both can be.
#[must_use]
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let good = names::dns1123_label(namespace).is_empty() && names::dns1123_subdomain(name).is_empty();
    good.then_some((namespace, name))
}

/// The user that a service account is.
#[must_use]
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The groups of a namespace's service accounts.
#[must_use]
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// The node in `system:node:NAME`, when it can be one.
#[must_use]
pub fn node(user: &str) -> Option<&str> {
    let name = user.strip_prefix("system:node:")?;
    names::dns1123_subdomain(name).is_empty().then_some(name)
}
