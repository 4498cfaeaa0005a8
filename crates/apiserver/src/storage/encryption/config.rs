//! `--encryption-provider-config`.

use std::{collections::HashSet, path::Path};

use anyhow::{Context, bail, ensure};
use api_types::yaml;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::provider::{Cipher, Ciphers};

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
    kms: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

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
        for (index, entry) in config.resources.into_iter().enumerate() {
            let ciphers = ciphers(entry.providers).with_context(|| format!("resources[{index}].providers"))?;
            ensure!(!entry.resources.is_empty(), "resources[{index}].resources: Required value");
            entries.push((entry.resources, ciphers));
        }
        Ok(Self(entries))
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

fn ciphers(providers: Vec<Provider>) -> anyhow::Result<Ciphers> {
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
            "provider specifies {given} ways, expected exactly one of aescbc, aesgcm, secretbox, identity"
        );
        if provider.kms.is_some() {
            bail!("kms: key management services are not supported yet");
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

    #[test]
    fn the_first_entry_that_means_a_resource_decides() {
        let text = format!(
            "- resources: [secrets, '*.apps']\n  providers: [{{aescbc: {{keys: [{{name: a, secret: {KEY}}}]}}}}]\n- resources: ['*.*']\n  providers: [{{identity: {{}}}}]\n"
        );
        let config = config(&text).unwrap();
        let begins = |group, plural| {
            let at = crate::storage::Key::from("k");
            let sealed = config.ciphers(group, plural).unwrap().seal(&at, b"{}").unwrap();
            sealed.starts_with(b"k8s:enc:aescbc:v1:a:")
        };
        assert!(begins("", "secrets") && begins("apps", "deployments"));
        assert!(!begins("", "configmaps") && !begins("example.com", "secrets"));
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
            ("{kms: {name: k, endpoint: 'unix:///x'}}", "not supported"),
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
