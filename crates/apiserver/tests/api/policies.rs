//! Policies in CEL: what they refuse, and what they change.

use serde_json::{Value, json};

use crate::client::{Api, Reply};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PATCH: &str = "application/json-patch+json";

/// What a policy is about when it says nothing else: config maps and deployments that are written.
fn constraints() -> Value {
    json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
        "resourceRules": [{
            "operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": ["", "apps"], "apiVersions": ["v1"],
            "resources": ["configmaps", "deployments", "deployments/scale"],
        }],
    })
}

/// Makes a policy of a kind, and a binding of the same name.
async fn enact(api: &Api, kind: &str, name: &str, spec: &Value, binding: &Value) {
    let mut own = json!({"matchConstraints": constraints()});
    own.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let policy = json!({"metadata": {"name": name}, "spec": own});
    api.post(&format!("{GROUP}/{kind}admissionpolicies"), &policy).await.ok();
    let mut bound = json!({"policyName": name});
    bound.as_object_mut().unwrap().extend(binding.as_object().unwrap().clone());
    let binding = json!({"metadata": {"name": name}, "spec": bound});
    api.post(&format!("{GROUP}/{kind}admissionpolicybindings"), &binding).await.ok();
}

fn map(name: &str, data: &Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

fn deployment(replicas: i32) -> Value {
    json!({
        "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    })
}

fn warnings(reply: &Reply) -> Vec<String> {
    reply.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn rules_are_enforced_as_bindings_say() {
    let api = Api::start().await;
    let spec = json!({
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "many", "expression": "variables.replicas > 3"},
            {"name": "unused", "expression": "object.nothing.there"},
        ],
        "matchConditions": [{"name": "kind", "expression": "request.kind.kind == 'Deployment' && request.operation != 'DELETE'"}],
        "validations": [
            {"expression": "!variables.many", "messageExpression": "'too many: ' + string(variables.replicas)", "reason": "Forbidden"},
            {"expression": "object.metadata.name != 'x' || variables.unused == 1"},
        ],
    });
    enact(&api, "validating", "few", &spec, &json!({"validationActions": ["Deny"]})).await;
    api.post(DEPLOYMENTS, &deployment(3)).await.ok();
    let denied = |name: &str, why: &str| {
        format!(
            r#"deployments.apps "d" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {why}"#
        )
    };
    let more = json!({"spec": {"replicas": 4}});
    let path = format!("{DEPLOYMENTS}/d");
    let reply = api.merge(&path, &more).await;
    assert_eq!(reply.failure(), (403, "Forbidden".to_owned(), denied("few", "too many: 4")));
    assert_eq!(
        reply.json()["details"]["causes"][0]["message"],
        "ValidatingAdmissionPolicy 'few' with binding 'few' denied request: too many: 4"
    );
    api.delete(&format!("{GROUP}/validatingadmissionpolicybindings/few")).await.ok();
    api.merge(&path, &more).await.ok();
    let binding =
        json!({"metadata": {"name": "warn"}, "spec": {"policyName": "few", "validationActions": ["Warn", "Audit"]}});
    api.post(&format!("{GROUP}/validatingadmissionpolicybindings"), &binding).await.ok();
    let reply = api.merge(&path, &json!({"spec": {"replicas": 5}})).await;
    let expected = "Validation failed for ValidatingAdmissionPolicy 'few' with binding 'warn': too many: 5";
    assert_eq!(warnings(&reply), [format!("299 - {expected:?}")]);
    reply.ok();
    // A config map has no replicas, and nobody asks it.
    api.post(MAPS, &map("m", &json!({}))).await.ok();
}

#[tokio::test]
async fn what_cannot_be_evaluated_fails_as_the_policy_says() {
    let api = Api::start().await;
    let rule = |expression: &str| json!({"validations": [{"expression": expression, "message": "told"}]});
    enact(&api, "validating", "p", &rule("object.data.k == 'v'"), &json!({"validationActions": ["Deny"]})).await;
    api.post(MAPS, &map("good", &json!({"k": "v"}))).await.ok();
    let denied = |why: &str| {
        format!(
            r#"configmaps "bad" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: {why}"#
        )
    };
    let invalid = |why: &str| (422, "Invalid".to_owned(), denied(why));
    assert_eq!(api.post(MAPS, &map("bad", &json!({"k": "w"}))).await.failure(), invalid("told"));
    let why = "expression 'object.data.k == 'v'' resulted in error: no such key: data";
    assert_eq!(api.post(MAPS, &json!({"metadata": {"name": "bad"}})).await.failure(), invalid(why));
    let path = format!("{GROUP}/validatingadmissionpolicies/p");
    let ignore = json!([{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}]);
    api.patch(&path, PATCH, &ignore).await.ok();
    api.post(MAPS, &json!({"metadata": {"name": "lacking"}})).await.ok();
    // Deletions have no object, but an old one.
    let deny = json!([
        {"op": "replace", "path": "/spec/failurePolicy", "value": "Fail"},
        {"op": "replace", "path": "/spec/validations/0/expression", "value": "request.operation != 'DELETE' || oldObject.data.k != 'v'"},
    ]);
    api.patch(&path, PATCH, &deny).await.ok();
    api.delete(&format!("{MAPS}/lacking")).await.failure();
    assert_eq!(api.delete(&format!("{MAPS}/good")).await.failure().0, 422);
    // Costs are bounded: what would take too long is an error.
    let loops = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(x, ".repeat(7) + "'aaaaaaaaaa'.matches('a+')" + &")".repeat(7);
    let costly = json!([{"op": "replace", "path": "/spec/validations/0/expression", "value": loops}]);
    api.patch(&path, PATCH, &costly).await.ok();
    let (code, _, message) = api.post(MAPS, &map("bad", &json!({}))).await.failure();
    assert_eq!(code, 422);
    assert!(message.contains("cost limit exceeded"), "{message}");
}

#[tokio::test]
async fn parameters_are_found() {
    let api = Api::start().await;
    let params = |name: &str, most: &str| json!({"metadata": {"name": name, "labels": {"params": "yes"}}, "data": {"most": most}});
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [{
            "operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
        }]},
        "validations": [{"expression": "object.spec.replicas <= int(params.data.most)", "messageExpression": "'at most ' + params.data.most"}],
    });
    let by_name =
        json!({"validationActions": ["Deny"], "paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}});
    enact(&api, "validating", "p", &spec, &by_name).await;
    let message = |reply: Reply| {
        let (_, _, message) = reply.failure();
        message.split("denied request: ").nth(1).unwrap_or(&message).to_owned()
    };
    assert_eq!(
        message(api.post(DEPLOYMENTS, &deployment(2)).await),
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    );
    api.post(MAPS, &params("limits", "1")).await.ok();
    assert_eq!(message(api.post(DEPLOYMENTS, &deployment(2)).await), "at most 1");
    api.post(DEPLOYMENTS, &deployment(1)).await.ok();
    let selected = json!([{"op": "replace", "path": "/spec/paramRef", "value": {
        "selector": {"matchLabels": {"params": "yes"}}, "namespace": "default", "parameterNotFoundAction": "Allow",
    }}]);
    let binding = format!("{GROUP}/validatingadmissionpolicybindings/p");
    api.patch(&binding, PATCH, &selected).await.ok();
    api.merge(&format!("{MAPS}/limits"), &json!({"data": {"most": "9"}})).await.ok();
    api.post(MAPS, &params("others", "4")).await.ok();
    let path = format!("{DEPLOYMENTS}/d");
    assert_eq!(message(api.merge(&path, &json!({"spec": {"replicas": 5}})).await), "at most 4");
    api.delete(&format!("{MAPS}/others")).await.ok();
    api.merge(&path, &json!({"spec": {"replicas": 5}})).await.ok();
    api.delete(&format!("{MAPS}/limits")).await.ok();
    api.merge(&path, &json!({"spec": {"replicas": 50}})).await.ok();
    let strange = json!([{"op": "replace", "path": "/spec/paramKind", "value": {"apiVersion": "rules.example.com/v1", "kind": "Rule"}}]);
    api.patch(&format!("{GROUP}/validatingadmissionpolicies/p"), PATCH, &strange).await.ok();
    assert_eq!(
        message(api.merge(&path, &json!({"spec": {"replicas": 5}})).await),
        "failed to configure policy: failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=Rule'"
    );
}

#[tokio::test]
async fn namespaces_and_authorizers_are_asked() {
    let api = Api::start().await;
    let rule = json!({
        "validations": [
            {"expression": "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'"},
            {"expression": "authorizer.group('').resource('configmaps').namespace(request.namespace).check('update').allowed()"},
            {"expression": "authorizer.requestResource.check('create').allowed() && !authorizer.path('/x').check('get').errored()"},
            {"expression": "variables.may"},
        ],
        "variables": [{"name": "may", "expression": "authorizer.serviceAccount('default', 'a').path('/y').check('get').allowed()"}],
    });
    enact(&api, "validating", "p", &rule, &json!({"validationActions": ["Deny"]})).await;
    api.post(MAPS, &map("m", &json!({}))).await.ok();
}

/// Variables are not evaluated within each other: a long chain of them nests nowhere.
#[tokio::test]
async fn long_chains_of_variables_end() {
    let api = Api::start().await;
    let nested = |place: usize| match place {
        0 => "1".to_owned(),
        place => format!("{}variables.v{} + 1{}", "(".repeat(100), place - 1, ")".repeat(100)),
    };
    let variables: Vec<Value> =
        (0..500).map(|place| json!({"name": format!("v{place}"), "expression": nested(place)})).collect();
    let rule = json!({"variables": variables, "validations": [{"expression": "variables.v499 == 500"}]});
    enact(&api, "validating", "p", &rule, &json!({"validationActions": ["Deny"]})).await;
    api.post(MAPS, &map("m", &json!({}))).await.ok();
}

#[tokio::test]
async fn objects_are_changed() {
    let api = Api::start().await;
    let only = |resource: &str| json!([{"name": "kind", "expression": format!("request.resource.resource == '{resource}' && request.operation != 'DELETE'")}]);
    let labelled = json!({
        "reinvocationPolicy": "Never", "matchConditions": only("deployments"),
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{labels: {'by': 'policy'}}, spec: Object.spec{replicas: object.spec.replicas + 1}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 2}, JSONPatch{op: 'add', path: '/metadata/annotations', value: {'was': '1'}}]"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 77}, JSONPatch{op: 'add', path: '/metadata/annotations/never', value: 'x'}]"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'add', path: '/spec/template/spec/initContainers', value: [Object.spec.template.spec.initContainers{name: 'i', image: 'i'}]}]"}},
        ],
    });
    enact(&api, "mutating", "a", &labelled, &json!({})).await;
    let made = api.post(DEPLOYMENTS, &deployment(1)).await.ok();
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["labels"]["by"]), (&json!(2), &json!("policy")));
    assert_eq!(made["metadata"]["annotations"], json!({"was": "1"}));
    assert_eq!(made["spec"]["template"]["spec"]["initContainers"][0]["terminationMessagePolicy"], "File");
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["name"], "c", "nothing is taken away");
    let wrong = json!({
        "reinvocationPolicy": "Never", "matchConditions": only("configmaps"),
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{data: Object.data{k: object.metadata.name}, datum: 1}"}}],
    });
    enact(&api, "mutating", "b", &wrong, &json!({})).await;
    let (code, reason, message) = api.post(MAPS, &map("m", &json!({}))).await.failure();
    assert_eq!((code, reason.as_str()), (403, "Invalid"));
    let why =
        "error applying patch: failed to convert patch object to typed object: .datum: field not declared in schema";
    assert_eq!(message, format!("policy 'b' with binding 'b' denied request: {why}"));
    for (expression, why) in [
        (
            "Object{data: Object.datum{k: 'v'}}",
            "type mismatch: unexpected type name \"Object.datum\", expected \"Object.data\", which matches field name path from root Object type",
        ),
        (
            "Object{data: Object.data{k: object.nothing}}",
            "expression 'Object{data: Object.data{k: object.nothing}}' resulted in error: no such key: nothing",
        ),
    ] {
        let other =
            json!([{"op": "replace", "path": "/spec/mutations/0/applyConfiguration/expression", "value": expression}]);
        api.patch(&format!("{GROUP}/mutatingadmissionpolicies/b"), PATCH, &other).await.ok();
        let (_, _, message) = api.post(MAPS, &map("m", &json!({}))).await.failure();
        assert_eq!(message, format!("policy 'b' with binding 'b' denied request: {why}"));
    }
}

#[tokio::test]
async fn policies_that_want_to_are_applied_again() {
    let api = Api::start().await;
    let adding = |when: &str, key: &str| {
        json!({
            "reinvocationPolicy": "IfNeeded",
            "matchConditions": [{"name": "when", "expression": format!("has(object.data) && '{when}' in object.data && !('{key}' in object.data)")}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": format!("[JSONPatch{{op: 'add', path: '/data/{key}', value: 'yes'}}]")}}],
        })
    };
    let second = json!({
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'last': string(object.data.size())}}}"}}],
    });
    enact(&api, "mutating", "a", &adding("start", "one"), &json!({})).await;
    enact(&api, "mutating", "b", &second, &json!({})).await;
    let made = api.post(MAPS, &map("m", &json!({"start": "yes"}))).await.ok();
    assert_eq!(made["data"], json!({"start": "yes", "one": "yes"}));
    assert_eq!(made["metadata"]["labels"]["last"], "2");
}

/// A policy about one version of a kind is asked about others, in its own.
#[tokio::test]
async fn other_versions_are_equivalent() {
    let api = Api::start().await;
    let rule = json!({
        "matchConstraints": {"resourceRules": [{
            "operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v2"], "resources": ["horizontalpodautoscalers"],
        }]},
        "validations": [{"expression": "object.spec.metrics[0].resource.target.averageUtilization == 50 && request.kind.version == 'v2'"}],
    });
    enact(&api, "validating", "p", &rule, &json!({"validationActions": ["Deny"]})).await;
    let scaler = |percent: i32| {
        json!({"metadata": {"name": "a"}, "spec": {
            "maxReplicas": 3, "targetCPUUtilizationPercentage": percent, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        }})
    };
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    assert_eq!(api.post(path, &scaler(60)).await.failure().0, 422);
    api.post(path, &scaler(50)).await.ok();
}

#[tokio::test]
async fn types_of_objects_are_checked() {
    let api = Api::start().await;
    let path = format!("{GROUP}/validatingadmissionpolicies");
    let mut watch = api.watch(&format!("{path}?watch=1")).await;
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{
            "operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments", "deployments/scale"],
        }]},
        "validations": [
            {"expression": "object.replicas > 1", "messageExpression": "'is ' + string(object.spec.replicas)"},
            {"expression": "object.spec.replicas > 1"},
        ],
    }});
    api.post(&path, &policy).await.ok();
    let status = loop {
        let object = watch.next().await.unwrap()["object"].take();
        if object["status"]["observedGeneration"] == object["metadata"]["generation"] {
            break object["status"].clone();
        }
    };
    let warning =
        "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^";
    assert_eq!(
        status["typeChecking"]["expressionWarnings"],
        json!([{"fieldRef": "spec.validations[0].expression", "warning": warning}])
    );
    let fixed = json!([{"op": "remove", "path": "/spec/validations/0"}]);
    api.patch(&format!("{path}/p"), PATCH, &fixed).await.ok();
    let status = loop {
        let object = watch.next().await.unwrap()["object"].take();
        if object["status"]["observedGeneration"] == 2 {
            break object["status"].clone();
        }
    };
    assert_eq!(status["typeChecking"], json!({}));
}
