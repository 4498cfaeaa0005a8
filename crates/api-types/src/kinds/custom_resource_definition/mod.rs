//! `apiextensions.k8s.io/v1.CustomResourceDefinition`.
//!
//! Upstream validates a form in which what all versions have in common stands beside them, and names fields by that
//! form: the schema of a definition with one version is `spec.validation`.

mod schema;
mod versions;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    apiextensions::{
        CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
    },
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::{meta::immutable, names, webhook},
};

const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const STRATEGIES: [&str; 2] = ["None", "Webhook"];
const WEBHOOK: &str = "Webhook";
/// Versions of `ConversionReview`.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// Who has allowed a definition in a group of the Kubernetes project.
const APPROVAL: &str = "api-approved.kubernetes.io";

impl Kind for CustomResourceDefinition {
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::CREATED_AT];

    fn set_defaults(&mut self) {
        let names = &mut self.spec.names;
        if names.singular.as_ref().is_none_or(String::is_empty) {
            names.singular = Some(names.kind.to_lowercase()).filter(|singular| !singular.is_empty());
        }
        if names.list_kind.as_ref().is_none_or(String::is_empty) && !names.kind.is_empty() {
            names.list_kind = Some(format!("{}List", names.kind));
        }
        let conversion = self.spec.conversion.get_or_insert_with(|| CustomResourceConversion {
            strategy: "None".into(),
            ..CustomResourceConversion::default()
        });
        let config = conversion.webhook.as_mut().and_then(|webhook| webhook.client_config.as_mut());
        if let Some(service) = config.and_then(|config| config.service.as_mut()) {
            service.port.get_or_insert(443);
        }
        if let Some(storage) = self.spec.versions.iter().find(|version| version.storage) {
            let stored = self.status.get_or_insert_default().stored_versions.get_or_insert_default();
            if stored.is_empty() {
                stored.push(storage.name.clone());
            }
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> = name(self).into_iter().collect();
        errors.extend(whole(self, None));
        errors
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        // Rules become stricter; who takes a finalizer off an old definition changes nothing of that.
        if self.spec == old.spec && self.status == old.status && annotation(self) == annotation(old) {
            return Vec::new();
        }
        whole(self, Some(old))
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        accepted_names(self)
    }

    fn cells(&self) -> Vec<Value> {
        vec![self.metadata.name.clone().into(), table::created_at(self.metadata.creation_timestamp.as_ref()).into()]
    }
}

/// A definition is called after what it defines.
fn name(own: &CustomResourceDefinition) -> Option<FieldError> {
    let required = format!("{}.{}", own.spec.names.plural, own.spec.group);
    let name = own.metadata.name.as_deref().filter(|name| !name.is_empty() && *name != required)?;
    let detail = r#"must be spec.names.plural+"."+spec.group"#;
    Some(FieldError::invalid(&Path::new("metadata").child("name"), name, detail))
}

fn whole(own: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = spec(&path, &own.spec);
    if let Some(old) = old {
        errors.extend(changes(&path, own, old));
    }
    errors.extend(accepted_names(own));
    errors.extend(stored_versions(own));
    errors.extend(approval(own, old));
    if own.spec.preserve_unknown_fields == Some(true)
        && old.is_none_or(|old| old.spec.preserve_unknown_fields != Some(true))
    {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    errors
}

fn changes(path: &Path, own: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Vec<FieldError> {
    let names_path = path.child("names");
    let mut conditions = old.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut errors = Vec::new();
    if conditions.any(|condition| condition.type_ == "Established" && condition.status == "True") {
        errors.extend(immutable(&path.child("scope"), &own.spec.scope, &old.spec.scope));
        errors.extend(immutable(&names_path.child("kind"), &own.spec.names.kind, &old.spec.names.kind));
    }
    errors.extend(immutable(&path.child("group"), &own.spec.group, &old.spec.group));
    errors.extend(immutable(&names_path.child("plural"), &own.spec.names.plural, &old.spec.names.plural));
    errors
}

fn spec(path: &Path, spec: &CustomResourceDefinitionSpec) -> Vec<FieldError> {
    let group_path = path.child("group");
    let mut errors = Vec::new();
    match spec.group.as_str() {
        "" => errors.push(FieldError::required(&group_path, "")),
        group if !names::dns1123_subdomain(group).is_empty() => {
            errors.extend(joined(names::dns1123_subdomain, &group_path, group, group, ""));
        }
        group if !group.contains('.') => {
            errors.push(FieldError::invalid(&group_path, group, "should be a domain with at least one dot"));
        }
        _ => {}
    }
    errors.extend(names::one_of(&path.child("scope"), Some(&spec.scope), &SCOPES));
    errors.extend(versions::all(path, spec));
    let own = &spec.names;
    let names_path = path.child("names");
    let required = [
        ("plural", Some(&own.plural)),
        ("singular", own.singular.as_ref()),
        ("kind", Some(&own.kind)),
        ("listKind", own.list_kind.as_ref()),
    ];
    for (field, _) in required.into_iter().filter(|(_, value)| value.is_none_or(|value| value.is_empty())) {
        errors.push(FieldError::required(&names_path.child(field), ""));
    }
    errors.extend(all_names(&names_path, own));
    errors.extend(versions::shared(path, spec));
    errors.extend(spec.conversion.iter().flat_map(|own| conversion(&path.child("conversion"), own)));
    errors
}

/// One error for all that a rule finds in `checked`, about `value`.
fn joined(rule: names::Rule, path: &Path, value: &str, checked: &str, before: &str) -> Option<FieldError> {
    let errors = rule(checked);
    (!errors.is_empty()).then(|| FieldError::invalid(path, value, format!("{before}{}", errors.join(","))))
}

fn all_names(path: &Path, own: &CustomResourceDefinitionNames) -> Vec<FieldError> {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    let label = |field: &str, value: &str, before: &str| {
        let checked = if before.is_empty() { value.to_owned() } else { value.to_lowercase() };
        let error = joined(names::dns1035_label, &path.child(field), value, &checked, before);
        error.filter(|_| !value.is_empty())
    };
    let (singular, list_kind) =
        (own.singular.as_deref().unwrap_or_default(), own.list_kind.as_deref().unwrap_or_default());
    let mut errors: Vec<FieldError> = Vec::new();
    errors.extend(label("plural", &own.plural, ""));
    errors.extend(label("singular", singular, ""));
    errors.extend(label("kind", &own.kind, MIXED));
    errors.extend(label("listKind", list_kind, MIXED));
    let each = |field: &str, values: &Option<Vec<String>>| -> Vec<FieldError> {
        let path = path.child(field);
        let indexed = values.iter().flatten().enumerate();
        indexed.filter_map(|(i, value)| joined(names::dns1035_label, &path.index(i), value, value, "")).collect()
    };
    errors.extend(each("shortNames", &own.short_names));
    if !own.kind.is_empty() && own.kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), list_kind, detail));
    }
    errors.extend(each("categories", &own.categories));
    errors
}

fn accepted_names(own: &CustomResourceDefinition) -> Vec<FieldError> {
    let accepted = own.status.as_ref().and_then(|status| status.accepted_names.as_ref());
    let path = Path::new("status").child("acceptedNames");
    accepted.map(|names| all_names(&path, names)).unwrap_or_default()
}

fn stored_versions(own: &CustomResourceDefinition) -> Vec<FieldError> {
    let path = Path::new("status").child("storedVersions");
    let stored = own.status.as_ref().and_then(|status| status.stored_versions.clone()).unwrap_or_default();
    if stored.is_empty() {
        return vec![FieldError::invalid(&path, serde_json::Value::Null, "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let names: BTreeSet<&String> = stored.iter().collect();
    for version in own.spec.versions.iter().filter(|version| version.storage && !names.contains(&version.name)) {
        let detail = format!("must have the storage version {}", version.name);
        errors.push(FieldError::invalid(&path, stored.clone(), detail));
    }
    let versions: BTreeSet<&String> = own.spec.versions.iter().map(|version| &version.name).collect();
    for (i, name) in stored.iter().enumerate() {
        if !versions.contains(name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(i), name.as_str(), detail));
        }
    }
    errors
}

/// What an annotation says of a definition in a protected group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nothing.
    Missing,
    /// That there is none, and why.
    Bypassed,
    /// Where it is.
    Given,
    /// Something else.
    Malformed,
}

/// Where people read about it.
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

impl Approval {
    /// What a definition says; `None` where its group is not protected.
    #[must_use]
    pub fn of(own: &CustomResourceDefinition) -> Option<Self> {
        let group = own.spec.group.as_str();
        let within =
            |domain: &&str| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let protected = ["k8s.io", "kubernetes.io"].iter().any(within);
        protected.then(|| Self::read(&annotation(own)))
    }

    /// The same in words, for people.
    #[must_use]
    pub fn explained(self, own: &CustomResourceDefinition) -> String {
        let start = format!("protected groups must have approval annotation {APPROVAL:?}");
        match self {
            Self::Missing => format!("{start}, {SEE}"),
            Self::Malformed => format!("{start} with either a URL or a reason starting with \"unapproved\", {SEE}"),
            Self::Bypassed => format!("not approved: {:?}", annotation(own)),
            Self::Given => format!("approved in {}", annotation(own)),
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "" => Self::Missing,
            text if text.starts_with("unapproved") => Self::Bypassed,
            text if text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) => {
                Self::Given
            }
            _ => Self::Malformed,
        }
    }
}

fn annotation(own: &CustomResourceDefinition) -> String {
    let annotations = own.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(APPROVAL)).cloned().unwrap_or_default()
}

fn approval(own: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Option<FieldError> {
    let now = Approval::of(own)?;
    if old.is_some_and(|old| Approval::of(old) == Some(now)) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(APPROVAL);
    match now {
        Approval::Missing => Some(FieldError::required(&path, now.explained(own))),
        Approval::Malformed => Some(FieldError::invalid(&path, annotation(own), now.explained(own))),
        Approval::Given | Approval::Bypassed => None,
    }
}

fn conversion(path: &Path, own: &CustomResourceConversion) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> =
        names::one_of(&path.child("strategy"), Some(&own.strategy), &STRATEGIES).into_iter().collect();
    let config_path = path.child("webhookClientConfig");
    let reviews_path = path.child("conversionReviewVersions");
    let config = own.webhook.as_ref().and_then(|webhook| webhook.client_config.as_ref());
    let reviews = own.webhook.as_ref().map(|webhook| webhook.conversion_review_versions.as_slice()).unwrap_or_default();
    if own.strategy != WEBHOOK {
        let detail = "should not be set when strategy is not set to Webhook";
        errors.extend(config.map(|_| FieldError::forbidden(&config_path, detail)));
        errors.extend((!reviews.is_empty()).then(|| FieldError::forbidden(&reviews_path, detail)));
        return errors;
    }
    match config.map(|config| (&config.url, &config.service)) {
        None => errors.push(FieldError::required(&config_path, "required when strategy is set to Webhook")),
        Some((Some(url), None)) => errors.extend(webhook::url(&config_path.child("url"), url)),
        Some((None, Some(service))) => {
            let (namespace, name, path) = (&service.namespace, &service.name, service.path.as_deref());
            let service = webhook::Service { namespace, name, path, port: service.port.unwrap_or_default() };
            errors.extend(webhook::service(&config_path.child("service"), &service));
        }
        Some(_) => errors.push(FieldError::required(&config_path, "exactly one of url or service is required")),
    }
    errors.extend(review_versions(&reviews_path, reviews));
    errors
}

fn review_versions(path: &Path, versions: &[String]) -> Vec<FieldError> {
    if versions.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid(&path.index(i), version.as_str(), "duplicate version"));
        } else {
            errors.extend(names::check(names::dns1035_label, &path.index(i), version));
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str())) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
    errors
}

#[cfg(test)]
mod tests;
