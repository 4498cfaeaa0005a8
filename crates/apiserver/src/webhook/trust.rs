//! Whose certificates are believed.

use std::sync::OnceLock;

use component::serve::tls::client_config;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The authorities of this machine, read once.
fn of_this_machine() -> Vec<CertificateDer<'static>> {
    static FOUND: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    FOUND.get_or_init(|| rustls_native_certs::load_native_certs().certs).clone()
}

/// TLS to servers whose certificates are signed by one of these authorities, in PEM; by one that this machine knows, when
/// there are none.
///
/// # Errors
/// When they are none.
pub(super) fn of(authorities: &[u8]) -> Result<ClientConfig, String> {
    let found = if authorities.is_empty() {
        of_this_machine()
    } else {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(authorities).collect();
        read.ok()
            .filter(|read| !read.is_empty())
            .ok_or("unable to load root certificates: unable to parse bytes as PEM block")?
    };
    // What is no authority to this library is none of several, as to Go's.
    let sound = found.into_iter().filter(|authority| rustls::RootCertStore::empty().add(authority.clone()).is_ok());
    client_config(None, Some(sound.collect())).map_err(|error| error.to_string())
}
