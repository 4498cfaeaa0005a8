//! Serving certificates: read from files, or made when none is given.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// A self-made certificate's life, as upstream's.
const VALIDITY_DAYS: u32 = 365;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("{operation} {path:?}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file holds no PEM of the expected kind.
    #[error("reading {path:?}: no {what} in PEM form")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why it failed.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate cannot be made.
    #[error("making a self-signed certificate")]
    Make(#[from] rcgen::Error),
}

/// A certificate chain and its key.
#[derive(Debug)]
pub struct KeyedCertificate {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// Reads certificates from a PEM file.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|source| pem_error(path, "certificate", source))?;
    if chain.is_empty() {
        return Err(pem_error(path, "certificate", rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

/// Reads a certificate chain and its key from PEM files.
///
/// # Errors
/// When a file cannot be read or holds something else.
pub fn read_pair(certificate: &Path, key: &Path) -> Result<KeyedCertificate, CertificateError> {
    let chain = read_chain(certificate)?;
    let key_pem = read(key)?;
    let parsed = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|source| pem_error(key, "private key", source))?;
    Ok(KeyedCertificate { chain, key: parsed })
}

/// Reads `<name>.crt` and `<name>.key` in `directory`, after making them, self-signed for `hosts`,
/// when they are not there. The key is readable by its owner only.
///
/// # Errors
/// When the directory or a file cannot be read or written.
pub fn read_or_make(directory: &Path, name: &str, hosts: &[String]) -> Result<KeyedCertificate, CertificateError> {
    let certificate_path = directory.join(format!("{name}.crt"));
    let key_path = directory.join(format!("{name}.key"));
    if !(certificate_path.exists() && key_path.exists()) {
        let (certificate, key) = self_signed(name, hosts)?;
        fs::create_dir_all(directory).map_err(|source| file_error("creating", directory, source))?;
        write(&key_path, key.as_bytes(), 0o600)?;
        write(&certificate_path, certificate.as_bytes(), 0o644)?;
    }
    read_pair(&certificate_path, &key_path)
}

/// A self-signed certificate that lives in memory only.
///
/// # Errors
/// When the cryptography library fails.
pub fn make(name: &str, hosts: &[String]) -> Result<KeyedCertificate, CertificateError> {
    let (certificate, key) = self_signed(name, hosts)?;
    let memory = Path::new("memory");
    let chain = vec![
        CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|source| pem_error(memory, "certificate", source))?,
    ];
    let key =
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|source| pem_error(memory, "private key", source))?;
    Ok(KeyedCertificate { chain, key })
}

fn self_signed(name: &str, hosts: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    for host in hosts {
        params.subject_alt_names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.as_str().try_into()?),
        });
    }
    let now = rcgen::date_time_ymd(1970, 1, 1) + std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let day = std::time::Duration::from_secs(86_400);
    params.not_before = now - day;
    params.not_after = now + day * VALIDITY_DAYS;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| file_error("reading", path, source))
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CertificateError> {
    use io::Write;
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(content)).map_err(|source| file_error("writing", path, source))
}

fn file_error(operation: &'static str, path: &Path, source: io::Error) -> CertificateError {
    CertificateError::File { operation, path: path.to_owned(), source }
}

fn pem_error(path: &Path, what: &'static str, source: rustls::pki_types::pem::Error) -> CertificateError {
    CertificateError::Pem { path: path.to_owned(), what, source }
}
