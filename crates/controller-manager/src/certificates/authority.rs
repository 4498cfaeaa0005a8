//! The authorities that sign, and what they make of a request.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use api_types::jiff::{SignedDuration, Timestamp};
use component::{files::FromFiles, flags::duration, serve::certificates};
use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use x509_parser::{extensions::ParsedExtension, parse_x509_certificate};

use super::{
    CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN,
    encoding::{self, Extension},
    request::Asked,
};

/// A certificate is good from a little before it is made, for clocks that are late; upstream's figure.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// What lives shorter than this is not also made to end earlier; upstream's figure.
const SHORT: Duration = Duration::from_secs(8 * 3600);

/// `--cluster-signing-…`
#[derive(Clone, Debug, clap::Args)]
pub struct SigningFlags {
    /// Certificate of the authority that signs requests, in PEM
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_key_file: Option<PathBuf>,
    /// Longest life of what is issued
    #[arg(long, alias = "experimental-cluster-signing-duration", default_value = "8760h0m0s", value_parser = duration, value_name = "DURATION")]
    pub cluster_signing_duration: Duration,
    /// Authority for kubelets as servers, instead
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_serving_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_serving_key_file: Option<PathBuf>,
    /// Authority for kubelets as clients, instead
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_client_key_file: Option<PathBuf>,
    /// Authority for clients of the API server, instead
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kube_apiserver_client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kube_apiserver_client_key_file: Option<PathBuf>,
    /// Authority for requests of old, instead
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_legacy_unknown_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_legacy_unknown_key_file: Option<PathBuf>,
}

/// A certificate and its key, as flags name them.
type Pair<'a> = (Option<&'a Path>, Option<&'a Path>);

impl SigningFlags {
    fn whole(&self) -> Pair<'_> {
        (self.cluster_signing_cert_file.as_deref(), self.cluster_signing_key_file.as_deref())
    }

    /// The pair of each signer, and how its flags begin.
    fn specific(&self) -> [(&'static str, &'static str, Pair<'_>); 4] {
        macro_rules! pair {
            ($cert:ident, $key:ident) => {
                (self.$cert.as_deref(), self.$key.as_deref())
            };
        }
        [
            (
                CLIENT,
                "--cluster-signing-kube-apiserver-client",
                pair!(cluster_signing_kube_apiserver_client_cert_file, cluster_signing_kube_apiserver_client_key_file),
            ),
            (
                KUBELET_CLIENT,
                "--cluster-signing-kubelet-client",
                pair!(cluster_signing_kubelet_client_cert_file, cluster_signing_kubelet_client_key_file),
            ),
            (
                KUBELET_SERVING,
                "--cluster-signing-kubelet-serving",
                pair!(cluster_signing_kubelet_serving_cert_file, cluster_signing_kubelet_serving_key_file),
            ),
            (
                LEGACY_UNKNOWN,
                "--cluster-signing-legacy-unknown",
                pair!(cluster_signing_legacy_unknown_cert_file, cluster_signing_legacy_unknown_key_file),
            ),
        ]
    }
}

/// Who signs for which signer.
#[derive(Clone, Default)]
pub struct Signers(BTreeMap<&'static str, Arc<FromFiles<Authority>>>);

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Signers {
    /// Reads the files that the flags name; they are read again when they change.
    pub(crate) fn read(flags: &SigningFlags, mistakes: &mut Vec<String>) -> Self {
        let specific = flags.specific();
        let any_specific = specific.iter().any(|(_, _, (cert, key))| cert.is_some() || key.is_some());
        // As upstream: half of a pair is none.
        let whole = match flags.whole() {
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => None,
        };
        if any_specific && whole.is_some() {
            mistakes.push("cannot specify default and per controller certs at the same time".to_owned());
            return Self::default();
        }
        if let Some((cert, key)) = whole {
            let authority = authority("--cluster-signing-cert-file", cert, key, mistakes);
            let all = specific.iter().map(|(signer, ..)| *signer);
            return Self(
                authority.map(|one| all.map(|signer| (signer, Arc::clone(&one))).collect()).unwrap_or_default(),
            );
        }
        let mut signers = BTreeMap::new();
        for (signer, flag, pair) in specific {
            match pair {
                (None, None) => {}
                (Some(cert), Some(key)) => {
                    signers
                        .extend(authority(&format!("{flag}-cert-file"), cert, key, mistakes).map(|one| (signer, one)));
                }
                _ => mistakes.push(format!("{flag}-cert-file and {flag}-key-file need each other")),
            }
        }
        Self(signers)
    }

    /// Whether nobody signs.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who signs for a signer now.
    pub(super) fn get(&self, signer: &str) -> Option<Arc<Authority>> {
        self.0.get(signer).map(|files| files.get())
    }
}

fn authority(flag: &str, cert: &Path, key: &Path, mistakes: &mut Vec<String>) -> Option<Arc<FromFiles<Authority>>> {
    let (cert, key) = (cert.to_owned(), key.to_owned());
    let paths = vec![cert.clone(), key.clone()];
    let what = format!("the authority in {}", cert.display());
    let read = FromFiles::new(what, paths, move || Authority::read(&cert, &key));
    read.map_err(|error| mistakes.push(format!("{flag}: {error:#}"))).ok().map(Arc::new)
}

/// Somebody who signs certificates.
pub(crate) struct Authority {
    key: KeyPair,
    algorithm: &'static Algorithm,
    /// Its subject.
    name: Vec<u8>,
    /// What it says its key is called.
    key_id: Option<Vec<u8>>,
    /// Until when it is believed itself.
    not_after: Timestamp,
}

/// How signatures of a kind of key are named in certificates.
struct Algorithm {
    of: &'static SignatureAlgorithm,
    id: &'static [u64],
    /// Whether the name is followed by parameters that say nothing.
    null: bool,
}

static ALGORITHMS: [Algorithm; 5] = [
    Algorithm { of: &rcgen::PKCS_RSA_SHA256, id: &[1, 2, 840, 113_549, 1, 1, 11], null: true },
    Algorithm { of: &rcgen::PKCS_ECDSA_P256_SHA256, id: &[1, 2, 840, 10045, 4, 3, 2], null: false },
    Algorithm { of: &rcgen::PKCS_ECDSA_P384_SHA384, id: &[1, 2, 840, 10045, 4, 3, 3], null: false },
    Algorithm { of: &rcgen::PKCS_ECDSA_P521_SHA512, id: &[1, 2, 840, 10045, 4, 3, 4], null: false },
    Algorithm { of: &rcgen::PKCS_ED25519, id: &[1, 3, 101, 112], null: false },
];

impl Authority {
    fn read(cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = certificates::read_chain(cert)?;
        let [der] = chain.as_slice() else {
            bail!("error reading CA cert file {:?}: expected 1 certificate, found {}", cert, chain.len());
        };
        let (_, parsed) = parse_x509_certificate(der).with_context(|| format!("reading {}", cert.display()))?;
        let pem = std::fs::read_to_string(key).with_context(|| format!("reading {}", key.display()))?;
        let pair = KeyPair::from_pem(&pem).with_context(|| format!("reading {}", key.display()))?;
        ensure!(
            pair.subject_public_key_info() == parsed.public_key().raw,
            "the key in {} is not that of the certificate in {}",
            key.display(),
            cert.display()
        );
        let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.of == pair.algorithm());
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            algorithm: algorithm.with_context(|| format!("{}: a key of an unknown kind", key.display()))?,
            name: parsed.subject().as_raw().to_vec(),
            key_id,
            not_after: Timestamp::from_second(parsed.validity().not_after.timestamp())?,
            key: pair,
        })
    }

    /// A certificate in PEM, for at most so long.
    ///
    /// # Errors
    /// When the authority's own certificate has run out, or the cryptography library fails.
    pub(super) fn issue(
        &self,
        asked: &Asked,
        usages: &[String],
        ttl: Duration,
        now: Timestamp,
    ) -> anyhow::Result<String> {
        ensure!(now < self.not_after, "the signer has expired: NotAfter={}", self.not_after);
        let life = SignedDuration::try_from(ttl)?;
        let life = if ttl < SHORT { life } else { life - BACKDATE };
        let until = now.checked_add(life).map_or(self.not_after, |until| until.min(self.not_after));
        let body = self.body(asked, usages, (now - BACKDATE, until))?;
        let signature = self.key.sign(&body)?;
        let der = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&body);
                self.algorithm.write(writer.next());
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(encoding::pem("CERTIFICATE", &der))
    }

    /// What is signed: `TBSCertificate`.
    fn body(&self, asked: &Asked, usages: &[String], life: (Timestamp, Timestamp)) -> anyhow::Result<Vec<u8>> {
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).context("a serial number")?;
        let extensions = self.extensions(asked, usages);
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged(yasna::Tag::context(0), |writer| writer.write_u8(2));
                writer.next().write_bigint_bytes(&serial, true);
                self.algorithm.write(writer.next());
                writer.next().write_der(&self.name);
                writer.next().write_sequence(|writer| {
                    encoding::time(writer.next(), life.0);
                    encoding::time(writer.next(), life.1);
                });
                encoding::subject(writer.next(), &asked.subject);
                writer.next().write_der(&asked.public_key);
                writer.next().write_tagged(yasna::Tag::context(3), |writer| {
                    writer.write_sequence(|writer| {
                        extensions.iter().for_each(|extension| extension.write(writer.next()));
                    });
                });
            });
        }))
    }

    /// In Go's order.
    fn extensions(&self, asked: &Asked, usages: &[String]) -> Vec<Extension> {
        let mut extensions = Vec::new();
        let bits: Vec<usize> = usages.iter().filter_map(|usage| find(&KEY_USAGES, usage)).collect();
        if !bits.is_empty() {
            extensions.push(Extension { id: &[2, 5, 29, 15], critical: true, content: encoding::key_usage(&bits) });
        }
        let purposes: Vec<&[u64]> = purposes(usages);
        if !purposes.is_empty() {
            let content = encoding::extended_key_usage(&purposes);
            extensions.push(Extension { id: &[2, 5, 29, 37], critical: false, content });
        }
        // An authority it is not.
        let nothing = yasna::construct_der(|writer| writer.write_sequence(|_| ()));
        extensions.push(Extension { id: &[2, 5, 29, 19], critical: true, content: nothing });
        if let Some(id) = &self.key_id {
            let content = encoding::authority_key_id(id);
            extensions.push(Extension { id: &[2, 5, 29, 35], critical: false, content });
        }
        if !asked.names.is_empty() {
            let critical = asked.subject.0.is_empty();
            extensions.push(Extension { id: &[2, 5, 29, 17], critical, content: encoding::names(&asked.names) });
        }
        extensions
    }
}

impl Algorithm {
    fn write(&self, writer: yasna::DERWriter<'_>) {
        writer.write_sequence(|writer| {
            encoding::oid(writer.next(), self.id);
            if self.null {
                writer.next().write_null();
            }
        });
    }
}

/// Usages that are bits of `KeyUsage`.
const KEY_USAGES: [(&str, usize); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Usages that are purposes in `ExtKeyUsage`, in Go's order.
const PURPOSES: [(&str, &[u64]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

fn find<T: Copy>(table: &[(&str, T)], usage: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == usage).map(|(_, meaning)| *meaning)
}

fn purposes(usages: &[String]) -> Vec<&'static [u64]> {
    let asked = PURPOSES.iter().filter(|(name, _)| usages.iter().any(|usage| usage == name));
    let mut purposes: Vec<&[u64]> = asked.map(|(_, purpose)| *purpose).collect();
    purposes.dedup();
    purposes
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, SanType};
    use x509_parser::prelude::*;

    use super::{super::request::tests as asking, *};

    fn authority(algorithm: &'static SignatureAlgorithm) -> (tempfile::TempDir, Authority, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let cert = params.self_signed(&key).unwrap();
        let paths = [directory.path().join("ca.crt"), directory.path().join("ca.key")];
        std::fs::write(&paths[0], cert.pem()).unwrap();
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
        let authority = Authority::read(&paths[0], &paths[1]).unwrap();
        (directory, authority, cert.der().to_vec())
    }

    fn der(pem: &str) -> Vec<u8> {
        parse_x509_pem(pem.as_bytes()).unwrap().1.contents
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_issued_says_what_was_asked_for() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let (_directory, authority, ca) = authority(algorithm);
            let names = vec![SanType::IpAddress([10, 0, 0, 1].into()), SanType::DnsName("n".try_into().unwrap())];
            let asked = Asked::parse(asking::pem("system:nodes", "system:node:ñ", names).as_bytes()).unwrap();
            let usages =
                asking::words(&["digital signature", "server auth", "key encipherment", "s/mime", "email protection"]);
            let year = Duration::from_secs(365 * 86_400);
            let pem = authority.issue(&asked, &usages, year, at("2026-01-01T00:00:00Z")).unwrap();
            let der = der(&pem);
            let (rest, cert) = parse_x509_certificate(&der).unwrap();
            assert!(rest.is_empty());
            let (_, ca) = parse_x509_certificate(&ca).unwrap();
            cert.verify_signature(Some(ca.public_key())).unwrap();
            assert_eq!(cert.issuer().as_raw(), ca.subject().as_raw());
            assert_eq!(cert.subject().to_string(), "O=system:nodes, CN=system:node:ñ");
            assert_eq!(cert.public_key().raw, asked.public_key);
            let life = cert.validity();
            assert_eq!(life.not_before.timestamp(), at("2025-12-31T23:55:00Z").as_second());
            assert_eq!(life.not_after.timestamp(), at("2026-12-31T23:55:00Z").as_second());
            assert!(!cert.is_ca());
            let usage = cert.key_usage().unwrap().unwrap();
            assert!(usage.critical && usage.value.digital_signature() && usage.value.key_encipherment());
            assert!(!usage.value.key_cert_sign());
            let purposes = cert.extended_key_usage().unwrap().unwrap().value;
            assert!(purposes.server_auth && purposes.email_protection && !purposes.client_auth);
            let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
            assert_eq!(names.as_slice(), [GeneralName::DNSName("n"), GeneralName::IPAddress(&[10, 0, 0, 1])]);
        }
    }

    #[test]
    fn nothing_outlives_its_authority() {
        let (_directory, authority, _) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
        let asked = Asked::parse(asking::pem("o", "n", vec![]).as_bytes()).unwrap();
        let issue = |ttl: u64, now: &str| authority.issue(&asked, &[], Duration::from_secs(ttl), at(now));
        let end = |pem: &str| parse_x509_certificate(&der(pem)).unwrap().1.validity().not_after.timestamp();
        let pem = issue(600, "2049-12-31T23:55:00Z").unwrap();
        assert_eq!(end(&pem), at("2050-01-01T00:05:00Z").as_second(), "what is short is not shortened");
        let pem = issue(u64::MAX >> 2, "2050-12-31T00:00:00Z").unwrap();
        assert_eq!(end(&pem), at("2051-01-01T00:00:00Z").as_second());
        let error = issue(600, "2051-01-01T00:00:00Z").unwrap_err();
        assert!(error.to_string().starts_with("the signer has expired"), "{error}");
    }

    #[test]
    fn a_key_belongs_to_its_certificate() {
        let (one, ..) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (other, ..) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
        let error = Authority::read(&one.path().join("ca.crt"), &other.path().join("ca.key")).err().unwrap();
        assert!(error.to_string().contains("is not that of the certificate"), "{error}");
    }
}
