//! `rollout status`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Which;
use crate::{
    api::Api,
    commands::{
        objects::{Found, each},
        watching::{Change, Seen, follow},
    },
    connection::GlobalFlags,
    error::{Error, Result},
};

/// How to watch.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    which: Which,
    /// Return only when it is complete
    #[arg(short, long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    watch: bool,
    /// Give up after this long; 0 means never
    #[arg(long, default_value = "0", value_parser = component::flags::duration)]
    timeout: Duration,
    /// Give up when this is not the revision
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    revision: i64,
}

/// How far a rollout is, in kubectl's words, and whether it is complete.
type Progress = (String, bool);

/// Who knows how far a kind's rollout is.
type Viewer = fn(&Value, i64) -> Result<Progress>;

const VIEWERS: [(&str, Viewer); 3] =
    [("Deployment", deployment), ("DaemonSet", daemon_set), ("StatefulSet", stateful_set)];

/// Runs the command.
///
/// # Errors
/// When there is no such workload, or the rollout fails.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    if flags.revision < 0 {
        return Err(Error::usage(format!("revision must be a positive integer: {}", flags.revision)));
    }
    let found = flags.which.find(api, global).await?;
    each(found, async |found| flags.show(api, &found).await).await
}

impl Flags {
    async fn show(&self, api: &Api, found: &Found) -> Result<()> {
        let kind = found.resource.kind.as_str();
        let viewer = VIEWERS.iter().find(|(known, _)| *known == kind).map(|(_, viewer)| *viewer);
        let viewer = viewer.ok_or_else(|| Error::usage(format!("no status viewer has been implemented for {kind}")))?;
        let mut said = String::new();
        if report(viewer(&found.object, self.revision)?, &mut said) || !self.watch {
            return Ok(());
        }
        let seen = Seen {
            collection: found.resource.collection(found.namespace.as_deref()),
            name: found.name.clone(),
            object: found.object.clone(),
        };
        follow(api, &seen, self.timeout, async |change| match change {
            Change::There(object) => Ok(report(viewer(&object, self.revision)?, &mut said).then_some(())),
            Change::Gone => Err(Error::usage("object has been deleted")),
        })
        .await
    }
}

/// Prints how far the rollout is, when that is news; whether it is complete.
fn report((message, complete): Progress, said: &mut String) -> bool {
    if *said != message {
        println!("{message}");
        *said = message;
    }
    complete
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn observed(object: &Value) -> bool {
    number(&object["metadata"]["generation"]) <= number(&object["status"]["observedGeneration"])
}

fn deployment(object: &Value, revision: i64) -> Result<Progress> {
    let (name, status) = (object["metadata"]["name"].as_str().unwrap_or_default(), &object["status"]);
    if revision > 0 {
        let running = object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
        let running: i64 = running.and_then(|text| text.parse().ok()).unwrap_or(0);
        if running != revision {
            let words = format!("desired revision ({revision}) is different from the running revision ({running})");
            return Err(Error::usage(words));
        }
    }
    if !observed(object) {
        return Ok(("Waiting for deployment spec update to be observed...".to_owned(), false));
    }
    let timed_out = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded");
    if timed_out {
        return Err(Error::usage(format!("deployment {name:?} exceeded its progress deadline")));
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let (updated, replicas) = (number(&status["updatedReplicas"]), number(&status["replicas"]));
    let available = number(&status["availableReplicas"]);
    let waiting = |what: String| Ok((format!("Waiting for deployment {name:?} rollout to finish: {what}..."), false));
    if updated < wanted {
        waiting(format!("{updated} out of {wanted} new replicas have been updated"))
    } else if replicas > updated {
        waiting(format!("{} old replicas are pending termination", replicas - updated))
    } else if available < updated {
        waiting(format!("{available} of {updated} updated replicas are available"))
    } else {
        Ok((format!("deployment {name:?} successfully rolled out"), true))
    }
}

fn rolls(object: &Value) -> Result<()> {
    match object["spec"]["updateStrategy"]["type"].as_str() {
        Some("RollingUpdate") => Ok(()),
        _ => Err(Error::usage("rollout status is only available for RollingUpdate strategy type")),
    }
}

fn daemon_set(object: &Value, _: i64) -> Result<Progress> {
    rolls(object)?;
    let (name, status) = (object["metadata"]["name"].as_str().unwrap_or_default(), &object["status"]);
    if !observed(object) {
        return Ok(("Waiting for daemon set spec update to be observed...".to_owned(), false));
    }
    let desired = number(&status["desiredNumberScheduled"]);
    let (updated, available) = (number(&status["updatedNumberScheduled"]), number(&status["numberAvailable"]));
    let waiting = |what: String| Ok((format!("Waiting for daemon set {name:?} rollout to finish: {what}..."), false));
    if updated < desired {
        waiting(format!("{updated} out of {desired} new pods have been updated"))
    } else if available < desired {
        waiting(format!("{available} of {desired} updated pods are available"))
    } else {
        Ok((format!("daemon set {name:?} successfully rolled out"), true))
    }
}

fn stateful_set(object: &Value, _: i64) -> Result<Progress> {
    rolls(object)?;
    let (spec, status) = (&object["spec"], &object["status"]);
    if number(&status["observedGeneration"]) == 0 || !observed(object) {
        return Ok(("Waiting for statefulset spec update to be observed...".to_owned(), false));
    }
    let (wanted, updated) = (number(&spec["replicas"]), number(&status["updatedReplicas"]));
    let missing = wanted - number(&status["readyReplicas"]);
    if missing > 0 {
        return Ok((format!("Waiting for {missing} pods to be ready..."), false));
    }
    if let Some(partition) = spec["updateStrategy"]["rollingUpdate"]["partition"].as_i64() {
        let new = wanted - partition;
        if updated < new {
            let words = format!(
                "Waiting for partitioned roll out to finish: {updated} out of {new} new pods have been updated..."
            );
            return Ok((words, false));
        }
        return Ok((format!("partitioned roll out complete: {updated} new pods have been updated..."), true));
    }
    let revision = |field: &str| status[field].as_str().unwrap_or_default();
    let (update, current) = (revision("updateRevision"), revision("currentRevision"));
    if update != current {
        let words =
            format!("waiting for statefulset rolling update to complete {updated} pods at revision {update}...");
        return Ok((words, false));
    }
    let pods = number(&status["currentReplicas"]);
    Ok((format!("statefulset rolling update complete {pods} pods at revision {current}..."), true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_told_as_kubectl_tells_it() {
        let object = |generation: i64, updated: i32, replicas: i32, available: i32| {
            json!({"metadata": {"name": "web", "generation": generation}, "spec": {"replicas": 3},
                "status": {"observedGeneration": 2, "updatedReplicas": updated, "replicas": replicas, "availableReplicas": available}})
        };
        let rollout = "Waiting for deployment \"web\" rollout to finish:";
        let cases = [
            (object(3, 0, 0, 0), "Waiting for deployment spec update to be observed...".to_owned(), false),
            (object(2, 1, 4, 3), format!("{rollout} 1 out of 3 new replicas have been updated..."), false),
            (object(2, 3, 4, 3), format!("{rollout} 1 old replicas are pending termination..."), false),
            (object(2, 3, 3, 2), format!("{rollout} 2 of 3 updated replicas are available..."), false),
            (object(2, 3, 3, 3), "deployment \"web\" successfully rolled out".to_owned(), true),
        ];
        for (object, message, complete) in cases {
            assert_eq!(deployment(&object, 0).unwrap(), (message, complete));
        }
    }

    #[test]
    fn stateful_sets_are_told_by_partition() {
        let set = |ready: i32, updated: i32, partition: i32| {
            json!({"metadata": {"generation": 1}, "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}},
                "status": {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": updated}})
        };
        assert_eq!(stateful_set(&set(1, 0, 0), 0).unwrap().0, "Waiting for 2 pods to be ready...");
        assert_eq!(
            stateful_set(&set(3, 1, 1), 0).unwrap().0,
            "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated..."
        );
        assert_eq!(
            stateful_set(&set(3, 3, 0), 0).unwrap(),
            ("partitioned roll out complete: 3 new pods have been updated...".to_owned(), true)
        );
    }
}
