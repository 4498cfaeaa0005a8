//! Webhooks: who is asked over HTTPS, and how.

use std::collections::BTreeSet;

use serde_json::Value;

use super::matching;
use crate::{
    admissionregistration::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
        ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    expressions::{Admission, Optional},
    field::{FieldError, Path},
    meta::LabelSelector,
    object::{Column, Kind},
    pod_spec::defaults::default_text,
    table,
    validation::{names, selector, webhook},
};

const WEBHOOKS: Column =
    Column::integer("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration");
/// What a webhook may change besides its answer.
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
/// Versions of `AdmissionReview`, in the order in which they are told.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const DEFAULT_TIMEOUT: i32 = 10;
const MAX_TIMEOUT: i32 = 30;

/// One webhook of either kind.
struct Hook<'a> {
    name: &'a str,
    rules: &'a [RuleWithOperations],
    failure_policy: Option<&'a str>,
    match_policy: Option<&'a str>,
    reinvocation_policy: Option<&'a str>,
    side_effects: &'a str,
    timeout: Option<i32>,
    namespaces: Option<&'a LabelSelector>,
    objects: Option<&'a LabelSelector>,
    client: &'a WebhookClientConfig,
    conditions: &'a [MatchCondition],
    reviews: &'a [String],
}

/// Implements [`Kind`] for a configuration of webhooks.
macro_rules! configuration {
    ($kind:ident, $hook:ident, |$own:ident| $reinvocation:expr, $default:expr) => {
        impl<'a> From<&'a $hook> for Hook<'a> {
            fn from($own: &'a $hook) -> Self {
                Self {
                    name: &$own.name,
                    rules: $own.rules.as_deref().unwrap_or_default(),
                    failure_policy: $own.failure_policy.as_deref(),
                    match_policy: $own.match_policy.as_deref(),
                    reinvocation_policy: $reinvocation,
                    side_effects: &$own.side_effects,
                    timeout: $own.timeout_seconds,
                    namespaces: $own.namespace_selector.as_ref(),
                    objects: $own.object_selector.as_ref(),
                    client: &$own.client_config,
                    conditions: $own.match_conditions.as_deref().unwrap_or_default(),
                    reviews: &$own.admission_review_versions,
                }
            }
        }

        impl Kind for $kind {
            const COLUMNS: &'static [Column] = &[Column::NAME, WEBHOOKS, Column::AGE];

            fn set_defaults(&mut self) {
                for hook in self.webhooks.iter_mut().flatten() {
                    default_text(&mut hook.failure_policy, "Fail");
                    default_text(&mut hook.match_policy, "Equivalent");
                    hook.namespace_selector.get_or_insert_default();
                    hook.object_selector.get_or_insert_default();
                    hook.timeout_seconds.get_or_insert(DEFAULT_TIMEOUT);
                    for rule in hook.rules.iter_mut().flatten() {
                        matching::default_scope(&mut rule.scope);
                    }
                    if let Some(service) = &mut hook.client_config.service {
                        service.port.get_or_insert(443);
                    }
                    $default(hook);
                }
            }

            fn validate(&self) -> Vec<FieldError> {
                all(&hooks(self.webhooks.as_deref()), Kept::default())
            }

            fn revalidate(&self, old: &Self) -> Vec<FieldError> {
                let (new, old) = (hooks(self.webhooks.as_deref()), hooks(old.webhooks.as_deref()));
                all(&new, Kept::of(&new, &old))
            }

            fn cells(&self) -> Vec<Value> {
                vec![
                    self.metadata.name.clone().into(),
                    self.webhooks.as_ref().map_or(0, Vec::len).into(),
                    table::age(self.metadata.creation_timestamp.as_ref()).into(),
                ]
            }
        }
    };
}

configuration!(
    MutatingWebhookConfiguration,
    MutatingWebhook,
    |own| own.reinvocation_policy.as_deref(),
    |hook: &mut MutatingWebhook| default_text(&mut hook.reinvocation_policy, "Never")
);
configuration!(ValidatingWebhookConfiguration, ValidatingWebhook, |own| None, |_: &mut ValidatingWebhook| ());

fn hooks<'a, T>(own: Option<&'a [T]>) -> Vec<Hook<'a>>
where
    Hook<'a>: From<&'a T>,
{
    own.unwrap_or_default().iter().map(Hook::from).collect()
}

/// What may be wrong because it was so before.
#[derive(Clone, Copy, Default)]
struct Kept {
    conditions: bool,
    side_effects: bool,
    reviews: bool,
    duplicates: bool,
}

impl Kept {
    fn of(new: &[Hook<'_>], old: &[Hook<'_>]) -> Self {
        let same = |(new, old): (&Hook<'_>, &Hook<'_>)| new.conditions == old.conditions;
        let known = |hook: &Hook<'_>| hook.reviews.is_empty() || has_known_review(hook.reviews);
        let unique: BTreeSet<&str> = old.iter().map(|hook| hook.name).collect();
        Self {
            conditions: new.len() == old.len() && new.iter().zip(old).all(same),
            side_effects: !old.iter().all(|hook| NO_SIDE_EFFECTS.contains(&hook.side_effects)),
            reviews: !old.iter().all(known),
            duplicates: unique.len() < old.len(),
        }
    }
}

fn has_known_review(versions: &[String]) -> bool {
    versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str()))
}

fn all(hooks: &[Hook<'_>], kept: Kept) -> Vec<FieldError> {
    let list = Path::new("webhooks");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, hook) in hooks.iter().enumerate() {
        let path = list.index(i);
        errors.extend(one(&path, hook, kept));
        errors.extend(reviews(&path.child("admissionReviewVersions"), hook.reviews, kept));
        if !kept.duplicates && !hook.name.is_empty() && !seen.insert(hook.name) {
            errors.push(FieldError::duplicate(&path.child("name"), hook.name));
        }
    }
    errors
}

fn one(path: &Path, hook: &Hook<'_>, kept: Kept) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::fully_qualified(&path.child("name"), hook.name).into_iter().collect();
    let rules = hook.rules.iter().enumerate();
    errors.extend(rules.flat_map(|(i, rule)| matching::rule(&path.child("rules").index(i), rule)));
    errors.extend(known(&path.child("failurePolicy"), hook.failure_policy, &matching::FAILURE_POLICIES));
    errors.extend(known(&path.child("matchPolicy"), hook.match_policy, &matching::MATCH_POLICIES));
    errors.extend(side_effects(&path.child("sideEffects"), hook.side_effects, kept));
    if let Some(seconds) = hook.timeout.filter(|seconds| !(1..=MAX_TIMEOUT).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, detail));
    }
    for (field, own) in [("namespaceSelector", hook.namespaces), ("objectSelector", hook.objects)] {
        errors.extend(own.map(|own| selector::validate(&path.child(field), own)).unwrap_or_default());
    }
    let reinvocation = hook.reinvocation_policy;
    errors.extend(known(&path.child("reinvocationPolicy"), reinvocation, &matching::REINVOCATION_POLICIES));
    errors.extend(client(&path.child("clientConfig"), hook.client));
    if !kept.conditions {
        let admission = Admission::new(&[Optional::Authorizer]);
        errors.extend(matching::conditions(&path.child("matchConditions"), hook.conditions, &admission));
    }
    errors
}

/// An error when a value is there that is none of `known`.
fn known(path: &Path, value: Option<&str>, known: &[&str]) -> Option<FieldError> {
    let other = value.filter(|value| !known.contains(value))?;
    Some(FieldError::not_supported(path, other, known))
}

fn side_effects(path: &Path, own: &str, kept: Kept) -> Option<FieldError> {
    let allowed: &[&str] = if kept.side_effects { &SIDE_EFFECTS } else { &NO_SIDE_EFFECTS };
    match own {
        "" => Some(FieldError::required(path, format!("must specify one of {}", allowed.join(", ")))),
        own => known(path, Some(own), allowed),
    }
}

fn client(path: &Path, client: &WebhookClientConfig) -> Vec<FieldError> {
    match (&client.url, &client.service) {
        (Some(url), None) => webhook::url(&path.child("url"), url),
        (None, Some(own)) => {
            let (namespace, name) = (own.namespace.as_str(), own.name.as_str());
            let port = own.port.unwrap_or_default();
            let service = webhook::Service { namespace, name, path: own.path.as_deref(), port };
            webhook::service(&path.child("service"), &service)
        }
        _ => vec![FieldError::required(path, "exactly one of url or service is required")],
    }
}

fn reviews(path: &Path, versions: &[String], kept: Kept) -> Vec<FieldError> {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        return vec![FieldError::required(path, format!("must specify one of {known}"))];
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
    if !kept.reviews && !has_known_review(versions) {
        let detail = format!("must include at least one of {known}");
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration(hook: Value) -> MutatingWebhookConfiguration {
        let mut all = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://example.com"},
        });
        all.as_object_mut().unwrap().extend(hook.as_object().unwrap().clone());
        let mut own: MutatingWebhookConfiguration = serde_json::from_value(json!({"webhooks": [all]})).unwrap();
        own.set_defaults();
        own
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hooks_are_defaulted() {
        let own = configuration(json!({"rules": [{}], "clientConfig": {"service": {"name": "a", "namespace": "b"}}}));
        let value = serde_json::to_value(&own.webhooks.unwrap()[0]).unwrap();
        assert_eq!(
            [&value["failurePolicy"], &value["matchPolicy"], &value["reinvocationPolicy"], &value["timeoutSeconds"]],
            [&json!("Fail"), &json!("Equivalent"), &json!("Never"), &json!(10)]
        );
        assert_eq!((&value["rules"][0]["scope"], &value["namespaceSelector"]), (&json!("*"), &json!({})));
        assert_eq!(value["clientConfig"]["service"]["port"], 443);
    }

    #[test]
    fn mistakes_are_told() {
        let rule = |more: Value| {
            let mut rule =
                json!({"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"rules": [rule]})
        };
        let cases = [
            (rule(json!({})), vec![]),
            (
                json!({"name": "a.b"}),
                vec![
                    r#"webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots"#,
                ],
            ),
            (
                json!({"sideEffects": "", "admissionReviewVersions": []}),
                vec![
                    "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                    "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
                ],
            ),
            (
                json!({"clientConfig": {}, "timeoutSeconds": 31}),
                vec![
                    "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                    "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
                ],
            ),
            (
                rule(json!({"operations": ["*", "X"], "resources": ["*", "pods", "a/*", "a/b"]})),
                vec![
                    r#"webhooks[0].rules[0].operations: Invalid value: ["*","X"]: if '*' is present, must not specify other operations"#,
                    r#"webhooks[0].rules[0].operations[1]: Unsupported value: "X": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
                    r#"webhooks[0].rules[0].resources[3]: Invalid value: "a/b": if 'a/*' is present, must not specify a/b"#,
                    r#"webhooks[0].rules[0].resources: Invalid value: ["*","pods","a/*","a/b"]: if '*' is present, must not specify other resources without subresources"#,
                ],
            ),
            (
                json!({"matchConditions": [{"name": "a", "expression": " "}, {"name": "a", "expression": "true"}]}),
                vec![
                    "webhooks[0].matchConditions[0].expression: Required value",
                    r#"webhooks[0].matchConditions[1].name: Duplicate value: "a""#,
                ],
            ),
        ];
        for (hook, expected) in cases {
            assert_eq!(texts(&configuration(hook).validate()), expected);
        }
    }

    #[test]
    fn what_was_wrong_before_may_stay() {
        let old = configuration(json!({"sideEffects": "Some", "admissionReviewVersions": ["v9"]}));
        assert_eq!(old.validate().len(), 2);
        assert_eq!(texts(&old.revalidate(&old)), Vec::<String>::new());
    }
}
