//! `extenders`: programs elsewhere that have their say.

use std::time::Duration;

use api_types::{
    field::{FieldError, Path},
    validation::names,
};
use serde::Deserialize;

/// How long an extender may take when nothing is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// `Extender`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtenderDocument {
    /// Where it is; verbs are appended.
    pub url_prefix: String,
    /// Which nodes do.
    #[serde(deserialize_with = "verb")]
    pub filter_verb: Option<String>,
    /// Who goes.
    #[serde(deserialize_with = "verb")]
    pub preempt_verb: Option<String>,
    /// Which nodes are better.
    #[serde(deserialize_with = "verb")]
    pub prioritize_verb: Option<String>,
    /// How much its scores count.
    pub weight: i64,
    /// It binds pods itself.
    #[serde(deserialize_with = "verb")]
    pub bind_verb: Option<String>,
    /// It speaks HTTPS.
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    /// Whom to trust, and who asks.
    pub tls_config: Option<Tls>,
    /// How long it may take.
    #[serde(deserialize_with = "super::duration")]
    http_timeout: Option<Duration>,
    /// It knows the nodes and need only be told names.
    pub node_cache_capable: bool,
    /// Only pods that want one of these are its affair.
    pub managed_resources: Vec<ManagedResource>,
    /// Pods are placed also without it.
    pub ignorable: bool,
}

/// `ExtenderTLSConfig`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tls {
    /// Whoever answers is trusted.
    pub insecure: bool,
    /// The name in its certificate.
    pub server_name: Option<String>,
    /// The client's certificate.
    pub cert_file: Option<String>,
    /// Its key.
    pub key_file: Option<String>,
    /// Who signed the server's.
    pub ca_file: Option<String>,
    /// Instead of a file.
    pub cert_data: Option<String>,
    /// Instead of a file.
    pub key_data: Option<String>,
    /// Instead of a file.
    pub ca_data: Option<String>,
}

/// `ExtenderManagedResource`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ManagedResource {
    /// An extended resource.
    pub name: String,
    /// Whether it fits is the extender's affair alone.
    pub ignored_by_scheduler: bool,
}

fn verb<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let verb: Option<String> = Option::deserialize(deserializer)?;
    Ok(verb.filter(|verb| !verb.is_empty()))
}

impl ExtenderDocument {
    /// How long it may take.
    #[must_use]
    pub fn http_timeout(&self) -> Duration {
        self.http_timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(PATIENCE)
    }
}

/// What is wrong with extenders, in upstream's words.
pub(super) fn validate(extenders: &[ExtenderDocument]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut managed = Vec::new();
    for (i, own) in extenders.iter().enumerate() {
        let path = Path::new("extenders").index(i);
        if own.url_prefix.is_empty() {
            errors.push(FieldError::required(&path.child("urlPrefix"), ""));
        }
        if own.prioritize_verb.is_some() && own.weight <= 0 {
            let detail = "must have a positive weight applied to it";
            errors.push(FieldError::invalid(&path.child("weight"), own.weight, detail));
        }
        for (j, resource) in own.managed_resources.iter().enumerate() {
            let path = path.child("managedResources").index(j).child("name");
            let wrong = names::qualified_name(&resource.name).into_iter();
            errors.extend(wrong.map(|detail| FieldError::invalid(&path, resource.name.as_str(), detail)));
            if managed.contains(&&resource.name) {
                let detail = "duplicate extender managed resource name";
                errors.push(FieldError::invalid(&path, resource.name.as_str(), detail));
            }
            managed.push(&resource.name);
        }
    }
    let binders = extenders.iter().filter(|own| own.bind_verb.is_some()).count();
    if binders > 1 {
        let detail = format!("found {binders} extenders implementing bind");
        errors.push(FieldError::invalid(&Path::new("extenders"), binders, detail));
    }
    errors
}
