//! `rollout history`, and the revisions that a workload has had.

use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::{Which, template_text};
use crate::{
    api::Api,
    commands::{
        create::plain_resource,
        objects::{Found, each},
        pods, query,
        writing::Printing,
    },
    connection::GlobalFlags,
    error::{Error, Result},
    strategic,
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// What to show.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    which: Which,
    /// Show this revision's pod template
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    revision: i64,
    #[command(flatten)]
    printing: Printing,
}

/// A revision: the object that keeps it.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Its number.
    pub number: i64,
    /// A replica set or a controller revision.
    pub object: Value,
}

impl Revision {
    /// The pod template that the workload had.
    #[must_use]
    pub fn template(&self, workload: &Value) -> Value {
        if self.object["data"].is_null() {
            return self.object["spec"]["template"].clone();
        }
        let mut then = workload.clone();
        strategic::apply(&mut then, &self.object["data"]);
        then["spec"]["template"].take()
    }

    fn cause(&self) -> &str {
        self.object["metadata"]["annotations"][CHANGE_CAUSE].as_str().unwrap_or("<none>")
    }
}

/// The revisions of a workload, oldest first.
///
/// # Errors
/// When its kind has none, or the server refuses.
pub async fn revisions(api: &Api, found: &Found) -> Result<Vec<Revision>> {
    let of_deployment = match found.resource.kind.as_str() {
        "Deployment" => true,
        "DaemonSet" | "StatefulSet" => false,
        kind => return Err(Error::usage(format!("no history viewer has been implemented for {kind:?}"))),
    };
    let plural = if of_deployment { "replicasets" } else { "controllerrevisions" };
    let namespace = found.namespace.as_deref().unwrap_or(&api.namespace);
    let query = query(&[("labelSelector", pods::selector(&found.object).as_deref())]);
    let mut list = api.get(&format!("/apis/apps/v1/namespaces/{namespace}/{plural}?{query}")).await?;
    let Value::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    let uid = &found.object["metadata"]["uid"];
    let owned = |item: &Value| {
        item["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
    };
    let kind = if of_deployment { "ReplicaSet" } else { "ControllerRevision" };
    let numbered = |mut item: Value| {
        let number = match of_deployment {
            true => item["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok()),
            false => item["revision"].as_i64(),
        };
        item["apiVersion"] = "apps/v1".into();
        item["kind"] = kind.into();
        number.map(|number| Revision { number, object: item })
    };
    let mut revisions: Vec<Revision> = items.into_iter().filter(owned).filter_map(numbered).collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}

/// Runs the command.
///
/// # Errors
/// When there is no such workload or revision.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    if flags.revision < 0 {
        return Err(Error::usage(format!("revision must be a positive integer: {}", flags.revision)));
    }
    let found = flags.which.find(api, global).await?;
    each(found, async |found| {
        let revisions = revisions(api, &found).await?;
        if flags.printing.asked() { flags.print_objects(&revisions) } else { flags.show(&found, &revisions) }
    })
    .await
}

impl Flags {
    fn print_objects(&self, revisions: &[Revision]) -> Result<()> {
        for revision in revisions.iter().filter(|known| self.revision == 0 || known.number == self.revision) {
            let resource = Arc::new(plain_resource(&revision.object));
            self.printing.print(&resource, &revision.object, "")?;
        }
        Ok(())
    }

    fn show(&self, found: &Found, revisions: &[Revision]) -> Result<()> {
        let with = if self.revision > 0 { format!("with revision #{}", self.revision) } else { String::new() };
        let text = match (revisions, self.revision) {
            ([], _) => "No rollout history found.".to_owned(),
            (revisions, 0) => table(revisions),
            (revisions, wanted) => {
                let revision = revisions.iter().find(|known| known.number == wanted);
                let revision = revision.ok_or_else(|| Error::usage("unable to find the specified revision"))?;
                template_text::of(&revision.template(&found.object))
            }
        };
        println!("{} {with}\n{text}", found.display());
        Ok(())
    }
}

/// Two columns, two spaces apart.
fn table(revisions: &[Revision]) -> String {
    let width =
        revisions.iter().map(|revision| revision.number.to_string().len()).max().unwrap_or(0).max("REVISION".len());
    let line = |number: &str, cause: &str| format!("{number:width$}  {cause}\n");
    let lines = revisions.iter().map(|revision| line(&revision.number.to_string(), revision.cause()));
    std::iter::once(line("REVISION", "CHANGE-CAUSE")).chain(lines).collect()
}
