//! TLS for servers: one protocol set, and client certificates that are asked for but judged later.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{Peer, certificates::KeyedCertificate};

/// A server's TLS configuration: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Any client certificate is
/// let through, so that a bad one is answered with 401 instead of a broken handshake.
///
/// # Errors
/// When the key does not fit the certificate.
pub fn server_config(certificate: KeyedCertificate) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyClient { provider }))
        .with_single_cert(certificate.chain, certificate.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Judges client certificates against a set of authorities.
#[derive(Debug)]
pub struct ClientAuthority {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientAuthority {
    /// Authorities from the certificates of `--client-ca-file`.
    ///
    /// # Errors
    /// When no certificate is usable.
    pub fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Self, anyhow::Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { verifier })
    }

    /// The subject of the peer's certificate: `None` when it presented none.
    ///
    /// # Errors
    /// When the certificate is not signed by an authority, has expired, or is malformed.
    pub fn verify(&self, peer: &Peer) -> Result<Option<Subject>, anyhow::Error> {
        let Some((leaf, intermediates)) = peer.certificates.split_first() else { return Ok(None) };
        self.verifier.verify_client_cert(leaf, intermediates, UnixTime::now())?;
        Subject::of(leaf).map(Some)
    }
}

/// Who a client certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// CN: the user's name.
    pub common_name: String,
    /// O: the user's groups.
    pub organizations: Vec<String>,
}

impl Subject {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, anyhow::Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)?;
        let subject = parsed.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().map(str::to_owned);
        let common_name = subject.iter_common_name().next().map(text).transpose()?.unwrap_or_default();
        let organizations = subject.iter_organization().map(text).collect::<Result<_, _>>()?;
        Ok(Self { common_name, organizations })
    }
}

/// Asks for a certificate, accepts any, and checks only that the client holds its key.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
