//! Questions about users and rights.

use std::time::Duration;

use component::auth::{
    Attributes, Authorizer, Decision, ResourceAttributes, Target, TokenAuthenticator, User,
    delegated::{AccessReviews, TokenReviews},
};
use http::Method;
use serde_json::{Value, json};

use crate::client::Api;

const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

fn review(group: &str, kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{group}.k8s.io/v1"), "kind": kind, "spec": spec})
}

async fn with_tokens(flags: &[&str]) -> (Api, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.csv");
    std::fs::write(&file, "secret,bob,1,\"ops,dev\"\n").unwrap();
    let tokens = format!("--token-auth-file={}", file.display());
    let flags: Vec<&str> = flags.iter().copied().chain([tokens.as_str()]).collect();
    (Api::start_with(&flags).await, directory)
}

#[tokio::test]
async fn tokens_are_reviewed() {
    let (api, _directory) = with_tokens(&[]).await;
    let ask = async |spec: Value| {
        api.post(&format!("{AUTHENTICATION}/tokenreviews"), &review("authentication", "TokenReview", &spec)).await
    };
    let known = ask(json!({"token": "secret"})).await;
    assert_eq!(known.code, 201);
    let known = known.json();
    assert_eq!(known["spec"]["token"], "secret");
    let bob = json!({"username": "bob", "uid": "1", "groups": ["ops", "dev", "system:authenticated"]});
    let audiences = json!(["https://kubernetes.default.svc.cluster.local"]);
    assert_eq!(known["status"], json!({"authenticated": true, "user": bob, "audiences": audiences}));
    for wrong in ["other", "two words", "a\nb", "\u{0}"] {
        let status = ask(json!({"token": wrong})).await.ok()["status"].clone();
        assert_eq!(status, json!({"user": {}, "error": "invalid bearer token"}), "{wrong:?}");
    }
    let foreign = ask(json!({"token": "secret", "audiences": ["vault"]})).await.ok();
    assert_eq!(foreign["status"], json!({"user": {}, "error": "invalid bearer token"}));
    let (code, reason, message) = ask(json!({})).await.failure();
    assert_eq!((code, reason.as_str()), (400, "BadRequest"));
    assert_eq!(message, "token is required for TokenReview in authentication");
}

#[tokio::test]
async fn clients_learn_who_they_are() {
    let api = Api::start().await;
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("impersonate-user", "ann"),
        ("impersonate-group", "ops"),
        ("impersonate-extra-example.com%2fscopes", "dev"),
    ];
    let path = format!("{AUTHENTICATION}/selfsubjectreviews");
    let answer = api.raw(http::Method::POST, &path, &headers, asked.into_bytes()).await.ok();
    assert_eq!(answer["kind"], "SelfSubjectReview");
    assert!(answer["metadata"]["creationTimestamp"].is_string());
    let ann = json!({
        "username": "ann",
        "groups": ["ops", "system:authenticated"],
        "extra": {"example.com/scopes": ["dev"]},
    });
    assert_eq!(answer["status"], json!({"userInfo": ann}));
}

#[tokio::test]
async fn rights_are_reviewed() {
    let api = Api::start_with(&["--authorization-mode=AlwaysDeny"]).await;
    let ask = async |spec: Value| {
        let asked = review("authorization", "SubjectAccessReview", &spec);
        api.post(&format!("{AUTHORIZATION}/subjectaccessreviews"), &asked).await
    };
    let pods = json!({"verb": "use", "resource": "pods", "namespace": "x"});
    let refused = ask(json!({"user": "ann", "resourceAttributes": pods})).await.ok();
    assert_eq!(refused["status"], json!({"allowed": false, "reason": "Everything is forbidden."}));
    assert_eq!(refused["spec"], json!({"user": "ann", "resourceAttributes": pods}));
    let path = json!({"groups": ["system:masters"], "nonResourceAttributes": {"path": "/metrics", "verb": "get"}});
    assert_eq!(ask(path).await.ok()["status"], json!({"allowed": true}));
    let strange = json!({"verb": "list", "resource": "pods", "fieldSelector": {"requirements": [
        {"key": "spec.nodeName", "operator": "In", "values": ["n"]},
        {"key": "spec.nodeName", "operator": "Near", "values": ["n"]},
    ]}, "labelSelector": {"rawSelector": "a in ("}});
    let strange = ask(json!({"groups": ["system:masters"], "resourceAttributes": strange})).await.ok();
    let errors = "spec.resourceAttributes.fieldSelector partially ignored due to parse error; \
        spec.resourceAttributes.labelSelector ignored due to parse error";
    assert_eq!(strange["status"], json!({"allowed": true, "evaluationError": errors}));
}

#[tokio::test]
async fn questions_have_to_make_sense() {
    let api = Api::start().await;
    let message =
        async |path: &str, asked: &Value| api.post(&format!("{AUTHORIZATION}/{path}"), asked).await.failure().2;
    let kind = "SubjectAccessReview";
    let path = "subjectaccessreviews";
    let nothing = message(path, &review("authorization", kind, &json!({}))).await;
    assert!(nothing.contains("spec.resourceAttributes: Invalid value: \"null\": exactly one of nonResourceAttributes or resourceAttributes must be specified"), "{nothing}");
    assert!(
        nothing.contains("spec.user: Invalid value: \"\": at least one of user or group must be specified"),
        "{nothing}"
    );
    let both = json!({"user": "a", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}});
    let both = message(path, &review("authorization", kind, &both)).await;
    assert!(both.contains("cannot be specified in combination with resourceAttributes"), "{both}");
    let selector = json!({"user": "a", "resourceAttributes": {"labelSelector": {}}});
    let selector = message(path, &review("authorization", kind, &selector)).await;
    assert!(selector.contains("spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required"), "{selector}");

    let local = |namespace: &str| {
        review(
            "authorization",
            "LocalSubjectAccessReview",
            &json!({"user": "a", "resourceAttributes": {"namespace": namespace}}),
        )
    };
    let path = "namespaces/x/localsubjectaccessreviews";
    assert!(message(path, &local("y")).await.contains("must match metadata.namespace"));
    assert_eq!(
        api.post(&format!("{AUTHORIZATION}/{path}"), &local("x")).await.ok()["status"],
        json!({"allowed": true})
    );
    assert_eq!(api.post(&format!("{AUTHORIZATION}/localsubjectaccessreviews"), &local("")).await.code, 405);
    assert_eq!(api.get(&format!("{AUTHORIZATION}/subjectaccessreviews")).await.code, 405);
}

#[tokio::test]
async fn clients_learn_what_they_may() {
    let api = Api::start().await;
    let asked = review("authorization", "SelfSubjectAccessReview", &json!({"resourceAttributes": {"verb": "get"}}));
    let own = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let answer = api.post(&own, &asked).await.ok();
    assert_eq!(answer["status"], json!({"allowed": true}));
    let as_table = async |accept: &str| {
        let headers = [("accept", accept), ("content-type", "application/json")];
        api.raw(Method::POST, &own, &headers, asked.to_string().into_bytes()).await.code
    };
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    assert_eq!(as_table(table).await, 406);
    assert_eq!(as_table(&format!("{table},application/json")).await, 201);
    let path = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
    let rules =
        api.post(&path, &review("authorization", "SelfSubjectRulesReview", &json!({"namespace": "x"}))).await.ok();
    let all = json!({
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": false,
    });
    assert_eq!(rules["status"], all);
    let missing = api.post(&path, &review("authorization", "SelfSubjectRulesReview", &json!({}))).await.failure();
    assert_eq!((missing.0, missing.2.as_str()), (400, "no namespace on request"));
}

#[tokio::test]
async fn other_daemons_ask() {
    let (api, _directory) = with_tokens(&["--authorization-mode=AlwaysDeny"]).await;
    let tokens = TokenReviews::new(api.server.client(), Duration::from_secs(10));
    let bob = tokens.find("secret", &[]).await.unwrap().unwrap();
    assert_eq!(bob.user.groups, ["ops", "dev", "system:authenticated"]);
    assert_eq!(tokens.find("other", &[]).await.unwrap_err().to_string(), "invalid bearer token");
    let rights = AccessReviews::new(api.server.client(), Duration::from_secs(10), Duration::from_secs(10));
    let stats =
        ResourceAttributes { resource: "nodes".into(), subresource: "stats".into(), ..ResourceAttributes::default() };
    let asked = |user| Attributes { user, verb: "get".into(), target: Target::Resource(stats.clone()) };
    let verdict = rights.authorize(&asked(&bob.user)).await;
    assert_eq!((verdict.decision, verdict.reason.as_str()), (Decision::NoOpinion, "Everything is forbidden."));
    let master = User::authenticated("ann", "", vec!["system:masters".into()]);
    assert_eq!(rights.authorize(&asked(&master)).await.decision, Decision::Allow);
    api.server.stop().await;
    assert_eq!(tokens.find("secret", &[]).await.unwrap().unwrap(), bob, "for a while answers stay good");
    assert!(tokens.find("third", &[]).await.is_err());
    assert_eq!(rights.authorize(&asked(&master)).await.decision, Decision::Allow);
    let other = User::authenticated("eve", "", Vec::new());
    assert!(!rights.authorize(&asked(&other)).await.error.is_empty(), "nobody is there to ask");
}
