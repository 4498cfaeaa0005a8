//! How service accounts get their tokens.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use component::{
    files::FromFiles,
    jwt::{PublicKey, SigningKey, public_keys},
};

use super::{Flags, Mistakes};
use crate::authentication::{Issuing, service_account::IssuingKeys};

/// Who this server is to tokens when no flag says it: kubeadm's choice.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The file of a key that the server made for itself, in --cert-dir.
const OWN_KEY: &str = "service-account.key";

const HOUR: Duration = Duration::from_secs(60 * 60);
const LONGEST: Duration = Duration::from_secs(1 << 32);

pub(super) fn issuing(flags: &Flags, mistakes: &mut Mistakes) -> Option<Issuing> {
    let issuers = issuers(&flags.service_account_issuer, mistakes);
    let longest = flags.service_account_max_token_expiration;
    if longest.is_some_and(|longest| !longest.is_zero() && !(HOUR..=LONGEST).contains(&longest)) {
        let range = "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds";
        mistakes.0.push(range.to_owned());
    }
    let keys = mistakes.take("service-account-signing-key-file", keys(flags).map_err(|error| format!("{error:#}")))?;
    let audiences = if flags.api_audiences.is_empty() { issuers.clone() } else { flags.api_audiences.clone() };
    let issuing = Issuing {
        issuers,
        audiences,
        keys,
        lookup: flags.service_account_lookup,
        longest,
        extend: flags.service_account_extend_token_expiration,
        keys_url: flags.service_account_jwks_uri.clone().unwrap_or_default(),
    };
    if let Err(error) = issuing.check_url() {
        tracing::warn!(
            "Could not construct pre-rendered responses for ServiceAccountIssuerDiscovery endpoints. Endpoints will not be enabled. Error: {error}"
        );
    }
    Some(issuing)
}

fn issuers(named: &[String], mistakes: &mut Mistakes) -> Vec<String> {
    for (index, issuer) in named.iter().enumerate() {
        if issuer.is_empty() {
            mistakes.0.push("service-account-issuer should not be an empty string".to_owned());
        } else if issuer.contains(':') && issuer.parse::<http::Uri>().is_err() {
            mistakes.0.push(format!("service-account-issuer {issuer:?} contained a ':' but was not a valid URL"));
        } else if named[..index].contains(issuer) {
            mistakes.0.push(format!("service-account-issuer {issuer:?} is already specified"));
        }
    }
    if named.is_empty() { vec![ISSUER.to_owned()] } else { named.to_vec() }
}

/// The keys, which are read again when their files change.
fn keys(flags: &Flags) -> anyhow::Result<FromFiles<IssuingKeys>> {
    let own = flags.cert_dir.join(OWN_KEY);
    let signing = match &flags.service_account_signing_key_file {
        Some(path) => path.clone(),
        None => {
            make_key(&own).with_context(|| format!("making {}", own.display()))?;
            own
        }
    };
    // As upstream: the key of HTTPS, when nothing else is named.
    let tls = flags.tls_private_key_file.iter();
    let named: Vec<PathBuf> = match flags.service_account_key_file.as_slice() {
        [] => tls.cloned().collect(),
        named => named.to_vec(),
    };
    let all = named.iter().chain([&signing]).cloned().collect();
    FromFiles::new("service account keys", all, move || read(&signing, &named))
}

fn read(signing: &Path, named: &[PathBuf]) -> anyhow::Result<IssuingKeys> {
    let file = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let signing_key = SigningKey::parse(&file(signing)?).with_context(|| signing.display().to_string())?;
    let mut verifying: Vec<PublicKey> = Vec::new();
    for path in named {
        verifying.extend(public_keys(&file(path)?).with_context(|| path.display().to_string())?);
    }
    // What this server signs it believes.
    verifying.push(signing_key.public().clone());
    let mut seen = Vec::new();
    verifying.retain(|key| {
        let new = !seen.contains(key);
        seen.push(key.clone());
        new
    });
    Ok(IssuingKeys { signing: signing_key, verifying })
}

/// Makes a key, unless there is one. Two servers that do so at once end up with one key.
fn make_key(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let key = rcgen::KeyPair::generate()?.serialize_pem();
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    io::Write::write_all(&mut file, key.as_bytes())?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn mistakes(flags: &[&str]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let own = ["kube-apiserver".to_owned(), format!("--cert-dir={}", directory.path().display())];
        let flags = Flags::parse_from(own.iter().map(String::as_str).chain(flags.iter().copied()));
        let mut mistakes = Mistakes(Vec::new());
        issuing(&flags, &mut mistakes);
        mistakes.0
    }

    #[test]
    fn mistakes_are_told_in_upstreams_words() {
        assert!(mistakes(&[]).is_empty());
        assert!(mistakes(&["--service-account-issuer=api", "--service-account-issuer=https://x.io"]).is_empty());
        assert_eq!(mistakes(&["--service-account-issuer="]), ["service-account-issuer should not be an empty string"]);
        assert_eq!(
            mistakes(&["--service-account-issuer=a", "--service-account-issuer=a"]),
            ["service-account-issuer \"a\" is already specified"]
        );
        for wrong in ["30m", "1193047h"] {
            assert_eq!(
                mistakes(&[&format!("--service-account-max-token-expiration={wrong}")]),
                ["the service-account-max-token-expiration must be between 1 hour and 2^32 seconds"]
            );
        }
        assert_eq!(mistakes(&["--service-account-key-file=/does/not/exist"]).len(), 1);
    }

    #[test]
    fn a_key_that_was_made_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep").join(OWN_KEY);
        make_key(&path).unwrap();
        let key = fs::read(&path).unwrap();
        make_key(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), key);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let keys = read(&path, std::slice::from_ref(&path)).unwrap();
        assert_eq!(keys.verifying, [keys.signing.public().clone()], "each key once");
    }
}
