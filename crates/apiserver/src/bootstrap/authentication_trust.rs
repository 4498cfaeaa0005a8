//! Whom this server believes, told to servers that serve a part of the API on their own: the config map
//! `extension-apiserver-authentication`. Several API servers add up to what any of them believes.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use api_types::{Object, StatusError, core::ConfigMap};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{loopback_user, own_options};
use crate::registry::{Change, Changed, Part, Registry, Stored, Target, Write};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// How often it is looked at; upstream's interval.
const INTERVAL: Duration = Duration::from_secs(60);

/// Whom a server believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Who signs clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// Who signs proxies' certificates.
    pub proxy_ca: Option<PathBuf>,
    /// What else is to be known of proxies: lists, by their keys in the config map.
    pub proxies: Vec<(&'static str, Vec<String>)>,
}

const CLIENT_CA: &str = "client-ca-file";
const PROXY_CA: &str = "requestheader-client-ca-file";
/// None in the list means that all are allowed.
pub const ALLOWED_NAMES: &str = "requestheader-allowed-names";

/// Keeps the config map.
pub async fn keep(registry: &Registry, trust: &Trust) {
    if trust.client_ca.is_none() && trust.proxy_ca.is_none() {
        return;
    }
    loop {
        if let Err(error) = publish(registry, trust).await {
            tracing::warn!("config map {NAMESPACE}/{NAME}: {error:#}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn publish(registry: &Registry, trust: &Trust) -> anyhow::Result<()> {
    let (user, change) = (loopback_user(), Publish(facts(trust)?));
    let target = Target { namespace: NAMESPACE, name: NAME };
    let maps = registry.core("configmaps")?;
    match registry.update(&maps, &Write::new(&user, own_options()), target, Part::Main, &change).await {
        Err(error) if error.reason() == "NotFound" => {
            let new: Box<dyn Object> = Box::new(change.on(ConfigMap::default()));
            registry.create(&maps, &Write::new(&user, own_options()), NAMESPACE, new).await?;
        }
        result => drop(result?),
    }
    Ok(())
}

type Data = BTreeMap<String, String>;

fn facts(trust: &Trust) -> anyhow::Result<Data> {
    let mut data = Data::new();
    for (key, path) in [(CLIENT_CA, &trust.client_ca), (PROXY_CA, &trust.proxy_ca)] {
        if let Some(path) = path {
            data.insert(key.to_owned(), fs::read_to_string(path)?);
        }
    }
    for (key, list) in trust.proxies.iter().filter(|_| trust.proxy_ca.is_some()) {
        data.insert((*key).to_owned(), serde_json::to_string(list)?);
    }
    Ok(data)
}

/// Adds what this server believes to what is there.
struct Publish(Data);

impl Publish {
    fn on(&self, mut map: ConfigMap) -> ConfigMap {
        map.metadata.name.get_or_insert_with(|| NAME.to_owned());
        let data = map.data.get_or_insert_default();
        for (key, own) in &self.0 {
            let there = data.remove(key);
            let both = match (there, key.as_str()) {
                (None, _) => own.clone(),
                (Some(there), CLIENT_CA | PROXY_CA) => certificates(&there, own),
                (Some(there), key) => list(key, &there, own),
            };
            data.insert(key.clone(), both);
        }
        map
    }
}

impl Change for Publish {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let map: &ConfigMap = current.object.expect_ref("ConfigMap")?;
        let new: Box<dyn Object> = Box::new(self.on(map.clone()));
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

/// The certificates of both that are still good, each once.
fn certificates(there: &str, own: &str) -> String {
    let mut seen: Vec<CertificateDer<'static>> = Vec::new();
    for pem in [there, own] {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).flatten() {
            let good = x509_parser::parse_x509_certificate(&certificate).is_ok_and(|(_, c)| c.validity().is_valid());
            if good && !seen.contains(&certificate) {
                seen.push(certificate);
            }
        }
    }
    if seen.is_empty() { own.to_owned() } else { seen.iter().map(|certificate| pem(certificate)).collect() }
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

fn list(key: &str, there: &str, own: &str) -> String {
    let read = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap_or_default();
    let (mut both, own_list) = (read(there), read(own));
    if key == ALLOWED_NAMES && (both.is_empty() || own_list.is_empty()) {
        return "[]".to_owned();
    }
    both.extend(own_list.into_iter().filter(|name| !read(there).contains(name)));
    serde_json::to_string(&both).unwrap_or_else(|_| own.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_add_up() {
        let certificate = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            pem(made.cert.der())
        };
        let (one, two) = (certificate("a"), certificate("b"));
        let names = |names: &str| (ALLOWED_NAMES.to_owned(), names.to_owned());
        let server = |ca: &str, allowed: &str| Publish(Data::from([(CLIENT_CA.into(), ca.into()), names(allowed)]));
        let first = server(&one, r#"["x"]"#).on(ConfigMap::default());
        assert_eq!(first.data.as_ref().unwrap()[CLIENT_CA], one);
        let both = server(&two, r#"["y","x"]"#).on(first.clone());
        let data = both.data.as_ref().unwrap();
        assert_eq!((&data[CLIENT_CA], data[ALLOWED_NAMES].as_str()), (&format!("{one}{two}"), r#"["x","y"]"#));
        assert_eq!(server(&one, r#"["x"]"#).on(both.clone()), both, "nothing is taken away");
        let all = server(&one, "[]").on(both);
        assert_eq!(all.data.unwrap()[ALLOWED_NAMES], "[]", "all are allowed");
    }
}
