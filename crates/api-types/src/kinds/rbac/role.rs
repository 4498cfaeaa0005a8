//! `Role` and `ClusterRole`.

use serde_json::Value;

use super::Extent;
use crate::{
    field::{FieldError, Path},
    meta::{LabelSelector, ObjectMeta},
    object::{Column, Kind},
    rbac::{ClusterRole, PolicyRule, Role},
    table,
    validation::selector,
};

const COLUMNS: &[Column] = &[Column::NAME, Column::CREATED_AT];

fn cells(meta: &ObjectMeta) -> Vec<Value> {
    vec![meta.name.clone().into(), table::created_at(meta.creation_timestamp.as_ref()).into()]
}

impl Kind for Role {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn validate(&self) -> Vec<FieldError> {
        rules(self.rules.as_deref(), Extent::Namespace)
    }

    fn cells(&self) -> Vec<Value> {
        cells(&self.metadata)
    }
}

impl Kind for ClusterRole {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = rules(self.rules.as_deref(), Extent::Cluster);
        if let Some(aggregation) = &self.aggregation_rule {
            errors.extend(selectors(aggregation.cluster_role_selectors.as_deref().unwrap_or_default()));
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        cells(&self.metadata)
    }
}

fn selectors(selectors: &[LabelSelector]) -> Vec<FieldError> {
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        return vec![FieldError::required(&path, detail)];
    }
    let each = selectors.iter().enumerate();
    each.flat_map(|(index, selector)| selector::validate(&path.index(index), selector)).collect()
}

fn rules(rules: Option<&[PolicyRule]>, extent: Extent) -> Vec<FieldError> {
    let path = Path::new("rules");
    let each = rules.unwrap_or_default().iter().enumerate();
    each.flat_map(|(index, rule)| validate_rule(&path.index(index), rule, extent)).collect()
}

fn validate_rule(path: &Path, rule: &PolicyRule, extent: Extent) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if rule.verbs.is_empty() {
        errors.push(FieldError::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if let Some(urls) = rule.non_resource_urls.as_ref().filter(|urls| !urls.is_empty()) {
        let mut refuse = |why: &str| {
            errors.push(FieldError::invalid(&path.child("nonResourceURLs"), urls.clone(), why));
        };
        if extent == Extent::Namespace {
            refuse("namespaced rules cannot apply to non-resource URLs");
        }
        if !(empty(&rule.api_groups) && empty(&rule.resources) && empty(&rule.resource_names)) {
            refuse("rules cannot apply to both regular resources and non-resource URLs");
        }
        return errors;
    }
    if empty(&rule.api_groups) {
        let detail = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), detail));
    }
    if empty(&rule.resources) {
        let detail = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors<T: Kind>(value: Value) -> Vec<String> {
        serde_json::from_value::<T>(value).unwrap().validate().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_about_resources_or_about_paths() {
        let good = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]});
        let both = json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"], "resources": ["pods"]});
        assert!(errors::<Role>(json!({"rules": [good]})).is_empty());
        assert!(errors::<ClusterRole>(json!({"rules": [good, paths]})).is_empty());
        assert_eq!(
            errors::<Role>(json!({"rules": [{"verbs": []}, paths]})),
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
                r#"rules[1].nonResourceURLs: Invalid value: ["/metrics"]: namespaced rules cannot apply to non-resource URLs"#,
            ]
        );
        assert_eq!(
            errors::<ClusterRole>(json!({"rules": [both]})),
            [
                r#"rules[0].nonResourceURLs: Invalid value: ["/metrics"]: rules cannot apply to both regular resources and non-resource URLs"#
            ]
        );
    }

    #[test]
    fn an_aggregation_selects_something() {
        assert_eq!(
            errors::<ClusterRole>(json!({"aggregationRule": {}})),
            [
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"
            ]
        );
        let selector = json!({"matchLabels": {"a": "b"}});
        assert!(errors::<ClusterRole>(json!({"aggregationRule": {"clusterRoleSelectors": [selector]}})).is_empty());
    }
}
