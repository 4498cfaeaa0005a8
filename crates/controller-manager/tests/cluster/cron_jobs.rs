//! Cron jobs.

use api_types::{
    batch::{CronJob, CronJobStatus, Job},
    core::Pod,
    jiff::Timestamp,
};
use component::informer::Store;
use serde_json::{Value, json};

use crate::harness::{Cluster, key};

const CONTROLLERS: &str = "--leader-elect=false --controllers=cronjob,job,garbagecollector";

/// A cron job every second, which only `@every` can say. Its jobs' names are made of minutes, so that it starts one a minute,
/// the first at once.
async fn create(cluster: &Cluster, image: &str, changes: Value) {
    let template = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]});
    let mut cron_job = json!({
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "@every 1s", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "template": {"spec": template},
        }}},
    });
    for (name, value) in changes.as_object().unwrap() {
        cron_job["spec"][name] = value.clone();
    }
    cluster.create::<CronJob>(cron_job).await;
}

fn status(cron_jobs: &Store<CronJob>) -> CronJobStatus {
    cron_jobs.get(&key("tick")).and_then(|cron_job| cron_job.status.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_started_when_its_time_comes_and_noted_when_it_ends() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create(&cluster, "runs", json!({})).await;
    cluster.until::<Job>("a job", |jobs| !jobs.is_empty()).await;
    let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    cluster.until::<Pod>("a pod runs", |pods| pods.list().iter().any(|pod| runs(pod))).await;
    cluster.until::<CronJob>("the job is noted", |cron_jobs| status(cron_jobs).active.is_some()).await;
    let pod = cluster.informers.of::<Pod>().store().list()[0].metadata.name.clone().unwrap();
    cluster.patch_pod_status(&pod, json!({"phase": "Succeeded"})).await;
    cluster
        .until::<CronJob>("a success", |cron_jobs| {
            let status = status(cron_jobs);
            status.last_successful_time.is_some() && status.last_schedule_time.is_some()
        })
        .await;
    let jobs = cluster.informers.of::<Job>();
    for job in jobs.store().list() {
        let metadata = &job.metadata;
        assert_eq!(metadata.labels.as_ref().unwrap()["a"], "b");
        let at = &metadata.annotations.as_ref().unwrap()["batch.kubernetes.io/cronjob-scheduled-timestamp"];
        let minute = at.parse::<Timestamp>().unwrap().as_second() / 60;
        assert_eq!(metadata.name.as_deref(), Some(format!("tick-{minute}").as_str()));
    }
    cluster.until_event("SuccessfulCreate", |message| message.starts_with("Created job tick-")).await;
    cluster.until_event("SawCompletedJob", |message| message.ends_with("status: Complete")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_alone_and_what_ended_is_forgotten() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create(&cluster, "runs", json!({"concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 0})).await;
    cluster
        .until::<CronJob>("a job runs", |cron_jobs| status(cron_jobs).active.is_some_and(|active| active.len() == 1))
        .await;
    assert_eq!(cluster.informers.of::<Job>().store().len(), 1);
    let job = cluster.informers.of::<Job>().store().list()[0].metadata.name.clone().unwrap();
    let pods = cluster.informers.of::<Pod>();
    cluster.until::<Pod>("a pod", |pods| pods.len() == 1).await;
    let pod = pods.store().list()[0].metadata.name.clone().unwrap();
    cluster.patch::<CronJob>("tick", json!({"spec": {"suspend": true}})).await;
    cluster.patch_pod_status(&pod, json!({"phase": "Succeeded"})).await;
    cluster.until_event("SuccessfulDelete", |message| message == format!("Deleted job {job}")).await;
    cluster.until::<Job>("no job", Store::is_empty).await;
    cluster.until::<CronJob>("nothing is active", |cron_jobs| status(cron_jobs).active.is_none()).await;
}
