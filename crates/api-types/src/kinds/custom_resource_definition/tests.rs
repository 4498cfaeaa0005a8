//! Definitions with one mistake each.

use serde_json::{Value, json};

use super::*;

fn definition(spec: Value) -> CustomResourceDefinition {
    let mut all = json!({
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [version(json!({}))],
    });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let metadata = json!({"name": "widgets.example.com"});
    let mut own: CustomResourceDefinition = serde_json::from_value(json!({"metadata": metadata, "spec": all})).unwrap();
    own.set_defaults();
    own
}

fn version(more: Value) -> Value {
    let mut version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
    });
    version.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    version
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn names_are_made_up() {
    let own = definition(json!({}));
    let names = &own.spec.names;
    assert_eq!((names.singular.as_deref(), names.list_kind.as_deref()), (Some("widget"), Some("WidgetList")));
    assert_eq!(own.spec.conversion.as_ref().unwrap().strategy, "None");
    assert_eq!(own.status.as_ref().unwrap().stored_versions, Some(vec!["v1".to_owned()]));
    assert_eq!(texts(&own.validate()), Vec::<String>::new());
}

#[test]
fn mistakes_are_told() {
    let webhook = |more: Value| {
        let mut webhook = json!({"conversionReviewVersions": ["v1"]});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"conversion": {"strategy": "Webhook", "webhook": webhook}})
    };
    let cases = [
        (
            json!({"group": "example"}),
            vec![
                r#"metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group"#,
                r#"spec.group: Invalid value: "example": should be a domain with at least one dot"#,
            ],
        ),
        (
            json!({"scope": "Global"}),
            vec![r#"spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced""#],
        ),
        (
            json!({"versions": [{"name": "v1", "served": true, "storage": true}]}),
            vec!["spec.versions[0].schema.openAPIV3Schema: Required value"],
        ),
        (
            json!({"names": {"plural": "widgets", "kind": "Widget", "listKind": "Widget"}}),
            vec![r#"spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same"#],
        ),
        (
            json!({"versions": [version(json!({"subresources": {"scale": {"specReplicasPath": "x", "statusReplicasPath": ".spec.a"}}}))]}),
            vec![
                r#"spec.subresources.scale.specReplicasPath: Invalid value: "x": must be a simple json path starting with ."#,
                r#"spec.subresources.scale.statusReplicasPath: Invalid value: ".spec.a": should be a json path under .status"#,
            ],
        ),
        (
            json!({"versions": [version(json!({"additionalPrinterColumns": [{"name": "a", "type": "x", "jsonPath": ".a"}]}))]}),
            vec![
                r#"spec.additionalPrinterColumns[0].type: Invalid value: "x": must be one of boolean,date,integer,number,string"#,
            ],
        ),
        (
            webhook(json!({})),
            vec!["spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook"],
        ),
        (
            webhook(json!({"clientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v2"]})),
            vec![
                r#"spec.conversion.conversionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#,
            ],
        ),
        (
            json!({"preserveUnknownFields": true}),
            vec![
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(texts(&definition(spec).validate()), expected);
    }
}

#[test]
fn one_version_is_stored() {
    let two = |second: bool| {
        let other = version(
            json!({"name": "v2", "storage": second, "schema": {"openAPIV3Schema": {"type": "object", "title": "x"}}}),
        );
        definition(json!({"versions": [version(json!({})), other]}))
    };
    assert_eq!(texts(&two(false).validate()), Vec::<String>::new());
    let errors = texts(&two(true).validate());
    assert!(errors[0].ends_with("must have exactly one version marked as storage version"), "{errors:?}");
    assert_eq!(errors[1], r#"status.storedVersions: Invalid value: ["v1"]: must have the storage version v2"#);
}

#[test]
fn schemas_are_structural() {
    let check = |schema: Value, expected: &[&str]| {
        let spec = json!({"versions": [version(json!({"schema": {"openAPIV3Schema": schema}}))]});
        let expected: Vec<String> =
            expected.iter().map(|error| format!("spec.validation.openAPIV3Schema.{error}")).collect();
        assert_eq!(texts(&definition(spec).validate()), expected);
    };
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    check(json!({}), &["type: Required value: must not be empty at the root"]);
    check(
        object(json!({"a": {}, "b": {"type": "array"}})),
        &[
            "properties[a].type: Required value: must not be empty for specified object fields",
            "properties[b].items: Required value: must be specified",
        ],
    );
    check(
        json!({"type": "object", "anyOf": [{"required": ["a"]}, {"properties": {"c": {"minimum": 1}}}]}),
        &[
            "properties[c]: Required value: because it is defined in spec.validation.openAPIV3Schema.anyOf[1].properties[c]",
        ],
    );
    check(
        object(json!({"a": {"type": "string", "not": {"type": "string"}}})),
        &["properties[a].not.type: Forbidden: must be empty to be structural"],
    );
    check(
        object(json!({"p": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}})),
        &[],
    );
    check(
        object(json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}})),
        &[
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    );
    check(
        object(json!({"a": {"type": "null"}})),
        &[
            r#"properties[a].type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string""#,
            "properties[a].type: Forbidden: type cannot be set to null, use nullable as an alternative",
        ],
    );
    let item = object(json!({"k": {"type": "string"}}));
    check(
        object(
            json!({"l": {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}}),
        ),
        &[
            "properties[l].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ],
    );
}

#[test]
fn what_names_objects_stays() {
    let old = definition(json!({}));
    let new = definition(json!({"group": "other.com", "names": {"plural": "gadgets", "kind": "Widget"}}));
    assert_eq!(
        texts(&new.revalidate(&old)),
        [
            r#"spec.group: Invalid value: "other.com": field is immutable"#,
            r#"spec.names.plural: Invalid value: "gadgets": field is immutable"#,
        ]
    );
}

#[test]
fn groups_of_the_project_need_approval() {
    let mut own = definition(json!({"group": "x.k8s.io"}));
    own.metadata.name = Some("widgets.x.k8s.io".into());
    let mut with = |text: &str| {
        own.metadata.annotations = Some([(APPROVAL.to_owned(), text.to_owned())].into());
        texts(&own.validate()).len()
    };
    assert_eq!([with(""), with("x"), with("unapproved, a test"), with("https://example.com/1")], [1, 1, 0, 0]);
}
