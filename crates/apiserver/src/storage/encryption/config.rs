//! `--encryption-provider-config`.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use api_types::yaml;
use base64::{Engine, engine::general_purpose::STANDARD};
use component::flags::duration;
use serde::Deserialize;

use super::{
    kms::{self, Kms},
    provider::{Cipher, Ciphers},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncryptionConfiguration {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    resources: Vec<ResourceConfiguration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceConfiguration {
    resources: Vec<String>,
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    aescbc: Option<Keys>,
    aesgcm: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<Nothing>,
    kms: Option<KmsLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KmsLine {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoint: String,
    cachesize: Option<i64>,
    timeout: Option<String>,
}

/// How long a key management service may take when nobody says it; upstream's.
const KMS_TIMEOUT: Duration = Duration::from_secs(3);

impl KmsLine {
    fn settings(self) -> anyhow::Result<kms::Settings> {
        let (version, name, endpoint) = (&self.api_version, &self.name, &self.endpoint);
        ensure!(
            !matches!(version.as_str(), "" | "v1"),
            "kms.apiVersion: Forbidden: KMSv1 is deprecated and not served here; write apiVersion: v2 and use a plugin that speaks it"
        );
        ensure!(
            version == "v2",
            "kms.apiVersion: Invalid value: {version:?}: unsupported apiVersion {version} for KMS provider, only v1 and v2 are supported"
        );
        ensure!(!name.is_empty(), "kms.name: Required value: name is a required field");
        ensure!(!name.contains(':'), "kms.name: Invalid value: {name:?}: KMS provider name must not contain ':'");
        ensure!(self.cachesize.is_none(), "kms.cachesize: Invalid value: cachesize is not supported in v2");
        ensure!(!endpoint.is_empty(), "kms.endpoint: Invalid value: {endpoint:?}: endpoint is a required field");
        let Some(path) = endpoint.strip_prefix("unix://") else {
            bail!(
                "kms.endpoint: Invalid value: {endpoint:?}: unsupported scheme for KMS provider, only unix is supported"
            );
        };
        ensure!(path.starts_with('/'), "kms.endpoint: Invalid value: {endpoint:?}: an absolute path is needed");
        let timeout = self.timeout.as_deref().map(duration).transpose().map_err(anyhow::Error::msg);
        let timeout = timeout.context("kms.timeout")?.unwrap_or(KMS_TIMEOUT);
        ensure!(
            timeout > Duration::ZERO,
            "kms.timeout: Invalid value: {timeout:?}: timeout should be a positive value"
        );
        Ok(kms::Settings { name: self.name, socket: path.into(), timeout })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<NamedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    name: String,
    secret: String,
}

/// The ciphers of each resource: the first entry that means a resource decides.
pub struct EncryptionConfig(Vec<(Vec<String>, Ciphers)>);

impl EncryptionConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// When something in it is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: EncryptionConfiguration = serde_json::from_value(yaml::from_str(text)?)?;
        ensure!(
            config.kind == "EncryptionConfiguration" && config.api_version == "apiserver.config.k8s.io/v1",
            "got {} in {}, expected EncryptionConfiguration in apiserver.config.k8s.io/v1",
            config.kind,
            config.api_version
        );
        ensure!(!config.resources.is_empty(), "resources: Required value: at least one resource must be provided");
        let mut entries = Vec::new();
        let mut services = Services::default();
        for (index, entry) in config.resources.into_iter().enumerate() {
            let ciphers =
                ciphers(entry.providers, &mut services).with_context(|| format!("resources[{index}].providers"))?;
            ensure!(!entry.resources.is_empty(), "resources[{index}].resources: Required value");
            entries.push((entry.resources, ciphers));
        }
        Ok(Self(entries))
    }

    /// The key management services that are used.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Kms>> {
        self.0.iter().flat_map(|(_, ciphers)| ciphers.services())
    }

    /// The ciphers of a resource; `None` when it is stored as it is.
    pub fn ciphers(&self, group: &str, plural: &str) -> Option<&Ciphers> {
        let named = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        let of_group = format!("*.{group}");
        let means = |word: &String| *word == named || *word == of_group || word == "*.*";
        self.0.iter().find_map(|(resources, ciphers)| resources.iter().any(means).then_some(ciphers))
    }
}

/// Makes a cipher of a key.
type MakeCipher = fn(&[u8]) -> Result<Cipher, String>;

/// Key management services by name: no two may have the same.
type Services = HashSet<String>;

fn ciphers(providers: Vec<Provider>, services: &mut Services) -> anyhow::Result<Ciphers> {
    ensure!(!providers.is_empty(), "Required value: at least one provider must be provided");
    let mut all = Vec::new();
    let mut names = HashSet::new();
    for provider in providers {
        let kinds: [(Option<Keys>, &'static str, MakeCipher); 3] = [
            (provider.aescbc, "aescbc", Cipher::aes_cbc),
            (provider.aesgcm, "aesgcm", Cipher::aes_gcm),
            (provider.secretbox, "secretbox", Cipher::secretbox),
        ];
        let given = kinds.iter().filter(|(keys, ..)| keys.is_some()).count()
            + usize::from(provider.identity.is_some())
            + usize::from(provider.kms.is_some());
        ensure!(
            given == 1,
            "provider specifies {given} ways, expected exactly one of aescbc, aesgcm, secretbox, kms, identity"
        );
        if let Some(line) = provider.kms {
            let settings = line.settings()?;
            let unique = services.insert(settings.name.clone());
            ensure!(
                unique,
                "kms.name: Invalid value: {:?}: duplicate KMS provider name {0}, names must be unique",
                settings.name
            );
            all.push((settings.name.clone(), Cipher::Kms(Kms::new(settings))));
        }
        if provider.identity.is_some() {
            all.push((String::new(), Cipher::Identity));
        }
        for (keys, way, make) in kinds.into_iter().filter_map(|(keys, way, make)| Some((keys?, way, make))) {
            ensure!(!keys.keys.is_empty(), "{way}.keys: Required value: at least one key must be provided");
            for key in keys.keys {
                let place = || format!("{way}, key {:?}", key.name);
                ensure!(
                    !key.name.is_empty() && !key.name.contains(':'),
                    "{}: a name without a colon is required",
                    place()
                );
                ensure!(names.insert((way, key.name.clone())), "{}: the name is there twice", place());
                let secret = STANDARD
                    .decode(&key.secret)
                    .ok()
                    .with_context(|| format!("{}: secret must be base64 encoded", place()))?;
                let cipher = make(&secret).map_err(anyhow::Error::msg).with_context(place)?;
                all.push((key.name, cipher));
            }
        }
    }
    Ok(Ciphers::new(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &str) -> anyhow::Result<EncryptionConfig> {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n";
        EncryptionConfig::parse(&format!("{head}{entries}"))
    }

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";

    #[tokio::test]
    async fn the_first_entry_that_means_a_resource_decides() {
        let text = format!(
            "- resources: [secrets, '*.apps']\n  providers: [{{aescbc: {{keys: [{{name: a, secret: {KEY}}}]}}}}]\n- resources: ['*.*']\n  providers: [{{identity: {{}}}}]\n"
        );
        let config = config(&text).unwrap();
        let begins = async |group, plural| {
            let at = crate::storage::Key::from("k");
            let sealed = config.ciphers(group, plural).unwrap().seal(&at, b"{}").await.unwrap();
            sealed.starts_with(b"k8s:enc:aescbc:v1:a:")
        };
        assert!(begins("", "secrets").await && begins("apps", "deployments").await);
        assert!(!begins("", "configmaps").await && !begins("example.com", "secrets").await);
    }

    #[test]
    fn mistakes_are_told() {
        let provider = |provider: &str| config(&format!("- resources: [secrets]\n  providers: [{provider}]\n"));
        let cases = [
            ("", "at least one provider"),
            ("{}", "exactly one of"),
            ("{aescbc: {keys: []}}", "at least one key"),
            ("{aescbc: {keys: [{name: a, secret: '!'}]}}", "base64"),
            ("{aescbc: {keys: [{name: a, secret: AAAA}]}}", "expected length, got 3"),
            ("{kms: {name: k, endpoint: 'unix:///x'}}", "KMSv1 is deprecated"),
            ("{kms: {apiVersion: v3, name: k, endpoint: 'unix:///x'}}", "unsupported apiVersion v3"),
            ("{kms: {apiVersion: v2, endpoint: 'unix:///x'}}", "name is a required field"),
            ("{kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///x'}}", "must not contain"),
            ("{kms: {apiVersion: v2, name: k}}", "endpoint is a required field"),
            ("{kms: {apiVersion: v2, name: k, endpoint: 'http://x'}}", "only unix"),
            ("{kms: {apiVersion: v2, name: k, endpoint: 'unix:///x', cachesize: 5}}", "not supported in v2"),
            ("{kms: {apiVersion: v2, name: k, endpoint: 'unix:///x', timeout: 0s}}", "positive"),
            ("{other: {}}", "other"),
        ];
        for (text, words) in cases {
            let Err(error) = provider(text) else { panic!("{text} was taken") };
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
        let twice = format!("{{aesgcm: {{keys: [{{name: a, secret: {KEY}}}, {{name: a, secret: {KEY}}}]}}}}");
        assert!(provider(&twice).is_err());
        assert!(EncryptionConfig::parse("kind: Pod\napiVersion: v1\nresources: []").is_err());
    }
}
