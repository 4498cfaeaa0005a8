//! `create job` and `create cronjob`.

use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    api::Api,
    commands::writing::Creating,
    error::{Error, Result},
    program::{one_name, required},
    resources::Catalog,
};

/// `create job`.
#[derive(Args, Clone, Debug)]
pub struct Job {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Image
    #[arg(long)]
    image: Option<String>,
    /// cronjob/NAME whose template to take
    #[arg(long)]
    from: Option<String>,
    #[command(flatten)]
    creating: Creating,
    /// The container's command
    #[arg(last = true)]
    command: Vec<String>,
}

impl Job {
    pub(super) async fn generate(&self, api: &Api) -> Result<Generated<'_>> {
        let name = one_name(&self.names, "create job")?;
        let mut object = named("batch/v1", "Job", name);
        match (&self.image, &self.from) {
            (Some(image), None) => {
                object["spec"] = json!({"template": template(name, image, &self.command, "Never")});
            }
            (None, Some(_)) if !self.command.is_empty() => {
                return Err(Error::usage("cannot specify --from and command"));
            }
            (None, Some(from)) => take_over(&mut object, &cron_job(api, from).await?),
            _ => return Err(Error::usage("either --image or --from must be specified")),
        }
        Ok((object, &self.creating))
    }
}

async fn cron_job(api: &Api, from: &str) -> Result<Value> {
    let catalog = Catalog::discover(api).await?;
    let targets = catalog.targets(&[from.to_owned()])?;
    let [target] = targets.as_slice() else { return Err(Error::usage("from must be an existing cronjob")) };
    let object = api.get(&target.path(Some(&api.namespace))).await?;
    match target.resource.kind.as_str() {
        "CronJob" => Ok(object),
        kind => Err(Error::usage(format!("unknown object type *{}.{kind}", target.resource.version))),
    }
}

/// Makes the job one of the cron job's, started by hand.
fn take_over(job: &mut Value, cron_job: &Value) {
    let template = &cron_job["spec"]["jobTemplate"];
    job["metadata"]["annotations"] = template["metadata"]["annotations"].clone();
    job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] = "manual".into();
    job["metadata"]["labels"] = template["metadata"]["labels"].clone();
    job["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
        "name": cron_job["metadata"]["name"], "uid": cron_job["metadata"]["uid"]}]);
    job["spec"] = template["spec"].clone();
}

fn template(name: &str, image: &str, command: &[String], restart: &str) -> Value {
    json!({"spec": {"restartPolicy": restart, "containers": [{"name": name, "image": image, "command": command}]}})
}

/// `create cronjob`.
#[derive(Args, Clone, Debug)]
pub struct CronJob {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Image
    #[arg(long)]
    image: Option<String>,
    /// When it runs, as cron has it
    #[arg(long)]
    schedule: Option<String>,
    /// OnFailure or Never
    #[arg(long, default_value = "OnFailure")]
    restart: String,
    #[command(flatten)]
    creating: Creating,
    /// The container's command
    #[arg(last = true)]
    command: Vec<String>,
}

impl CronJob {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let image = required("image", self.image.as_deref())?;
        let schedule = required("schedule", self.schedule.as_deref())?;
        let name = one_name(&self.names, "create cronjob")?;
        let template = template(name, image, &self.command, &self.restart);
        let mut object = named("batch/v1", "CronJob", name);
        object["spec"] = json!({"schedule": schedule,
            "jobTemplate": {"metadata": {"name": name}, "spec": {"template": template}}});
        Ok((object, &self.creating))
    }
}
