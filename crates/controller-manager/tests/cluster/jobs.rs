//! Jobs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use api_types::{
    batch::{Job, JobStatus},
    core::Pod,
};
use component::informer::{Event, Store};
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::harness::{Cluster, key};

const CONTROLLERS: &str = "--leader-elect=false --controllers=job,garbagecollector";
const TRACKING: &str = "batch.kubernetes.io/job-tracking";

async fn create_job(cluster: &Cluster, image: &str, spec: Value) {
    let mut job = json!({
        "metadata": {"name": "pi", "namespace": "default"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [{"name": "c", "image": image}],
        }}},
    });
    for (name, value) in spec.as_object().unwrap() {
        job["spec"][name] = value.clone();
    }
    cluster.create::<Job>(job).await;
}

fn status(jobs: &Store<Job>) -> JobStatus {
    jobs.get(&key("pi")).and_then(|job| job.status.clone()).unwrap_or_default()
}

/// The reason of a condition that is true.
fn reason(jobs: &Store<Job>, kind: &str) -> Option<String> {
    let conditions = status(jobs).conditions.unwrap_or_default();
    let condition = conditions.into_iter().find(|own| own.type_ == kind && own.status == "True")?;
    Some(condition.reason.unwrap_or_default())
}

/// Nothing waits to be counted, and no pod is kept.
fn all_counted(jobs: &Store<Job>, pods: &Store<Pod>) -> bool {
    let uncounted = status(jobs).uncounted_terminated_pods.unwrap_or_default();
    let kept = |pod: &Pod| pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING);
    uncounted.succeeded.is_none() && uncounted.failed.is_none() && pods.list().iter().all(|pod| !kept(pod))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_until_enough_pods_have_succeeded() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_job(&cluster, "exits:0", json!({"completions": 3, "parallelism": 2})).await;
    cluster.until("completion", |jobs| reason(jobs, "Complete").as_deref() == Some("CompletionsReached")).await;
    cluster.until_event("Completed", |message| message == "Job completed").await;
    cluster.until_event("SuccessfulCreate", |message| message.starts_with("Created pod: pi-")).await;
    let jobs = cluster.informers.of::<Job>();
    let done = status(jobs.store());
    assert_eq!((done.succeeded, done.failed, done.active, done.ready), (Some(3), None, None, Some(0)));
    assert_eq!(done.terminating, Some(0));
    assert!(done.completion_time >= done.start_time && done.start_time.is_some());
    cluster.until::<Pod>("pods are let go", |pods| pods.len() == 3 && all_counted(jobs.store(), pods)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_too_often_fails() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_job(&cluster, "exits:3", json!({"completions": 3, "parallelism": 1, "backoffLimit": 1})).await;
    cluster.until("failure", |jobs| reason(jobs, "Failed").as_deref() == Some("BackoffLimitExceeded")).await;
    cluster
        .until_event("BackoffLimitExceeded", |message| message == "Job has reached the specified backoff limit")
        .await;
    let jobs = cluster.informers.of::<Job>();
    assert_eq!((status(jobs.store()).failed, reason(jobs.store(), "FailureTarget").is_some()), (Some(2), true));
    cluster.until::<Pod>("two pods, let go", |pods| pods.len() == 2 && all_counted(jobs.store(), pods)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_time_is_up_stops_its_pods() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_job(&cluster, "runs", json!({"parallelism": 2, "completions": 2, "activeDeadlineSeconds": 3})).await;
    cluster.until("failure", |jobs| reason(jobs, "Failed").as_deref() == Some("DeadlineExceeded")).await;
    cluster.until::<Pod>("no pods", |pods| pods.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_may_be_told_where_to_run() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_job(&cluster, "runs", json!({"parallelism": 2, "completions": 2, "suspend": true})).await;
    cluster.until("suspension", |jobs| reason(jobs, "Suspended").as_deref() == Some("JobSuspended")).await;
    cluster.until_event("Suspended", |message| message == "Job suspended").await;
    let jobs = cluster.informers.of::<Job>();
    assert_eq!(status(jobs.store()).start_time, None);
    let template = json!({"spec": {"nodeSelector": {"zone": "a"}}});
    cluster.patch::<Job>("pi", json!({"spec": {"suspend": false, "template": template}})).await;
    cluster.until("two pods", |jobs| status(jobs).ready == Some(2) && status(jobs).start_time.is_some()).await;
    cluster.until_event("Resumed", |message| message == "Job resumed").await;
    let selects = |pod: &Pod| pod.spec.as_ref().unwrap().node_selector.as_ref().is_some_and(|own| own["zone"] == "a");
    assert!(cluster.informers.of::<Pod>().store().list().iter().all(|pod| selects(pod)));

    cluster.patch::<Job>("pi", json!({"spec": {"suspend": true}})).await;
    cluster.until::<Pod>("no pods", |pods| pods.is_empty()).await;
    cluster
        .until("nothing is counted as failed", |jobs| {
            let status = status(jobs);
            (status.active, status.failed, status.start_time, status.terminating) == (None, None, None, Some(0))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_leaves_no_pod_waiting() {
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground, PropagationPolicy::Orphan] {
        let cluster = Cluster::start(CONTROLLERS).await;
        create_job(&cluster, "runs", json!({"parallelism": 2, "completions": 2})).await;
        cluster.until("two pods", |jobs| status(jobs).ready == Some(2)).await;
        let orphans = policy == PropagationPolicy::Orphan;
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        cluster.api::<Job>().delete("pi", &params).await.unwrap();
        cluster.until::<Job>("the job goes", Store::is_empty).await;
        let jobs = cluster.informers.of::<Job>();
        let left = if orphans { 2 } else { 0 };
        cluster.until::<Pod>("pods are let go", |pods| pods.len() == left && all_counted(jobs.store(), pods)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_adopted_and_let_go() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_job(&cluster, "runs", json!({"parallelism": 1, "completions": 1})).await;
    cluster.until("a pod", |jobs| status(jobs).ready == Some(1)).await;
    let pods = cluster.informers.of::<Pod>();
    let pod = pods.store().list()[0].clone();
    let name = pod.metadata.name.clone().unwrap();
    let api = cluster.api::<Pod>();
    let orphan = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    api.patch(&name, &PatchParams::default(), &orphan).await.unwrap();
    let is_owned = |pod: &Pod| pod.metadata.owner_references.iter().flatten().any(|owner| owner.name == "pi");
    let is_kept = |pod: &Pod| pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING);
    let has_come_back = |pod: &Pod| {
        let version = pod.metadata.resource_version.as_ref().unwrap().parse::<u64>().unwrap();
        version > 0 && is_owned(pod) && is_kept(pod)
    };
    cluster
        .until::<Pod>("it is adopted", |pods| {
            pods.list().iter().any(|own| own.metadata.uid == pod.metadata.uid && has_come_back(own))
        })
        .await;

    let released = Patch::Merge(json!({"metadata": {"labels": null}}));
    api.patch(&name, &PatchParams::default(), &released).await.unwrap();
    cluster
        .until::<Pod>("it is released, and there is another", |pods| {
            let list = pods.list();
            let (own, others): (Vec<_>, Vec<_>) = list.iter().partition(|own| own.metadata.uid == pod.metadata.uid);
            own.iter().all(|own| !is_owned(own) && !is_kept(own)) && others.len() == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_ended_goes_with_its_pods() {
    let cluster = Cluster::start("--leader-elect=false --controllers=job,garbagecollector,ttl-after-finished").await;
    create_job(&cluster, "exits:0", json!({"completions": 2, "ttlSecondsAfterFinished": 2})).await;
    cluster.until("completion", |jobs| reason(jobs, "Complete").is_some()).await;
    cluster.until::<Job>("the job goes", Store::is_empty).await;
    cluster.until::<Pod>("no pods", |pods| pods.is_empty()).await;
}

/// How pods ended, by uid, whether or not they are still there.
fn endings(cluster: &Cluster) -> Arc<Mutex<HashMap<String, String>>> {
    let endings: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let seen = Arc::clone(&endings);
    cluster.informers.of::<Pod>().on_event(move |event| {
        let (Event::Added(pod) | Event::Updated { new: pod, .. } | Event::Deleted(pod)) = event;
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        if phase == "Succeeded" || phase == "Failed" {
            seen.lock().unwrap().insert(pod.metadata.uid.clone().unwrap(), phase);
        }
    });
    endings
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_is_counted_once_while_the_controller_dies() {
    let all = json!({"completions": 20, "parallelism": 6, "backoffLimit": 1000});
    let mut indexed = all.clone();
    indexed["completionMode"] = "Indexed".into();
    let mut by_index = indexed.clone();
    by_index["backoffLimitPerIndex"] = 1000.into();
    for spec in [all, indexed, by_index] {
        let mut cluster = Cluster::start(CONTROLLERS).await;
        let endings = endings(&cluster);
        create_job(&cluster, "exits:sometimes", spec.clone()).await;
        cluster.until_despite_restarts::<Job>("completion", |jobs| reason(jobs, "Complete").is_some()).await;
        let jobs = cluster.informers.of::<Job>();
        cluster.until::<Pod>("all pods are let go", |pods| all_counted(jobs.store(), pods)).await;
        let status = status(jobs.store());
        let endings = endings.lock().unwrap();
        let count = |phase: &str| i32::try_from(endings.values().filter(|own| *own == phase).count()).unwrap();
        assert_eq!(status.failed.unwrap_or(0), count("Failed"), "{spec}");
        // What a controller asked for when it died may come when the next one has asked for the same.
        let succeeded = count("Succeeded");
        let counted = if spec.get("completionMode").is_some() { succeeded.min(20) } else { succeeded };
        assert_eq!(status.succeeded, Some(counted), "{spec}");
        assert!((20..=24).contains(&succeeded), "{succeeded} {spec}");
        let indexes = (spec.get("completionMode").is_some()).then(|| "0-19".to_owned());
        assert_eq!(status.completed_indexes, indexes, "{spec}");
    }
}
