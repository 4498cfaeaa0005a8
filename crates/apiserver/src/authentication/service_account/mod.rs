//! Tokens of service accounts: those that this server issues, and the older ones that are kept in secrets.

mod bound;
mod claims;
pub mod discovery;
mod issuing;
mod legacy;
mod objects;

use component::auth::{
    User,
    user::{CREDENTIAL_ID, NODE_NAME, NODE_UID, POD_NAME, POD_UID, service_account_groups, service_account_user},
};

pub use self::{
    bound::Bound,
    claims::{Binding, ClaimedObject},
    issuing::{Grant, Issuing, IssuingKeys},
    legacy::Legacy,
};

/// A service account as a token names it.
#[derive(Debug, Default)]
struct Account {
    namespace: String,
    name: String,
    uid: String,
    pod: Option<ClaimedObject>,
    node: Option<ClaimedObject>,
    /// The token's own id; empty for one that has none.
    token_id: String,
}

impl Account {
    fn user(self) -> User {
        let name = service_account_user(&self.namespace, &self.name);
        let mut user = User::authenticated(name, self.uid, service_account_groups(&self.namespace));
        let mut note = |key: &str, value: String| {
            if !value.is_empty() {
                user.extra.insert(key.to_owned(), vec![value]);
            }
        };
        if !self.token_id.is_empty() {
            note(CREDENTIAL_ID, format!("JTI={}", self.token_id));
        }
        if let Some(pod) = self.pod.filter(|pod| !pod.name.is_empty() && !pod.uid.is_empty()) {
            note(POD_NAME, pod.name);
            note(POD_UID, pod.uid);
        }
        if let Some(node) = self.node.filter(|node| !node.name.is_empty()) {
            note(NODE_NAME, node.name);
            note(NODE_UID, node.uid);
        }
        user
    }
}
