//! `ctl autoscale`.

use api_types::quantity::Quantity;
use clap::Args;
use serde_json::{Value, json};

use super::{
    create::plain_resource,
    objects::{Asked, Found, each},
    writing::{SaveConfig, Writing},
};
use crate::{
    api::Api,
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
    typed,
};

/// What to scale, and between which bounds.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    /// At least so many pods
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    min: i64,
    /// At most so many pods
    #[arg(long, allow_hyphen_values = true)]
    max: Option<i64>,
    /// Target for CPU: a percentage of what is requested, or a quantity
    #[arg(long, default_value = "")]
    cpu: String,
    /// Target for memory: a percentage of what is requested, or a quantity
    #[arg(long, default_value = "")]
    memory: String,
    /// --cpu as a percentage, as before 1.34
    #[arg(long, hide = true)]
    cpu_percent: Option<i64>,
    /// The autoscaler's name; the workload's by default
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    saving: SaveConfig,
}

/// Runs the command.
///
/// # Errors
/// When the bounds make no sense, the workload cannot be scaled, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let max = flags.bounds()?;
    if flags.cpu_percent.is_some() {
        eprintln!(
            "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format (e.g., '70%' for utilization or '500m' for milliCPU)."
        );
    }
    let asked = Asked { arguments: &flags.arguments, files: Some(&flags.files), ..Asked::default() };
    if asked.is_nothing() {
        return Err(Error::usage(super::expose::NOTHING_ASKED));
    }
    let metrics = flags.metrics()?;
    let found = asked.find(api, global).await?;
    each(found, async |found| flags.create(api, global, &found, max, &metrics).await).await
}

impl Flags {
    fn bounds(&self) -> Result<i64> {
        let max = self.max.ok_or_else(|| Error::usage("required flag(s) \"max\" not set"))?;
        if max < 1 {
            return Err(Error::usage(format!("--max=MAXPODS is required and must be at least 1, max: {max}")));
        }
        if max < self.min {
            let min = self.min;
            return Err(Error::usage(format!(
                "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {min}"
            )));
        }
        Ok(max)
    }

    fn metrics(&self) -> Result<Vec<Value>> {
        let percent = self.cpu_percent.filter(|percent| *percent >= 0).map(|percent| format!("{percent}%"));
        let cpu = percent.as_deref().unwrap_or(&self.cpu);
        let wanted = [("cpu", cpu), ("memory", &self.memory)];
        wanted.into_iter().filter(|(_, target)| !target.is_empty()).map(|(name, target)| metric(name, target)).collect()
    }

    async fn create(&self, api: &Api, global: &GlobalFlags, found: &Found, max: i64, metrics: &[Value]) -> Result<()> {
        check_scalable(api, found).await?;
        let name = if self.name.is_empty() { &found.name } else { &self.name };
        let mut object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name}, "spec": {"maxReplicas": max, "metrics": metrics,
            "scaleTargetRef": {"apiVersion": found.resource.api_version(), "kind": found.resource.kind, "name": found.name}}});
        if self.min > 0 {
            object["spec"]["minReplicas"] = self.min.into();
        }
        if let Some(namespace) = &global.namespace {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        typed::complete(&mut object);
        self.saving.apply(&mut object);
        let resource = plain_resource(&object);
        if self.writing.dry_run() != DryRun::Client {
            let namespace = found.namespace.as_deref().unwrap_or(&api.namespace);
            let url = self.writing.url(&resource.collection(Some(namespace)), "kubectl-autoscale");
            object = api.post(&url, &object).await?;
        }
        self.writing.print_made(&resource, &object, "autoscaled")
    }
}

async fn check_scalable(api: &Api, found: &Found) -> Result<()> {
    match api.get(&format!("{}/scale", found.path())).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => {
            let (group, version, plural) = (&found.resource.group, &found.resource.version, &found.resource.plural);
            Err(Error::usage(format!(
                "cannot autoscale a {}: could not find scale subresource for {group}/{version}, Resource={plural} in discovery information",
                found.resource.kind
            )))
        }
        Err(error) => Err(error),
    }
}

fn metric(name: &str, target: &str) -> Result<Value> {
    let invalid = || Error::usage(format!("invalid resource {name} value: {target}"));
    let target = match target.strip_suffix('%') {
        Some(percent) => {
            let percent: i32 = percent.parse().map_err(|_| invalid())?;
            json!({"type": "Utilization", "averageUtilization": percent})
        }
        None => {
            // A number of CPU is one of thousandths.
            let plain = target.bytes().all(|byte| byte.is_ascii_digit());
            let text = if plain && name == "cpu" { format!("{target}m") } else { target.to_owned() };
            let quantity: Quantity = text.parse().map_err(|_| invalid())?;
            json!({"type": "AverageValue", "averageValue": quantity.to_string()})
        }
    };
    Ok(json!({"type": "Resource", "resource": {"name": name, "target": target}}))
}
