//! Who may: authentication finds out who makes a request, authorization decides whether they may.
//!
//! Both are ordered lists whose members may wait for somebody else, and may have no opinion.

mod answers;
pub mod authentication;
pub mod authorization;
pub mod bearer;
pub mod delegated;
pub mod user;
pub mod x509;

pub use answers::Answers;
pub use authentication::{Anonymous, Authenticator, Authenticators, Found, Identity, Presented};
pub use authorization::{
    AlwaysAllow, Attributes, Authorizer, Authorizers, Decision, Masters, ResourceAttributes, Rules, Target, Verdict,
};
pub use bearer::{Bearer, TokenAuthenticator};
pub use user::User;
pub use x509::Certificates;
