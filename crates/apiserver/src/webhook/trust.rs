//! Whose certificates are believed.

use std::sync::{Arc, OnceLock};

use component::{files::FromFiles, serve::tls::client_config_following};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
    sign::CertifiedKey,
};

/// The authorities of this machine, read once.
fn of_this_machine() -> Vec<CertificateDer<'static>> {
    static FOUND: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    FOUND.get_or_init(|| rustls_native_certs::load_native_certs().certs).clone()
}

/// Whose certificates a server may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belief {
    /// Those of these authorities, in PEM; of those that this machine knows, when there are none.
    In(Vec<u8>),
    /// Any.
    Anybody,
}

/// TLS to servers that are believed; this is what we show them, if they ask for it.
///
/// # Errors
/// When the authorities are none, in words for people.
pub fn tls(belief: &Belief, identity: Option<Arc<FromFiles<CertifiedKey>>>) -> Result<ClientConfig, String> {
    let authorities = match belief {
        Belief::Anybody => None,
        Belief::In(pem) if pem.is_empty() => Some(of_this_machine()),
        Belief::In(pem) => Some(read(pem)?),
    };
    // What is no authority to this library is none of several, as to Go's.
    let sound = |authority: &CertificateDer<'static>| rustls::RootCertStore::empty().add(authority.clone()).is_ok();
    let authorities = authorities.map(|all| all.into_iter().filter(sound).collect());
    client_config_following(identity, authorities).map_err(|error| error.to_string())
}

fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let none = "unable to load root certificates: unable to parse bytes as PEM block";
    read.ok().filter(|read| !read.is_empty()).ok_or_else(|| none.to_owned())
}
