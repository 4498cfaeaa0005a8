use std::future::ready;

use component::auth::{Rules, Verdict};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::*;

/// Allows what it lists, each as `verb resource/subresource namespace/name`, and notes what it was asked.
#[derive(Default)]
struct Listed {
    allowed: Vec<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl Authorizer for Listed {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        let Target::Resource(place) = &attributes.target else { return Box::pin(ready(Verdict::deny("a path"))) };
        let resource = format!("{}.{}/{}", place.resource, place.group, place.subresource);
        let resource = resource.trim_end_matches(['.', '/']).replace("./", "/");
        let name = format!("{}/{}", place.namespace, place.name);
        let asked = format!("{} {resource} {}", attributes.verb, name.trim_start_matches('/'));
        let known = self.allowed.contains(&asked.as_str());
        self.asked.lock().push(asked);
        Box::pin(ready(if known { Verdict::allow() } else { Verdict::no_opinion("not listed") }))
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(ready(Rules::default()))
    }
}

/// What becomes of ann, who wants to list pods in x as somebody.
async fn act(wanted: &User, allowed: &[&'static str]) -> (Result<Impersonated, String>, Vec<String>) {
    let ann = User::authenticated("ann", "", Vec::new());
    act_as(&ann, wanted, allowed).await
}

async fn act_as(
    requestor: &User,
    wanted: &User,
    allowed: &[&'static str],
) -> (Result<Impersonated, String>, Vec<String>) {
    let listed = Listed { allowed: allowed.to_vec(), ..Listed::default() };
    let pods = ResourceAttributes { resource: "pods".into(), namespace: "x".into(), ..ResourceAttributes::default() };
    let attributes = Attributes { user: requestor, verb: "list".into(), target: Target::Resource(pods) };
    let result = authorize(&listed, wanted, &attributes).await.map_err(|error| error.to_string());
    (result, listed.asked.into_inner())
}

fn named(name: &str) -> User {
    User { name: name.to_owned(), ..User::default() }
}

#[tokio::test]
async fn every_part_of_a_user_is_asked_for() {
    let mut wanted = named("bob").with_extra("scopes", "dev");
    wanted.uid = "7".into();
    wanted.groups = vec!["ops".into(), "system:masters".into()];
    let parts = [
        "impersonate users bob",
        "impersonate uids.authentication.k8s.io 7",
        "impersonate groups ops",
        "impersonate groups system:masters",
        "impersonate userextras.authentication.k8s.io/scopes dev",
    ];
    let (result, asked) = act(&wanted, &parts).await;
    let impersonated = result.unwrap();
    assert_eq!(impersonated.constraint, "");
    assert_eq!(impersonated.user.groups, ["ops", "system:masters", "system:authenticated"]);
    assert_eq!(impersonated.user.extra, wanted.extra);
    assert_eq!(asked[0], "impersonate-on:user-info:list pods x/");
    assert_eq!(asked[1..], parts);
    for missing in parts {
        let others: Vec<&'static str> = parts.into_iter().filter(|part| *part != missing).collect();
        assert!(act(&wanted, &others).await.0.is_err(), "without {missing}");
    }
}

#[tokio::test]
async fn refusals_are_those_of_the_first_mode() {
    let (result, _) = act(&named("bob"), &[]).await;
    assert_eq!(
        result.unwrap_err(),
        r#"pods is forbidden: User "ann" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "x": not listed"#
    );
    let (result, _) = act(&named("bob"), &["impersonate-on:user-info:list pods x/"]).await;
    assert_eq!(
        result.unwrap_err(),
        r#"users.authentication.k8s.io "bob" is forbidden: User "ann" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope: not listed"#
    );
}

#[tokio::test]
async fn constrained_modes_are_for_one_sort_of_users_each() {
    let on_user = ["impersonate-on:user-info:list pods x/", "impersonate:user-info users.authentication.k8s.io bob"];
    let impersonated = act(&named("bob"), &on_user).await.0.unwrap();
    assert_eq!(impersonated.constraint, "impersonate:user-info");
    assert_eq!(impersonated.user.groups, ["system:authenticated"]);
    let mut master = named("bob");
    master.groups = vec![user::MASTERS.into()];
    assert!(act(&master, &on_user).await.0.is_err(), "nobody becomes a master in a constrained mode");

    let account = "system:serviceaccount:x:robot";
    let on_account = [
        "impersonate-on:serviceaccount:list pods x/",
        "impersonate:serviceaccount serviceaccounts.authentication.k8s.io x/robot",
    ];
    let impersonated = act(&named(account), &on_account).await.0.unwrap();
    assert_eq!(impersonated.constraint, "impersonate:serviceaccount");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:x", "system:authenticated"];
    assert_eq!(impersonated.user.groups, groups);
    let impersonated = act(&named(account), &["impersonate serviceaccounts x/robot"]).await.0.unwrap();
    assert_eq!(impersonated.user.groups, groups);

    let on_node =
        ["impersonate-on:arbitrary-node:list pods x/", "impersonate:arbitrary-node nodes.authentication.k8s.io boba"];
    let impersonated = act(&named("system:node:boba"), &on_node).await.0.unwrap();
    assert_eq!(impersonated.user.groups, ["system:nodes", "system:authenticated"]);
}

#[tokio::test]
async fn an_agent_acts_as_its_own_node() {
    let on_own =
        ["impersonate-on:associated-node:list pods x/", "impersonate:associated-node nodes.authentication.k8s.io *"];
    let agent = named("system:serviceaccount:x:agent").with_extra("authentication.kubernetes.io/node-name", "boba");
    let impersonated = act_as(&agent, &named("system:node:boba"), &on_own).await.0.unwrap();
    assert_eq!(impersonated.constraint, "impersonate:associated-node");
    assert!(act_as(&agent, &named("system:node:c3po"), &on_own).await.0.is_err());
}

#[tokio::test]
async fn strangers_stay_strangers() {
    let impersonated = act(&named(user::ANONYMOUS), &["impersonate users system:anonymous"]).await.0.unwrap();
    assert_eq!(impersonated.user.groups, [user::UNAUTHENTICATED]);
    let mut wanted = named("bob");
    wanted.groups = vec![user::UNAUTHENTICATED.into()];
    let parts = ["impersonate users bob", "impersonate groups system:unauthenticated"];
    assert_eq!(act(&wanted, &parts).await.0.unwrap().user.groups, [user::UNAUTHENTICATED]);
}
