//! `ctl rollout status|history|undo|restart|pause|resume`, for deployments.

use api_types::{
    apps::{Deployment, ReplicaSet},
    codec::{FromJson, ToJson},
    jiff::Timestamp,
};
use clap::{Args, Subcommand};
use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::{Value, json};

use super::{pods, query};
use crate::{
    api::{Api, PatchType},
    dry_run::{self, DryRun},
    error::{Error, Result},
    output::{Format, print_result, tabs::Tabs},
    resources::{Catalog, Target},
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Wait until the rollout is complete
    Status(Status),
    /// Show revisions
    History(Revision),
    /// Go back to a revision
    Undo(Undo),
    /// Roll every pod anew
    Restart(Which),
    /// Hold a rollout
    Pause(Which),
    /// Go on with a rollout
    Resume(Which),
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// deployment NAME or deployment/NAME
    arguments: Vec<String>,
}

#[derive(Args, Clone, Debug)]
struct Status {
    #[command(flatten)]
    which: Which,
    /// Return only when it is complete
    #[arg(short, long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    watch: bool,
    /// Give up after this long; 0 means never
    #[arg(long, default_value = "0", value_parser = component::flags::duration)]
    timeout: std::time::Duration,
}

#[derive(Args, Clone, Debug)]
struct Revision {
    #[command(flatten)]
    which: Which,
    /// Show this revision's pod template
    #[arg(long)]
    revision: Option<i64>,
}

#[derive(Args, Clone, Debug)]
struct Undo {
    #[command(flatten)]
    which: Which,
    /// The revision; 0 means the one before
    #[arg(long, default_value_t = 0)]
    to_revision: i64,
    #[command(flatten)]
    dry_run: dry_run::Flag,
}

/// Runs the command.
///
/// # Errors
/// When there is no such deployment or revision, or the rollout fails.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let which = match &flags.verb {
        Verb::Status(status) => &status.which,
        Verb::History(history) => &history.which,
        Verb::Undo(undo) => &undo.which,
        Verb::Restart(which) | Verb::Pause(which) | Verb::Resume(which) => which,
    };
    let catalog = Catalog::discover(api).await?;
    for target in catalog.targets(&which.arguments)? {
        if target.resource.kind != "Deployment" || target.name.is_none() {
            return Err(Error::usage("rollout knows deployments only: deployment/NAME"));
        }
        match &flags.verb {
            Verb::Status(status) => wait(api, &target, status).await?,
            Verb::History(history) => show_history(api, &target, history.revision).await?,
            Verb::Undo(to) => undo(api, &target, to).await?,
            Verb::Restart(_) => restart(api, &target).await?,
            Verb::Pause(_) => {
                pause(api, &target, json!(true), "paused").await?;
            }
            Verb::Resume(_) => {
                pause(api, &target, Value::Null, "resumed").await?;
            }
        }
    }
    Ok(())
}

async fn wait(api: &Api, target: &Target, status: &Status) -> Result<()> {
    if status.timeout.is_zero() {
        return follow(api, target, status.watch).await;
    }
    let followed = tokio::time::timeout(status.timeout, follow(api, target, status.watch)).await;
    followed.unwrap_or_else(|_| Err(Error::usage("timed out waiting for the condition")))
}

async fn follow(api: &Api, target: &Target, watch: bool) -> Result<()> {
    let mut said = String::new();
    loop {
        let object = api.get(&target.path(Some(&api.namespace))).await?;
        if report(&parse(&object)?, &mut said)? || !watch {
            return Ok(());
        }
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let name = target.name.as_deref().unwrap_or_default();
        let collection = target.resource.collection(Some(&api.namespace));
        let url = format!("{collection}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}");
        let mut lines = api.stream(&url, "application/json").await?.lines();
        while let Some(line) = lines.try_next().await.map_err(|error| Error::Unreachable(error.to_string()))? {
            let event: Value = serde_json::from_str(&line).map_err(|error| Error::Unreachable(error.to_string()))?;
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") if report(&parse(&event["object"])?, &mut said)? => return Ok(()),
                Some("DELETED") => return Err(Error::usage("object has been deleted")),
                Some("ERROR") => break,
                _ => {}
            }
        }
    }
}

/// Prints how far the rollout is, when that is news; whether it is complete.
fn report(deployment: &Deployment, said: &mut String) -> Result<bool> {
    let (message, complete) = progress(deployment)?;
    if *said != message {
        println!("{message}");
        *said = message;
    }
    Ok(complete)
}

/// kubectl's words for how far a rollout is, and whether it is complete.
fn progress(deployment: &Deployment) -> Result<(String, bool)> {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    if deployment.metadata.generation > status.observed_generation {
        return Ok(("Waiting for deployment spec update to be observed...".to_owned(), false));
    }
    let timed_out = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    if timed_out {
        return Err(Error::usage(format!("deployment {name:?} exceeded its progress deadline")));
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    let replicas = status.replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
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

/// The deployment's replica sets by revision.
async fn revisions(api: &Api, target: &Target) -> Result<(Value, Vec<(i64, ReplicaSet)>)> {
    let object = api.get(&target.path(Some(&api.namespace))).await?;
    let selector = pods::selector(&object);
    let query = query(&[("labelSelector", selector.as_deref())]);
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets?{query}", api.namespace);
    let mut list = api.get(&path).await?;
    let Value::Array(items) = list["items"].take() else { return Ok((object, Vec::new())) };
    let mut revisions = Vec::new();
    for item in items {
        let owners = item["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let owned = owners.into_iter().any(|owner| owner["uid"] == object["metadata"]["uid"]);
        let revision = item["metadata"]["annotations"][REVISION].as_str().and_then(|revision| revision.parse().ok());
        if let (true, Some(revision)) = (owned, revision) {
            revisions.push((revision, parse(&item)?));
        }
    }
    revisions.sort_by_key(|(revision, _)| *revision);
    Ok((object, revisions))
}

async fn show_history(api: &Api, target: &Target, revision: Option<i64>) -> Result<()> {
    let (_, revisions) = revisions(api, target).await?;
    if let Some(wanted) = revision {
        let (_, set) = find(&revisions, wanted)?;
        println!("{} with revision #{wanted}", target.display());
        let template =
            set.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(ToJson::to_tree).unwrap_or_default();
        print!("{}", crate::output::render(&Format::Yaml, &template)?);
        return Ok(());
    }
    println!("{} ", target.display());
    let mut tabs = Tabs::default();
    tabs.line(["REVISION", "CHANGE-CAUSE"]);
    for (revision, set) in &revisions {
        let cause = set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CHANGE_CAUSE));
        tabs.line([revision.to_string(), cause.cloned().unwrap_or_else(|| "<none>".to_owned())]);
    }
    println!("{}", tabs.render());
    Ok(())
}

fn find(revisions: &[(i64, ReplicaSet)], wanted: i64) -> Result<&(i64, ReplicaSet)> {
    let found = revisions.iter().find(|(revision, _)| *revision == wanted);
    found.ok_or_else(|| Error::usage(format!("unable to find specified revision {wanted} in history")))
}

async fn undo(api: &Api, target: &Target, flags: &Undo) -> Result<()> {
    let (to, dry_run) = (flags.to_revision, flags.dry_run.dry_run);
    let (object, revisions) = revisions(api, target).await?;
    if object["spec"]["paused"] == true {
        return Err(Error::usage("cannot undo a paused deployment; resume it first with 'ctl rollout resume'"));
    }
    let set = match (to, revisions.as_slice()) {
        (0, [.., (_, previous), _]) => previous,
        (0, _) => return Err(Error::usage(format!("no rollout history found for {}", target.display()))),
        (wanted, known) => &find(known, wanted)?.1,
    };
    let mut template =
        set.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(ToJson::to_tree).unwrap_or_default();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(TEMPLATE_HASH);
    }
    if template == object["spec"]["template"] {
        println!("{} skipped rollback (current template already matches revision {to})", target.display());
        return Ok(());
    }
    let patch_body = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    patch(api, target, dry_run, PatchType::Json, &patch_body, "rolled back").await
}

async fn restart(api: &Api, target: &Target) -> Result<()> {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let body = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    patch(api, target, DryRun::None, PatchType::Strategic, &body, "restarted").await
}

async fn pause(api: &Api, target: &Target, paused: Value, said: &str) -> Result<()> {
    patch(api, target, DryRun::None, PatchType::Merge, &json!({"spec": {"paused": paused}}), said).await
}

async fn patch(
    api: &Api,
    target: &Target,
    dry_run: DryRun,
    patch_type: PatchType,
    body: &Value,
    said: &str,
) -> Result<()> {
    let after = api.patch(&dry_run.ask(&target.path(Some(&api.namespace))), patch_type, body).await?;
    print_result(&Format::Human, &target.resource, &after, &dry_run.say(said))
}

fn parse<T: FromJson>(object: &Value) -> Result<T> {
    T::from_tree(object).map_err(|error| Error::usage(format!("unexpected object: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_as_kubectl_tells_it() {
        let deployment = |generation: i64, updated: i32, replicas: i32, available: i32| -> Deployment {
            parse(&json!({"metadata": {"name": "web", "generation": generation}, "spec": {"replicas": 3, "selector": {}, "template": {}},
                "status": {"observedGeneration": 2, "updatedReplicas": updated, "replicas": replicas, "availableReplicas": available}}))
            .unwrap()
        };
        let cases = [
            (deployment(3, 0, 0, 0), "Waiting for deployment spec update to be observed...", false),
            (
                deployment(2, 1, 4, 3),
                "Waiting for deployment \"web\" rollout to finish: 1 out of 3 new replicas have been updated...",
                false,
            ),
            (
                deployment(2, 3, 4, 3),
                "Waiting for deployment \"web\" rollout to finish: 1 old replicas are pending termination...",
                false,
            ),
            (
                deployment(2, 3, 3, 2),
                "Waiting for deployment \"web\" rollout to finish: 2 of 3 updated replicas are available...",
                false,
            ),
            (deployment(2, 3, 3, 3), "deployment \"web\" successfully rolled out", true),
        ];
        for (deployment, message, complete) in cases {
            assert_eq!(progress(&deployment).unwrap(), (message.to_owned(), complete));
        }
    }
}
