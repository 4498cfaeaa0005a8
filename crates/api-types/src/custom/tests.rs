//! What becomes of objects by their schemas.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::{Object, Resource, apiextensions::JSONSchemaProps, object::Column};

fn schema(schema: Value) -> Arc<Structure> {
    let schema: JSONSchemaProps = serde_json::from_value(schema).unwrap();
    Arc::new(Structure::new(&schema))
}

fn definition(own: Value, columns: Vec<(Column, String)>) -> Definition {
    Definition { columns, ..Definition::new("example.com/v1", "Widget", schema(own)) }
}

/// A row of widgets whose spec has these properties.
fn widgets(spec: Value) -> Resource {
    let own = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}});
    DynamicKind::new(definition(own, Vec::new())).row("widgets", "widget")
}

fn widget(row: &Resource, spec: &Value) -> Box<dyn Object> {
    row.ops.decode(json!({"metadata": {"name": "a"}, "spec": spec}).to_string().as_bytes()).unwrap()
}

fn errors(row: &Resource, spec: &Value, old: Option<&Value>) -> Vec<String> {
    let new = widget(row, spec);
    let errors = match old {
        None => row.ops.validate(&*new),
        Some(old) => row.ops.revalidate(&*new, &*widget(row, old)),
    };
    errors.unwrap().iter().map(ToString::to_string).collect()
}

/// What is left of a spec, and what was dropped.
fn pruned(row: &Resource, spec: &Value) -> (Value, Vec<String>) {
    let mut object = widget(row, spec);
    let dropped = row.ops.prune(&mut *object).unwrap();
    (object.to_value()["spec"].clone(), dropped)
}

#[test]
fn all_fields_are_kept_where_the_schema_says_so() {
    let own = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let size = (Column::integer("Size", "How large it is."), ".spec.size".to_owned());
    let row = DynamicKind::new(definition(own, vec![size])).row("widgets", "widget");
    let sent = json!({"metadata": {"name": "a"}, "spec": {"size": 3}, "more": [null]});
    let mut object = row.ops.decode(sent.to_string().as_bytes()).unwrap();
    assert!(row.ops.prune(&mut *object).unwrap().is_empty());
    let expected = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 3}, "more": [null],
    });
    assert_eq!(object.to_value(), expected);
    assert!(object.encode().starts_with(br#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"#));
    assert_eq!(row.ops.cells(&*object).unwrap(), [json!("a"), json!(3)]);
}

#[test]
fn another_kind_is_refused() {
    let row = widgets(json!({}));
    for json in ["[]", r#"{"kind":"Gadget"}"#, r#"{"apiVersion":"example.com/v2"}"#, r#"{"metadata":1}"#] {
        assert!(row.ops.decode(json.as_bytes()).is_err(), "{json}");
    }
    let mut other = row.ops.decode(br#"{"metadata":{"name":"a"}}"#).unwrap();
    other.downcast_mut::<crate::Dynamic>().unwrap().kind = "Gadget".to_owned();
    assert!(row.ops.validate(&*other).is_err());
    assert!(row.ops.set_defaults(&mut crate::core::Pod::default()).is_err());
}

#[test]
fn unknown_fields_are_dropped() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    let row = widgets(json!({
        "a": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"c": {"type": "string"}}}},
        "open": open,
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }));
    let sent = json!({
        "a": "1", "z": 1,
        "list": [{"b": "1", "y": {"x": 1}}],
        "map": {"k": {"c": "1", "d": 1}},
        "open": {"known": {"a": "1", "b": 2}, "unknown": {"list": [{"any": 1}]}},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "nmae": "b"}, "spec": {}},
    });
    let left = json!({
        "a": "1",
        "list": [{"b": "1"}],
        "map": {"k": {"c": "1"}},
        "open": {"known": {"a": "1"}, "unknown": {"list": [{"any": 1}]}},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}},
    });
    let dropped = ["spec.list[0].y", "spec.map.k.d", "spec.open.known.b", "spec.template.metadata.nmae", "spec.z"];
    assert_eq!(pruned(&row, &sent), (left.clone(), dropped.map(str::to_owned).to_vec()));
    assert_eq!(pruned(&row, &left), (left, Vec::new()), "dropping is idempotent");
}

#[test]
fn defaults_are_filled_in() {
    let row = widgets(json!({
        "a": {"type": "string", "default": "x"},
        "n": {"type": "string", "nullable": true, "default": "y"},
        "gone": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "integer", "default": 1}}}},
        "map": {"type": "object", "additionalProperties": {"type": "string", "default": "v"}},
        "inner": {"type": "object", "default": {"unknown": 1}, "properties": {"c": {"type": "boolean", "default": true}}},
    }));
    let sent = json!({"a": null, "n": null, "gone": null, "list": [{}, {"b": 2}], "map": {"k": null, "l": "w"}});
    let mut object = widget(&row, &sent);
    row.ops.set_defaults(&mut *object).unwrap();
    let expected = json!({
        "a": "x", "n": null, "list": [{"b": 1}, {"b": 2}], "map": {"k": "v", "l": "w"}, "inner": {"c": true},
    });
    assert_eq!(object.to_value()["spec"], expected);
    row.ops.set_defaults(&mut *object).unwrap();
    assert_eq!(object.to_value()["spec"], expected, "defaulting is idempotent");
    let stored = json!({"metadata": {"name": "a"}, "spec": {"gone": "1", "unknown": 1}}).to_string();
    let read = row.ops.decode_trusted(stored.as_bytes()).unwrap().to_value();
    assert_eq!((&read["spec"]["a"], read["spec"].get("unknown")), (&json!("x"), None));
}

#[test]
fn values_are_validated_in_upstreams_words() {
    let cases = [
        (
            json!({"type": "integer"}),
            json!("3"),
            r#"Invalid value: "string": spec.f in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "integer"}),
            json!(null),
            r#"Invalid value: "null": spec.f in body must be of type integer: "null""#,
        ),
        (
            json!({"type": "integer"}),
            json!(1.5),
            r#"Invalid value: "number": spec.f in body must be of type integer: "number""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"Invalid value: "boolean": spec.f in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "Invalid value: 0: spec.f in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
            json!(1.5),
            "Invalid value: 1.5: spec.f in body should be less than 1.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 2}),
            json!(3),
            "Invalid value: 3: spec.f in body should be a multiple of 2",
        ),
        (json!({"type": "string", "maxLength": 2}), json!("abc"), "Too long: may not be more than 2 bytes"),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            r#"Invalid value: "a": spec.f in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"Invalid value: "b": spec.f in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("b"),
            r#"Invalid value: "b": spec.f in body must be of type date-time: "b""#,
        ),
        (
            json!({"type": "string", "enum": ["b", "a"]}),
            json!("c"),
            r#"Unsupported value: "c": supported values: "b", "a""#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "Invalid value: 0: spec.f in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "Too many: 2: must have at most 1 items",
        ),
    ];
    for (schema, value, expected) in cases {
        let row = widgets(json!({"f": schema}));
        assert_eq!(errors(&row, &json!({"f": value}), None), [format!("spec.f: {expected}")]);
    }
}

#[test]
fn places_and_alternatives_are_told() {
    let item = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let row = widgets(json!({
        "list": {"type": "array", "items": item},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    }));
    let sent = json!({"list": [{"name": "a"}, {}], "map": {"k": "v"}});
    let expected = [
        "spec.list[1].name: Required value",
        r#"spec.map.k: Invalid value: "string": spec.map.k in body must be of type integer: "string""#,
    ];
    assert_eq!(errors(&row, &sent, None), expected);
    let row = widgets(json!({"one": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }}));
    let told = errors(&row, &json!({"one": {}}), None);
    assert_eq!(
        told[0],
        r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid"#
    );
    assert_eq!(told[1], "spec.one.a: Required value");
    let told = errors(&row, &json!({"one": {"a": "1", "b": "2"}}), None);
    assert_eq!(
        told,
        [
            r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    assert!(errors(&row, &json!({"one": {"a": "1"}}), None).is_empty());
}

#[test]
fn elements_of_sets_and_maps_are_distinct() {
    let keyed = json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "minimum": 1}}});
    let row = widgets(json!({
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "map": {"type": "array", "items": keyed, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
    }));
    let doubled = json!({"set": ["a", "b", "a"], "map": [{"k": "x"}, {"k": "x"}]});
    let expected = [r#"spec.map[1]: Duplicate value: {"k":"x"}"#, r#"spec.set[2]: Duplicate value: "a""#];
    assert_eq!(errors(&row, &doubled, None), expected);
    let more = json!({"set": ["a", "b", "a"], "map": [{"k": "x"}, {"k": "x"}, {"k": "y"}]});
    assert!(errors(&row, &more, Some(&doubled)).is_empty(), "what was so may stay");
    let wrong = json!({"map": [{"k": "x", "v": 0}]});
    let moved = json!({"map": [{"k": "y", "v": 1}, {"k": "x", "v": 0}]});
    assert!(errors(&row, &moved, Some(&wrong)).is_empty(), "elements are found by their keys");
    assert_eq!(errors(&row, &moved, None).len(), 1);
}

#[test]
fn what_does_not_change_need_not_be_right() {
    let row = widgets(json!({"a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1}}));
    let old = json!({"a": "too long"});
    assert!(errors(&row, &json!({"a": "too long", "b": "x"}), Some(&old)).is_empty());
    assert_eq!(errors(&row, &json!({"a": "longer still"}), Some(&old)).len(), 1);
    assert_eq!(errors(&row, &json!({"a": "too long", "b": "xyz"}), Some(&old)).len(), 1);
}

#[test]
fn embedded_objects_are_objects() {
    let row = widgets(json!({"template": {
        "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
    }}));
    let told = errors(&row, &json!({"template": {"metadata": {"name": "A_"}}}), None);
    assert_eq!(
        told[..2],
        [
            "spec.template.apiVersion: Required value: must not be empty",
            "spec.template.kind: Required value: must not be empty",
        ]
    );
    assert!(told[2].starts_with("spec.template.metadata.name: Invalid value: \"A_\""), "{told:?}");
    let whole = json!({"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}});
    assert!(errors(&row, &whole, None).is_empty());
}

#[test]
fn alternatives_within_lists_end() {
    let alternatives: Vec<Value> = (0..2000).map(|i| json!({"required": [format!("f{i}")]})).collect();
    let row = widgets(json!({"list": {"type": "array", "items": {"type": "object", "anyOf": alternatives}}}));
    let many = json!({"list": vec![Map::new(); 100_000]});
    assert!(errors(&row, &many, None).len() < 1000);
}

/// A property with these rules.
fn ruled(schema: Value, rules: Value) -> Value {
    let mut schema = schema;
    schema["x-kubernetes-validations"] = rules;
    schema
}

#[test]
fn rules_are_evaluated_where_they_stand() {
    let spec = json!({"type": "object", "properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"}, "ratio": {"type": "number"},
        "a-b": {"type": "string"}, "since": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": true},
    }});
    let check = |rule: &str, value: Value| {
        let row = widgets(json!({"f": ruled(spec.clone(), json!([{"rule": rule}]))}));
        errors(&row, &json!({"f": value}), None)
    };
    for (rule, value, holds) in [
        ("self.min <= self.max", json!({"min": 1, "max": 2}), true),
        ("self.min <= self.max", json!({"min": 3, "max": 2}), false),
        ("!has(self.min) || self.min > 0", json!({}), true),
        ("self.ratio > 0.5", json!({"ratio": 1}), true),
        ("self.a__dash__b.startsWith('x')", json!({"a-b": "xy"}), true),
        ("self.since > timestamp('2020-01-01T00:00:00Z')", json!({"since": "2024-01-01T00:00:00Z"}), true),
        ("type(self.port) == int ? self.port > 0 : self.port != ''", json!({"port": "http"}), true),
    ] {
        let told = check(rule, value);
        let expected =
            if holds { Vec::new() } else { vec![format!(r#"spec.f: Invalid value: "object": failed rule: {rule}"#)] };
        assert_eq!(told, expected, "{rule}");
    }
    assert_eq!(
        check("self.min > 0", json!({})),
        [r#"spec.f: Invalid value: "object": no such key: min evaluating rule: self.min > 0"#]
    );
}

#[test]
fn rules_tell_what_they_are_to_tell() {
    let rules = json!([
        {"rule": "self.a != 'x'", "message": "a is not x", "reason": "FieldValueForbidden", "fieldPath": ".a"},
        {"rule": "self.a != 'x'", "messageExpression": "'a is ' + self.a"},
    ]);
    let object = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}});
    let row = widgets(json!({"f": ruled(object, rules)}));
    let told = errors(&row, &json!({"f": {"a": "x"}}), None);
    assert_eq!(told, ["spec.f.a: Forbidden: a is not x", r#"spec.f: Invalid value: "object": a is x"#]);
    let typed = errors(&row, &json!({"f": {"a": 1}}), None);
    assert!(typed[1].starts_with(r#"<nil>: Invalid value: null: some validation rules were not checked"#), "{typed:?}");
}

#[test]
fn rules_compare_with_what_was_there() {
    let item = json!({"type": "object", "required": ["k"], "properties": {
        "k": {"type": "string"},
        "v": ruled(json!({"type": "integer"}), json!([{"rule": "self >= oldSelf", "message": "may grow"}])),
    }});
    let row = widgets(json!({
        "once": ruled(json!({"type": "string"}), json!([{"rule": "self == oldSelf", "message": "is immutable"}])),
        "new": ruled(json!({"type": "string"}), json!([{
            "rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": true, "message": "begins with first",
        }])),
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
        "strict": ruled(json!({"type": "string"}), json!([{"rule": "self == 'right'"}])),
    }));
    let none = json!({});
    for (new, old, expected) in [
        (json!({"once": "a"}), None, vec![]),
        (json!({"once": "a"}), Some(&none), vec![]),
        (
            json!({"once": "b"}),
            Some(&json!({"once": "a"})),
            vec![r#"spec.once: Invalid value: "string": is immutable"#],
        ),
        (json!({"new": "a"}), None, vec![r#"spec.new: Invalid value: "string": begins with first"#]),
        (json!({"new": "b"}), Some(&json!({"new": "first"})), vec![]),
        (
            json!({"list": [{"k": "y", "v": 1}, {"k": "x", "v": 1}]}),
            Some(&json!({"list": [{"k": "x", "v": 2}]})),
            vec![r#"spec.list[1].v: Invalid value: "integer": may grow"#],
        ),
        (json!({"strict": "wrong", "once": "a"}), Some(&json!({"strict": "wrong"})), vec![]),
    ] {
        assert_eq!(errors(&row, &json!(new), old), expected, "{new}");
    }
}

#[test]
fn rules_cost_no_more_than_they_may() {
    let rules = json!([{"rule": "self.all(a, self.all(b, self.all(c, a + b + c != 'x')))"}]);
    let list = json!({"type": "array", "items": {"type": "string"}});
    let row = widgets(json!({"f": ruled(list, rules)}));
    let told = errors(&row, &json!({"f": vec!["a"; 1000]}), None);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("no further validation rules will be run due to call cost exceeds limit for rule"),
        "{told:?}"
    );
}

/// What is told of a definition whose only property has this schema.
fn refusals(schema: Value) -> Vec<String> {
    let whole = json!({"type": "object", "properties": {"f": schema}});
    let schema: JSONSchemaProps = serde_json::from_value(whole).unwrap();
    let path = crate::field::Path::new("schema");
    rules::check(&path, &schema).iter().map(ToString::to_string).collect()
}

#[test]
fn definitions_with_wrong_rules_are_refused() {
    let text = || json!({"type": "string", "maxLength": 10});
    let at = |rest: &str| format!("schema.properties[f].{rest}");
    let told = refusals(ruled(text(), json!([{"rule": "self.foo"}])));
    assert!(told[0].starts_with(&at(r#"x-kubernetes-validations[0].rule: Invalid value: {"#)), "{told:?}");
    assert!(
        told[0].contains("compilation failed: ERROR: <input>:1:5: type 'string' does not support field selection"),
        "{told:?}"
    );
    let told = refusals(ruled(text(), json!([{"rule": "self"}])));
    assert!(told[0].ends_with("cel expression must evaluate to a bool"), "{told:?}");
    let told = refusals(ruled(text(), json!([{"rule": "self == ''", "optionalOldSelf": true}])));
    assert_eq!(
        told,
        [at(
            "x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
        )]
    );
    let told = refusals(ruled(text(), json!([{"rule": "self == ''", "messageExpression": "1"}])));
    assert!(told[0].ends_with("messageExpression must evaluate to a string"), "{told:?}");
    let items = ruled(text(), json!([{"rule": "self == oldSelf"}]));
    let told = refusals(json!({"type": "array", "maxItems": 2, "items": items}));
    assert_eq!(
        told,
        [at(
            r#"items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[f]"#
        )]
    );
    let list = json!({"type": "array", "items": {"type": "string"}});
    let told = refusals(ruled(list, json!([{"rule": "self.all(a, self.all(b, a != b))"}])));
    assert!(told[0].starts_with(&at("x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x")), "{told:?}");
    assert_eq!(
        told[1],
        at(
            "x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        )
    );
    assert!(told[2].starts_with("schema: Forbidden: x-kubernetes-validations estimated rule cost total"), "{told:?}");
}

#[test]
fn defaults_are_what_the_schema_asks_for() {
    let object = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let with = |default: Value| {
        let mut object = object.clone();
        object["default"] = default;
        refusals(object)
    };
    assert!(with(json!({"a": 1})).is_empty());
    assert_eq!(
        with(json!({"b": 1})),
        [r#"schema.properties[f].default: Invalid value: {"b":1}: must not have unknown fields"#]
    );
    let words = r#"Invalid value: "string": schema.properties[f].default.a in body must be of type integer: "string""#;
    assert_eq!(with(json!({"a": "x"})), [format!("schema.properties[f].default.a: {words}")]);
}
