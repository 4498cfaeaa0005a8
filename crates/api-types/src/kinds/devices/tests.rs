//! What is wrong with claims, classes and slices.

use serde_json::{Value, json};

use crate::{
    devices::{DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice},
    object::Kind,
};

fn decoded<T: Kind>(spec: &Value, status: &Value) -> T {
    let mut object: T = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
    object.set_defaults();
    object
}

fn errors<T: Kind>(spec: &Value) -> Vec<String> {
    decoded::<T>(spec, &Value::Null).validate().iter().map(ToString::to_string).collect()
}

fn claim_of(request: Value) -> Value {
    json!({"devices": {"requests": [request]}})
}

#[test]
fn one_device_is_asked_for() {
    let claim: ResourceClaim =
        decoded(&claim_of(json!({"name": "a", "exactly": {"deviceClassName": "c"}})), &Value::Null);
    let request = &claim.spec.devices.as_ref().unwrap().requests.as_ref().unwrap()[0];
    let exactly = request.exactly.as_ref().unwrap();
    assert_eq!((exactly.allocation_mode.as_deref(), exactly.count), (Some("ExactCount"), Some(1)));
    assert!(claim.validate().is_empty());
    assert_eq!(claim.cells()[1], "pending");
}

#[test]
fn mistakes_in_claims_are_told() {
    let cases: [(Value, Vec<&str>); 9] = [
        (
            claim_of(json!({"name": "a"})),
            vec!["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (
            claim_of(json!({"name": "a", "exactly": {"deviceClassName": ""}})),
            vec!["spec.devices.requests[0].exactly.deviceClassName: Required value"],
        ),
        (
            claim_of(json!({"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "All", "count": 2}})),
            vec![
                "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
            ],
        ),
        (
            claim_of(json!({"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "Some"}})),
            vec![
                r#"spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount""#,
            ],
        ),
        (
            claim_of(json!({"name": "a", "exactly": {"deviceClassName": "c", "count": -1, "selectors": [{}]}})),
            vec![
                "spec.devices.requests[0].exactly.selectors[0].cel: Required value",
                "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero",
            ],
        ),
        (
            json!({"devices": {"requests": [
                {"name": "a", "exactly": {"deviceClassName": "c"}}, {"name": "a", "exactly": {"deviceClassName": "c"}},
            ]}}),
            vec![r#"spec.devices.requests[1]: Duplicate value: "a""#],
        ),
        (
            json!({"devices": {
                "requests": [{"name": "a", "firstAvailable": [{"name": "x", "deviceClassName": "c"}]}],
                "constraints": [{"requests": ["a/x", "a/y"], "matchAttribute": "name"}, {}],
            }}),
            vec![
                r#"spec.devices.constraints[0].requests[1]: Invalid value: "a/y": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"#,
                r#"spec.devices.constraints[0].matchAttribute: Invalid value: "name": a fully qualified name must be a domain and a name separated by a slash"#,
                r#"spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#,
            ],
        ),
        (
            json!({"devices": {"requests": [{"name": "a", "exactly": {
                "deviceClassName": "c", "selectors": [{"cel": {"expression": "device.driver"}}, {"cel": {"expression": ""}}],
            }}]}}),
            vec![
                r#"spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: "device.driver": must evaluate to bool or the unknown type, not string"#,
                "spec.devices.requests[0].exactly.selectors[1].cel.expression: Invalid value: \"\": compilation failed: ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | \n | ^",
            ],
        ),
        (
            json!({"devices": {"config": [{}, {"opaque": {"driver": "d.example.com", "parameters": 1}}]}}),
            vec![
                "spec.devices.config[0].opaque: Required value",
                r#"spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object"#,
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(errors::<ResourceClaim>(&spec), expected);
        let nested: Vec<_> = expected.iter().map(|error| format!("spec.{error}")).collect();
        assert_eq!(errors::<ResourceClaimTemplate>(&json!({"spec": spec})), nested);
    }
}

#[test]
fn a_claim_gets_devices_once() {
    let spec = claim_of(json!({"name": "a", "exactly": {"deviceClassName": "c"}}));
    let result = |device: &str| json!({"request": "a", "driver": "d.example.com", "pool": "p", "device": device});
    let allocation = |device: &str| json!({"allocation": {"devices": {"results": [result(device)]}}});
    let user = json!({"resource": "pods", "name": "p", "uid": "1"});
    let cases: [(Value, Value, Vec<&str>); 5] = [
        (json!({}), allocation("x"), vec![]),
        (
            json!({}),
            json!({"reservedFor": [user, user]}),
            vec![
                r#"status.reservedFor[1]: Duplicate value: "1""#,
                "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
            ],
        ),
        (
            json!({}),
            json!({"allocation": {"devices": {"results": [{"request": "b", "driver": "d", "pool": "", "device": "x"}]}}}),
            vec![
                r#"status.allocation.devices.results[0].request: Invalid value: "b": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"#,
                "status.allocation.devices.results[0].pool: Required value",
            ],
        ),
        (allocation("x"), allocation("x"), vec![]),
        (
            json!({}),
            json!({"devices": [{"driver": "d.example.com", "pool": "p", "device": "x"}]}),
            vec![r#"status.devices[0]: Invalid value: "d.example.com/p/x": must be an allocated device in the claim"#],
        ),
    ];
    for (before, now, expected) in cases {
        let (old, new): (ResourceClaim, ResourceClaim) = (decoded(&spec, &before), decoded(&spec, &now));
        let errors: Vec<_> = new.validate_status_update(&old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected);
    }
    let (old, new): (ResourceClaim, ResourceClaim) =
        (decoded(&spec, &allocation("x")), decoded(&spec, &allocation("y")));
    assert!(new.validate_status_update(&old)[0].to_string().ends_with("field is immutable"));
}

#[test]
fn mistakes_in_classes_are_told() {
    let spec = json!({"selectors": [{}], "config": [{}], "extendedResourceName": "cpu"});
    assert_eq!(
        errors::<DeviceClass>(&spec),
        [
            "spec.selectors[0].cel: Required value",
            "spec.config[0].opaque: Required value",
            r#"spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name"#,
        ]
    );
}

fn slice(more: Value) -> Value {
    let mut spec = json!({"driver": "d.example.com", "pool": {"name": "p", "generation": 0, "resourceSliceCount": 1}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

#[test]
fn mistakes_in_slices_are_told() {
    let device = |more: Value| {
        let mut device = json!({"name": "x"});
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        slice(json!({"allNodes": true, "devices": [device]}))
    };
    let range = json!({"default": "3", "validRange": {"min": "2", "max": "20", "step": "2"}});
    let cases: [(Value, Vec<&str>); 9] = [
        (slice(json!({"nodeName": "n"})), vec![]),
        (
            slice(json!({"pool": {"name": "", "generation": -1, "resourceSliceCount": 0}})),
            vec![
                "spec.pool.name: Required value",
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
            ],
        ),
        (
            slice(json!({"nodeName": "n", "allNodes": true})),
            vec![
                r#"spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set"#,
            ],
        ),
        (
            device(
                json!({"attributes": {"a": {"version": "1.0"}, "b": {}, "c.example.com/d": {"bool": true, "int": 1}}}),
            ),
            vec![
                r#"spec.devices[0].attributes[a].version: Invalid value: "1.0": must be a string compatible with semver.org spec 2.0.0"#,
                r#"spec.devices[0].attributes[b]: Invalid value: "": exactly one value must be specified"#,
                r#"spec.devices[0].attributes[c.example.com/d]: Invalid value: {"bool":true,"int":1}: exactly one value must be specified"#,
            ],
        ),
        (device(json!({"attributes": {"a": {"version": "1.0.0-alpha.1+build"}}})), vec![]),
        (
            device(json!({"taints": [{"key": "a", "effect": "Never"}]})),
            vec![
                r#"spec.devices[0].taints[0].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "None""#,
            ],
        ),
        (
            device(json!({"nodeName": "n"})),
            vec![
                "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
            ],
        ),
        (
            device(json!({"capacity": {"m": {"value": "10", "requestPolicy": range}}})),
            vec!["spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"],
        ),
        (
            device(
                json!({"allowMultipleAllocations": true, "capacity": {"m": {"value": "10", "requestPolicy": range}}}),
            ),
            vec![
                r#"spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: "20": max is larger than capacity value: 10"#,
                r#"spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "3": value is not a multiple of a given step (2) from (2)"#,
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(errors::<ResourceSlice>(&spec), expected);
    }
}

#[test]
fn a_slice_stays_where_it_is() {
    let (old, new): (ResourceSlice, ResourceSlice) = (
        decoded(&slice(json!({"nodeName": "n"})), &Value::Null),
        decoded(&slice(json!({"nodeName": "m", "driver": "e.example.com"})), &Value::Null),
    );
    let errors: Vec<_> = new.revalidate(&old).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            r#"spec.driver: Invalid value: "e.example.com": field is immutable"#,
            r#"spec.nodeName: Invalid value: "m": field is immutable"#,
        ]
    );
}
