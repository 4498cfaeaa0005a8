//! `apps/v1.StatefulSet`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::persistent_volume_claim;
use crate::{
    IntOrString,
    apps::{
        RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy,
        StatefulSetSpec, StatefulSetStatus, StatefulSetUpdateStrategy,
    },
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{
        defaults::{self, default_text},
        warnings,
    },
    table,
    validation::{meta, number, template},
};

const REVISION_HISTORY_LIMIT: i32 = 10;
const MANAGEMENT: [&str; 2] = ["OrderedReady", "Parallel"];
const FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

impl Kind for StatefulSet {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Ready", "Number of the pod with ready state"),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
    ];

    /// It selects nothing, as upstream.
    const SELECTABLE: &'static [SelectableField] = &[SelectableField::text("status.successful")];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        default_text(&mut spec.pod_management_policy, MANAGEMENT[0]);
        let strategy = spec.update_strategy.get_or_insert_default();
        default_text(&mut strategy.type_, "RollingUpdate");
        if strategy.type_.as_deref() == Some("RollingUpdate") {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.partition.get_or_insert(0);
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        }
        let retention = spec.persistent_volume_claim_retention_policy.get_or_insert_default();
        default_text(&mut retention.when_deleted, "Retain");
        default_text(&mut retention.when_scaled, "Retain");
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(REVISION_HISTORY_LIMIT);
        defaults::set_defaults(spec.template.spec.get_or_insert_default());
        if let Some(status) = &mut self.status {
            status.available_replicas.get_or_insert(0);
        }
        for claim in spec.volume_claim_templates.iter_mut().flatten() {
            default_text(&mut claim.status.get_or_insert_default().phase, "Pending");
            persistent_volume_claim::set_spec_defaults(claim.spec.get_or_insert_default());
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = StatefulSetSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let path = Path::new("spec");
        let mut errors = Vec::new();
        match spec.pod_management_policy.as_deref().unwrap_or_default() {
            "" => errors.push(FieldError::required(&path.child("podManagementPolicy"), "")),
            policy if MANAGEMENT.contains(&policy) => {}
            policy => {
                let detail = "must be 'OrderedReady' or 'Parallel'";
                errors.push(FieldError::invalid(&path.child("podManagementPolicy"), policy, detail));
            }
        }
        errors.extend(strategy(&path.child("updateStrategy"), spec.update_strategy.as_ref()));
        let retention = spec.persistent_volume_claim_retention_policy.as_ref();
        errors.extend(
            retention
                .into_iter()
                .flat_map(|own| retention_policy(&path.child("persistentVolumeClaimRetentionPolicy"), own)),
        );
        let ordinals = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start);
        let counts =
            [("replicas", spec.replicas), ("minReadySeconds", spec.min_ready_seconds), ("ordinals.start", ordinals)];
        errors.extend(template::non_negative(&path, &counts));
        errors.extend(selector_and_template(&path, spec));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let (Some(new), Some(old)) = (&self.spec, &old.spec) else { return Vec::new() };
        let kept = StatefulSetSpec {
            replicas: old.replicas,
            template: old.template.clone(),
            update_strategy: old.update_strategy.clone(),
            min_ready_seconds: old.min_ready_seconds,
            ordinals: old.ordinals.clone(),
            revision_history_limit: old.revision_history_limit,
            persistent_volume_claim_retention_policy: old.persistent_volume_claim_retention_policy.clone(),
            ..new.clone()
        };
        if kept == *old { Vec::new() } else { vec![FieldError::forbidden(&Path::new("spec"), FIXED)] }
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let path = Path::new("status");
        let mut errors = counts(&path, status);
        let before = old.status.as_ref().and_then(|status| status.collision_count);
        errors.extend(template::not_fewer(&path.child("collisionCount"), status.collision_count, before));
        errors
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return Vec::new();
        }
        let Some(spec) = &self.spec else { return Vec::new() };
        let path = Path::new("spec");
        let mut warnings = warnings::of_template(&path.child("template"), Some(&spec.template));
        for (i, claim) in spec.volume_claim_templates.iter().flatten().enumerate() {
            let path = path.child("volumeClaimTemplates").index(i).child("spec");
            warnings.extend(claim.spec.iter().flat_map(|spec| warnings::of_claim(&path, spec)));
        }
        if spec.revision_history_limit.is_some_and(|limit| limit < 0) {
            let path = path.child("revisionHistoryLimit");
            warnings.push(format!(
                "{path}: a negative value retains all historical revisions; a value >= 0 is recommended"
            ));
        }
        warnings
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.as_ref();
        let ready = self.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default();
        let desired = spec.and_then(|spec| spec.replicas).unwrap_or_default();
        let (containers, images) = table::containers_and_images(spec.map(|spec| &spec.template));
        vec![
            self.metadata.name.clone().into(),
            format!("{ready}/{desired}").into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            containers.into(),
            images.into(),
        ]
    }
}

fn strategy(path: &Path, strategy: Option<&StatefulSetUpdateStrategy>) -> Vec<FieldError> {
    let default = StatefulSetUpdateStrategy::default();
    let strategy = strategy.unwrap_or(&default);
    let rolling_path = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("", _) => vec![FieldError::required(path, "")],
        ("OnDelete", Some(rolling)) => {
            let value = serde_json::to_value(rolling).unwrap_or_default();
            vec![FieldError::invalid(&rolling_path, value, "only allowed for updateStrategy 'RollingUpdate'")]
        }
        ("OnDelete" | "RollingUpdate", None) => Vec::new(),
        ("RollingUpdate", Some(rolling)) => rolling_update(&rolling_path, rolling),
        _ => {
            let value = serde_json::to_value(strategy).unwrap_or_default();
            vec![FieldError::invalid(path, value, "must be 'RollingUpdate' or 'OnDelete'")]
        }
    }
}

fn rolling_update(path: &Path, rolling: &RollingUpdateStatefulSetStrategy) -> Vec<FieldError> {
    let mut errors = template::non_negative(path, &[("partition", rolling.partition)]);
    let Some(unavailable) = &rolling.max_unavailable else { return errors };
    let path = path.child("maxUnavailable");
    errors.extend(template::count_or_percent(&path, unavailable));
    if template::is_zero(unavailable) {
        let value = serde_json::to_value(unavailable).unwrap_or_default();
        errors.push(FieldError::invalid(&path, value, "cannot be 0"));
    }
    errors.extend(template::at_most_all(&path, unavailable));
    errors
}

fn retention_policy(path: &Path, policy: &StatefulSetPersistentVolumeClaimRetentionPolicy) -> Vec<FieldError> {
    let fields = [("whenDeleted", &policy.when_deleted), ("whenScaled", &policy.when_scaled)];
    let wrong = fields.into_iter().filter_map(|(field, own)| {
        let own = own.as_deref().unwrap_or_default();
        let known = ["Retain", "Delete"];
        (!known.contains(&own)).then(|| FieldError::not_supported(&path.child(field), own, &known))
    });
    wrong.collect()
}

/// Upstream looks at no more of the template than this.
fn selector_and_template(path: &Path, spec: &StatefulSetSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let selector = template::required_selector(&path.child("selector"), &spec.selector, &mut errors);
    let template_path = path.child("template");
    errors.extend(template::selected(&template_path, &spec.template, &selector));
    if let Some(metadata) = &spec.template.metadata {
        let none = BTreeMap::new();
        errors.extend(meta::labels(&template_path.child("labels"), metadata.labels.as_ref().unwrap_or(&none)));
        let annotations = metadata.annotations.as_ref().unwrap_or(&none);
        errors.extend(meta::annotations(&template_path.child("annotations"), annotations));
    }
    errors.extend(template::always_restarted(&template_path, &spec.template, "StatefulSet"));
    errors
}

fn counts(path: &Path, status: &StatefulSetStatus) -> Vec<FieldError> {
    let all = [
        ("replicas", Some(status.replicas)),
        ("readyReplicas", status.ready_replicas),
        ("currentReplicas", status.current_replicas),
        ("updatedReplicas", status.updated_replicas),
        ("availableReplicas", status.available_replicas),
    ];
    let mut errors = template::non_negative(path, &all);
    let observed = status.observed_generation.unwrap_or_default();
    errors.extend(number::non_negative(&path.child("observedGeneration"), observed));
    errors.extend(template::non_negative(path, &[("collisionCount", status.collision_count)]));
    let ready = status.ready_replicas.unwrap_or_default();
    let more = all[1..].iter().filter(|(_, count)| count.unwrap_or_default() > status.replicas);
    errors.extend(more.map(|(field, count)| {
        FieldError::invalid(&path.child(field), *count, "cannot be greater than status.replicas")
    }));
    let available = status.available_replicas.unwrap_or_default();
    if available > ready {
        let path = path.child("availableReplicas");
        errors.push(FieldError::invalid(&path, available, "cannot be greater than status.readyReplicas"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(mut spec: Value) -> StatefulSet {
        let own = spec.as_object_mut().unwrap();
        own.entry("selector").or_insert(json!({"matchLabels": {"a": "b"}}));
        own.entry("template").or_insert(json!({
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }));
        let mut set: StatefulSet = serde_json::from_value(json!({"spec": spec})).unwrap();
        set.set_defaults();
        set
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn stateful_sets_are_defaulted() {
        let value = serde_json::to_value(set(json!({"volumeClaimTemplates": [{}]}))).unwrap();
        let spec = &value["spec"];
        assert_eq!(
            spec["updateStrategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}})
        );
        assert_eq!(
            (&spec["podManagementPolicy"], &spec["persistentVolumeClaimRetentionPolicy"]),
            (&json!("OrderedReady"), &json!({"whenDeleted": "Retain", "whenScaled": "Retain"}))
        );
        assert_eq!(spec["volumeClaimTemplates"][0]["status"], json!({"phase": "Pending"}));
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({}), vec![]),
            (
                json!({"podManagementPolicy": "x", "replicas": -1}),
                vec![
                    r#"spec.podManagementPolicy: Invalid value: "x": must be 'OrderedReady' or 'Parallel'"#,
                    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                ],
            ),
            (
                json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}}),
                vec![
                    r#"spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'"#,
                ],
            ),
            (
                json!({"selector": {"matchLabels": {"a": "c"}}}),
                vec![
                    r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&set(spec.clone()).validate()), expected, "{spec}");
        }
    }

    #[test]
    fn next_to_nothing_may_change() {
        let old = set(json!({}));
        assert!(set(json!({"replicas": 3, "minReadySeconds": 5})).validate_update(&old).is_empty());
        assert_eq!(
            texts(&set(json!({"serviceName": "s"})).validate_update(&old)),
            [format!("spec: Forbidden: {FIXED}")]
        );
    }

    #[test]
    fn a_status_does_not_contradict_itself() {
        let mut new = set(json!({}));
        new.status =
            serde_json::from_value(json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 3})).unwrap();
        assert_eq!(
            texts(&new.validate_status_update(&set(json!({})))),
            [
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.readyReplicas",
            ]
        );
    }
}
