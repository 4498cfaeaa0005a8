//! Questions about users and rights: nothing of them is stored, they are answered by the same authenticators and
//! authorizers that every request meets.

mod access;
mod rules;
mod token;
mod validate;

use std::sync::Arc;

use component::auth::{Authenticator, Authorizer};

/// Answers reviews.
#[derive(Clone)]
pub struct Reviewer {
    /// Who clients are.
    pub authenticator: Arc<dyn Authenticator>,
    /// What they may do.
    pub authorizer: Arc<dyn Authorizer>,
}
