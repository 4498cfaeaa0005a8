//! Whose certificates a client believes.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::certificate::X509Certificate;

/// Believes what some authorities have signed, and their own certificates where servers present these: who makes a
/// self-signed certificate with common tools makes an authority, which Go's clients take for a server's, too.
#[derive(Debug)]
pub(super) struct Authorities {
    signed: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// # Errors
    /// When one of them is no authority, or there is none.
    pub(super) fn new(own: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for authority in &own {
            roots.add(authority.clone())?;
        }
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { signed: signed.map_err(|error| Error::General(error.to_string()))?, own })
    }

    /// Whether it is one of the authorities' own certificates, good at this time, for servers, and of this name.
    fn is_own(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let bad = |error| Error::InvalidCertificate(error);
        if !self.own.contains(leaf) {
            return Err(bad(CertificateError::UnknownIssuer));
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| bad(CertificateError::BadEncoding))?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = parsed.validity();
        if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
            return Err(bad(CertificateError::Expired));
        }
        if !is_for_servers(&parsed) {
            return Err(bad(CertificateError::InvalidPurpose));
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
    }
}

/// A certificate that does not say what it is for is for everything.
fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Err(_) => false,
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let signed = self.signed.verify_server_cert(leaf, intermediates, name, ocsp_response, now);
        signed
            .or_else(|error| self.is_own(leaf, name, now).map(|()| ServerCertVerified::assertion()).map_err(|_| error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    fn authority(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["hook.ns.svc".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// What is said in 2025 of a server that presents this.
    fn judge(believed: &CertificateDer<'static>, presented: &CertificateDer<'static>, name: &'static str) -> bool {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = Authorities::new(vec![believed.clone()], provider).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_750_000_000));
        authorities.verify_server_cert(presented, &[], &ServerName::try_from(name).unwrap(), &[], now).is_ok()
    }

    #[test]
    fn an_authority_may_serve_by_itself() {
        let (own, other) = (authority(|_| {}), authority(|_| {}));
        assert!(judge(&own, &own, "hook.ns.svc"));
        assert!(!judge(&own, &own, "other.ns.svc"));
        assert!(!judge(&own, &other, "hook.ns.svc"), "the same name, another key");
    }

    #[test]
    fn an_authority_serves_while_it_is_good_and_for_what_it_is_for() {
        let old = authority(|params| params.not_after = date_time_ymd(2024, 1, 1));
        let early = authority(|params| params.not_before = date_time_ymd(2029, 1, 1));
        let clients = authority(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let servers = authority(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert!(!judge(&old, &old, "hook.ns.svc") && !judge(&early, &early, "hook.ns.svc"));
        assert!(!judge(&clients, &clients, "hook.ns.svc") && judge(&servers, &servers, "hook.ns.svc"));
    }
}
