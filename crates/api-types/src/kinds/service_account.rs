//! `v1.ServiceAccount`.

use serde_json::Value;

use crate::{
    core::ServiceAccount,
    object::{Column, Kind},
    table,
};

/// Lets pods use only the secrets that the account lists.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

impl Kind for ServiceAccount {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Secrets",
            "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are allowed to use. Pods are only limited to this list if this service account has a \"kubernetes.io/enforce-mountable-secrets\" annotation set to \"true\". The \"kubernetes.io/enforce-mountable-secrets\" annotation is deprecated since v1.32. Prefer separate namespaces to isolate access to mounted secrets. This field should not be used to find auto-generated service account token secrets for use outside of pods. Instead, tokens can be requested directly using the TokenRequest API, or service account token secrets can be manually created. More info: https://kubernetes.io/docs/concepts/configuration/secret",
        ),
        Column::AGE,
    ];

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        let marked = |own: &Self| own.metadata.annotations.as_ref().is_some_and(|own| own.contains_key(ENFORCE));
        let newly = marked(self) && !old.is_some_and(marked);
        let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        newly.then(|| format!("metadata.annotations[{ENFORCE}]: {why}")).into_iter().collect()
    }

    fn cells(&self) -> Vec<Value> {
        let secrets = self.secrets.as_ref().map_or(0, Vec::len);
        vec![
            self.metadata.name.clone().into(),
            secrets.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}
