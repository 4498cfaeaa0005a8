//! Certificates on disk, laid out as upstream does: `NAME-TIME.pem` holds a certificate and its key, and the link
//! `NAME-current.pem` leads to the one in use. A reader sees the old pair or the new one, never halves of both.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api_types::jiff::Timestamp;
use component::serve::certificates::read_pair;
use x509_parser::extensions::GeneralName;

use super::Hosts;

/// How many pairs of one name are kept: the one in use and the one before.
const KEPT: usize = 2;

/// The pairs of one name in a directory.
#[derive(Debug)]
pub struct CertificateFiles {
    directory: PathBuf,
    name: &'static str,
    current: PathBuf,
}

/// What is known of a certificate that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Whose it is.
    pub common_name: String,
    /// The names and addresses that it is for, sorted.
    pub hosts: Hosts,
    /// From when it is good, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

impl Held {
    /// Whether it is good now.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let now = Timestamp::now().as_second();
        self.not_before <= now && now < self.not_after
    }

    fn parse(der: &[u8]) -> anyhow::Result<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der)?;
        let name = certificate.subject().iter_common_name().last().map(|name| name.as_str().map(str::to_owned));
        let mut hosts = Hosts::default();
        let names = certificate.subject_alternative_name()?.map(|names| &names.value.general_names);
        for name in names.into_iter().flatten() {
            match name {
                GeneralName::DNSName(name) => hosts.names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => hosts.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        hosts.sort();
        let validity = certificate.validity();
        Ok(Self {
            common_name: name.transpose()?.unwrap_or_default(),
            hosts,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }
}

impl Hosts {
    /// In order, each once.
    pub(super) fn sort(&mut self) {
        self.names.sort();
        self.names.dedup();
        self.addresses.sort();
        self.addresses.dedup();
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

impl CertificateFiles {
    /// The pairs called `name` in `directory`, which is made when it is needed.
    #[must_use]
    pub fn new(directory: &Path, name: &'static str) -> Self {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        Self { current: directory.join(format!("{name}-current.pem")), directory, name }
    }

    /// The link to the pair in use.
    #[must_use]
    pub fn current(&self) -> &Path {
        &self.current
    }

    /// The same, to keep.
    #[must_use]
    pub fn current_path(&self) -> PathBuf {
        self.current.clone()
    }

    /// The certificate in use.
    ///
    /// # Errors
    /// When there is none, or what is there is no certificate with its key.
    pub fn read(&self) -> anyhow::Result<Held> {
        let pair = read_pair(&self.current, &self.current)?;
        Held::parse(pair.chain.first().context("no certificate")?)
    }

    /// Takes a pair into use.
    ///
    /// # Errors
    /// When it is no pair, or the directory cannot be written to.
    pub fn keep(&self, chain: &str, key: &str, now: Timestamp) -> anyhow::Result<()> {
        fs::create_dir_all(&self.directory).with_context(|| format!("creating {}", self.directory.display()))?;
        let path = self.directory.join(format!("{}-{}.pem", self.name, now.strftime("%Y-%m-%d-%H-%M-%S")));
        self.write(&path, chain, key).with_context(|| format!("writing {}", path.display()))?;
        component::serve::tls::serving(&path, &path).map(drop)?;
        self.link(&path).with_context(|| format!("linking {}", self.current.display()))?;
        self.remove_old(&path);
        Ok(())
    }

    /// Readable by its owner only, and whole before it has its name.
    fn write(&self, path: &Path, chain: &str, key: &str) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(chain.as_bytes())?;
        file.write_all(key.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        let new = self.directory.join(format!("{}-updated.pem", self.name));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(path, &new)?;
        fs::rename(&new, &self.current)
    }

    /// The names of pairs sort by their times.
    fn remove_old(&self, newest: &Path) {
        let prefix = format!("{}-2", self.name);
        let is_pair = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&prefix) && name.ends_with(".pem") && path != newest
        };
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut old: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_pair).collect();
        old.sort_unstable_by(|a, b| b.cmp(a));
        for path in old.iter().skip(KEPT - 1) {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!("removing {}: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn pair(name: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names =
            vec![SanType::DnsName("b".try_into().unwrap()), SanType::DnsName("a".try_into().unwrap())];
        params.subject_alt_names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn the_newest_pair_is_in_use_and_one_before_it_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let files = CertificateFiles::new(&directory.path().join("pki"), "kubelet-client");
        assert!(files.read().is_err());
        for (second, name) in [(0, "one"), (1, "two"), (2, "three")] {
            let (chain, key) = pair(name);
            files.keep(&chain, &key, Timestamp::from_second(1_000_000_000 + second).unwrap()).unwrap();
            let held = files.read().unwrap();
            assert_eq!((held.common_name.as_str(), held.hosts.names.join(" ").as_str()), (name, "a b"));
            assert_eq!(held.hosts.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        }
        let target = fs::read_link(files.current()).unwrap();
        assert!(target.ends_with("pki/kubelet-client-2001-09-09-01-46-42.pem") && target.is_absolute(), "{target:?}");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path().join("pki")).unwrap().count(), 3);
    }

    #[test]
    fn what_is_no_pair_is_not_taken_into_use() {
        let directory = tempfile::tempdir().unwrap();
        let files = CertificateFiles::new(directory.path(), "kubelet-server");
        let ((chain, key), (other, _)) = (pair("good"), pair("other"));
        let at = |second: i64| Timestamp::from_second(1_000_000_000 + second).unwrap();
        files.keep(&chain, &key, at(0)).unwrap();
        for (second, chain) in [(1, other.as_str()), (2, "garbage")] {
            assert!(files.keep(chain, &key, at(second)).is_err());
            assert_eq!(files.read().unwrap().common_name, "good");
        }
    }
}
