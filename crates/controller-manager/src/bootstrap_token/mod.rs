//! Tokens by which new nodes introduce themselves: with each of them the cluster's address and authority are signed
//! ([`signer`]), so that a node believes them, and a token is deleted when its time is up ([`cleaner`]). Neither is done
//! unless `--controllers` names it.

pub(crate) mod cleaner;
pub(crate) mod signer;
mod token;

use api_types::core::Secret;
use component::informer::{Informer, Scope};

/// Where the tokens are.
const NAMESPACE: &str = "kube-system";
/// The type of their secrets.
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// An informer of all tokens.
fn secrets() -> Informer<Secret> {
    let scope = Scope {
        namespace: Some(NAMESPACE.to_owned()),
        field_selector: Some(format!("type={TYPE}")),
        ..Scope::default()
    };
    Informer::new(&(), &scope)
}
