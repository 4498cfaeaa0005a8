//! TLS: one protocol set, and client certificates that are asked for but judged later.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        ResolvesClientCert, WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ClientHello, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use x509_parser::der_parser::{Oid, oid};

use super::{
    Peer,
    certificates::{self, KeyedCertificate},
    trust::Authorities,
};
use crate::files::FromFiles;

/// A server's TLS configuration: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Any client certificate is
/// let through, so that a bad one is answered with 401 instead of a broken handshake.
///
/// # Errors
/// When the key does not fit the certificate.
pub fn server_config(certificate: KeyedCertificate) -> Result<Arc<ServerConfig>, Error> {
    let key = CertifiedKey::from_der(certificate.chain, certificate.key, &aws_lc_rs::default_provider())?;
    server_config_following(FromFiles::constant(key), Vec::new())
}

/// The same with a certificate that is read again when its files change. Clients are told whose certificates may be of
/// use: those with several choose by it.
///
/// # Errors
/// When the protocols cannot be had.
pub fn server_config_following(
    certificate: FromFiles<CertifiedKey>,
    authorities: Vec<DistinguishedName>,
) -> Result<Arc<ServerConfig>, Error> {
    following(Presented(Box::new(move || Some(certificate.get()))), authorities)
}

/// The same with a certificate that need not be there yet: until it is, no handshake succeeds.
///
/// # Errors
/// When the protocols cannot be had.
pub fn server_config_awaiting(certificate: FromFiles<Option<Arc<CertifiedKey>>>) -> Result<Arc<ServerConfig>, Error> {
    following(Presented(Box::new(move || certificate.get().as_ref().clone())), Vec::new())
}

/// A certificate and its key, from files.
///
/// # Errors
/// When a file cannot be read, or the key does not fit the certificate.
pub fn serving(certificate: &Path, key: &Path) -> anyhow::Result<FromFiles<CertifiedKey>> {
    let files = [certificate, key].map(Path::to_owned);
    FromFiles::new("the serving certificate", files.to_vec(), move || {
        let [certificate, key] = &files;
        read(certificate, key)
    })
}

/// A certificate and its key in one file that need not be there yet.
#[must_use]
pub fn serving_awaited(file: &Path) -> FromFiles<Option<Arc<CertifiedKey>>> {
    let path = file.to_owned();
    FromFiles::awaited("the serving certificate", vec![path.clone()], move || Ok(Arc::new(read(&path, &path)?)))
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let pair = certificates::read_pair(certificate, key)?;
    Ok(CertifiedKey::from_der(pair.chain, pair.key, &aws_lc_rs::default_provider())?)
}

fn following(presented: Presented, names: Vec<DistinguishedName>) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyPeer { provider, names }))
        .with_cert_resolver(Arc::new(presented));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a server presents, whatever name it is asked for.
struct Presented(Box<dyn Fn() -> Option<Arc<CertifiedKey>> + Send + Sync>);

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented")
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.0)()
    }
}

/// A client's TLS configuration: HTTP/1.1 only, because its connections may be upgraded. Without authorities any server
/// is taken, as long as it holds its certificate's key.
///
/// # Errors
/// When a key does not fit its certificate, or an authority is none.
pub fn client_config(
    identity: Option<KeyedCertificate>,
    authorities: Option<Vec<CertificateDer<'static>>>,
) -> Result<ClientConfig, Error> {
    let builder = verifying(authorities)?;
    match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The same with a certificate that is read again when its files change.
///
/// # Errors
/// When an authority is none.
pub fn client_config_following(
    identity: Option<Arc<FromFiles<CertifiedKey>>>,
    authorities: Option<Vec<CertificateDer<'static>>>,
) -> Result<ClientConfig, Error> {
    let builder = verifying(authorities)?;
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Shown(identity))),
        None => builder.with_no_client_auth(),
    })
}

fn verifying(
    authorities: Option<Vec<CertificateDer<'static>>>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    Ok(match authorities {
        // Then nobody is believed.
        Some(authorities) if authorities.is_empty() => builder.with_root_certificates(RootCertStore::empty()),
        Some(authorities) => {
            let authorities = Authorities::new(authorities, Arc::clone(&provider))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(authorities))
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyPeer { provider, names: Vec::new() })),
    })
}

/// What a client shows, whoever asks for it.
struct Shown(Arc<FromFiles<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    Ok(roots)
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
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider).build()?;
        Ok(Self { verifier })
    }

    /// The authorities of a file, which is read again when it changes.
    ///
    /// # Errors
    /// When the file cannot be read, or no certificate in it is usable.
    pub fn from_file(path: &Path) -> anyhow::Result<FromFiles<Self>> {
        let file = path.to_owned();
        FromFiles::new(format!("client authorities in {}", path.display()), vec![path.to_owned()], move || {
            Self::new(certificates::read_chain(&file)?)
        })
    }

    /// What the authorities are called.
    #[must_use]
    pub fn names(&self) -> Vec<DistinguishedName> {
        self.verifier.root_hint_subjects().to_vec()
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
    /// The user's unique id; empty when it has none.
    pub uid: String,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// Until when the certificate is good, in seconds since 1970.
    pub not_after: i64,
}

/// The attribute of a subject that holds the user's unique id.
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

impl Subject {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, anyhow::Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)?;
        let subject = parsed.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().map(str::to_owned);
        // Of several names Go takes the last.
        let common_name = subject.iter_common_name().last().map(text).transpose()?.unwrap_or_default();
        let organizations = subject.iter_organization().map(text).collect::<Result<_, _>>()?;
        let uids: Vec<String> = subject.iter_by_oid(&UID).map(text).collect::<Result<_, _>>()?;
        let uid = match uids.as_slice() {
            [] => String::new(),
            [uid] if uid.is_empty() => anyhow::bail!("UID cannot be an empty string"),
            [uid] => uid.clone(),
            several => anyhow::bail!("expected 1 UID, but found multiple: {several:?}"),
        };
        let fingerprint = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
        let not_after = parsed.validity().not_after.timestamp();
        Ok(Self { common_name, organizations, uid, fingerprint, not_after })
    }
}

/// Takes any certificate, of a client or of a server, and checks only that the other end holds its key. Who a client
/// is, is judged later; who a server is, does not matter to those who use this.
#[derive(Debug)]
struct AnyPeer {
    provider: Arc<CryptoProvider>,
    /// The authorities that clients are told of.
    names: Vec<DistinguishedName>,
}

impl AnyPeer {
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for AnyPeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
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
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for AnyPeer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
