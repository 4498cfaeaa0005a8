//! What is found, and what a change may and may not do.

use std::{future, sync::Arc};

use api_types::{Resource, StatusError, apps::Deployment, core::ConfigMap, rows};
use component::CancellationToken;
use futures::future::BoxFuture;

use super::{Answer, Answered, Asked, ChangeError, Destination, Draft, Forward, Forwarded, Request, Route, Served};
use crate::request::{Query, RequestInfo};

struct Nothing;

impl Answered for Nothing {
    fn answer<'a>(&'a self, _: Asked<'a>, _: Request) -> BoxFuture<'a, Answer> {
        Box::pin(future::ready(Err(StatusError::method_not_allowed())))
    }
}

impl Forwarded for Nothing {
    fn forward(&self, _: Request) -> BoxFuture<'_, Answer> {
        Box::pin(future::ready(Err(StatusError::method_not_allowed())))
    }
}

fn route(row: &Resource) -> Route {
    Route::answered(row.clone(), Arc::new(Nothing))
}

fn forward(group: &'static str) -> Forward {
    Forward { group: group.into(), version: "v1".into(), server: Arc::new(Nothing), foreign: Arc::default() }
}

fn served() -> Served {
    Served::new("192.0.2.1:6443", CancellationToken::new())
}

/// Where a GET of the path goes.
fn goes(served: &Served, path: &str) -> String {
    let info = RequestInfo::parse(&http::Method::GET, path, &Query::parse(""));
    match served.load().resolve(&info) {
        Destination::Route { route, .. } => route.row.group_resource(),
        Destination::Forward(forward) => format!("server of {}", forward.group),
        Destination::Elsewhere => "elsewhere".to_owned(),
    }
}

#[test]
fn paths_lead_where_the_snapshot_says() {
    let served = served();
    served
        .change(|draft| {
            draft.put(route(&rows::PODS))?;
            draft.forward(forward("example.com"));
            Ok::<_, ChangeError>(())
        })
        .unwrap();
    for (path, expected) in [
        ("/api/v1/namespaces/a/pods/b", "pods"),
        ("/api/v2/namespaces/a/pods/b", "elsewhere"),
        ("/apis/example.com/v1/anything", "server of example.com"),
        ("/apis/example.com/v1", "server of example.com"),
        ("/apis/example.com/v2", "elsewhere"),
        ("/apis/example.com", "elsewhere"),
        ("/healthz", "elsewhere"),
    ] {
        assert_eq!(goes(&served, path), expected, "{path}");
    }
    served
        .change(|draft| {
            draft.take_back("example.com", "v1");
            Ok::<_, ChangeError>(())
        })
        .unwrap();
    assert_eq!(goes(&served, "/apis/example.com/v1"), "elsewhere");
}

#[test]
fn a_change_happens_as_a_whole_or_not_at_all() {
    let served = served();
    let rival = Resource::of::<ConfigMap>("maps", "map");
    let refused = served.change(|draft| {
        draft.put(route(&rows::CONFIG_MAPS))?;
        draft.put(route(&rival))
    });
    let taken = ChangeError::KindTaken {
        kind: "ConfigMap".to_owned(),
        api_version: "v1".to_owned(),
        other: "configmaps".to_owned(),
    };
    assert_eq!(refused, Err(taken));
    assert_eq!(goes(&served, "/api/v1/configmaps"), "elsewhere");
}

#[test]
fn only_what_changes_ends() {
    let served = served();
    served
        .change(|draft| {
            draft.put(route(&rows::PODS))?;
            draft.put(route(&rows::NODES))
        })
        .unwrap();
    let ended = |plural: &str| served.load().route("", "v1", plural).unwrap().ended().clone();
    let (pods, nodes) = (ended("pods"), ended("nodes"));
    served.change(|draft| draft.put(route(&rows::PODS))).unwrap();
    assert_eq!((pods.is_cancelled(), nodes.is_cancelled(), ended("pods").is_cancelled()), (true, false, false));
    assert!(served.change(|draft| Ok::<_, ChangeError>(draft.remove("", "v1", "nodes"))).unwrap());
    assert!(nodes.is_cancelled());
}

/// Has another server answer for a group, or not any more.
fn change(served: &Served, change: impl FnOnce(&mut Draft)) {
    let done: Result<(), ChangeError> = served.change(|draft| {
        change(draft);
        Ok(())
    });
    done.unwrap();
}

#[test]
fn what_is_set_aside_comes_back() {
    let served = served();
    let path = "/apis/apps/v1/namespaces/a/deployments";
    served.change(|draft| draft.put(route(&rows::DEPLOYMENTS))).unwrap();
    let ended = served.load().route("apps", "v1", "deployments").unwrap().ended().clone();
    assert_eq!(goes(&served, path), "deployments.apps");
    change(&served, |draft| draft.forward(forward("apps")));
    assert!(ended.is_cancelled());
    let rival = Resource::of::<Deployment>("others", "other");
    assert!(served.change(|draft| draft.put(route(&rival))).is_err());
    served.change(|draft| draft.put(route(&rows::REPLICA_SETS))).unwrap();
    served.change(|draft| draft.put(route(&rows::DAEMON_SETS))).unwrap();
    change(&served, |draft| draft.forward(forward("apps")));
    assert_eq!(goes(&served, path), "server of apps");
    change(&served, |draft| assert!(!draft.remove("apps", "v1", "daemonsets"), "it is not served"));
    change(&served, |draft| draft.take_back("apps", "v1"));
    assert_eq!(goes(&served, path), "deployments.apps");
    assert_eq!(goes(&served, "/apis/apps/v1/replicasets"), "replicasets.apps");
    assert_eq!(goes(&served, "/apis/apps/v1/daemonsets"), "elsewhere");
    assert!(!served.load().route("apps", "v1", "deployments").unwrap().ended().is_cancelled());
}
