//! `ctl expose`.

use clap::Args;
use serde_json::{Value, json};

use super::create::Writing;
use crate::{
    api::Api,
    dry_run::DryRun,
    error::{Error, Result},
    output::{print_result, render},
    resources::{Catalog, Target},
};

/// What to expose, and how.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    /// The service's name; the workload's by default
    #[arg(long)]
    name: Option<String>,
    /// The service's port; the container's by default
    #[arg(long)]
    port: Option<u16>,
    /// The container's port, by number or name
    #[arg(long)]
    target_port: Option<String>,
    /// TCP, UDP or SCTP
    #[arg(long, default_value = "TCP")]
    protocol: String,
    /// ClusterIP, NodePort or LoadBalancer
    #[arg(long = "type")]
    kind: Option<String>,
    /// `None` for a headless service
    #[arg(long)]
    cluster_ip: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

/// Runs the command.
///
/// # Errors
/// When the workload has no selector or port, or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let catalog = Catalog::discover(api).await?;
    let targets = catalog.targets(&flags.arguments)?;
    let [target @ Target { name: Some(_), .. }] = targets.as_slice() else {
        return Err(Error::usage("expose needs one resource: TYPE/NAME"));
    };
    let object = api.get(&target.path(Some(&api.namespace))).await?;
    let service = flags.service(target, &object)?;
    let format = flags.writing.output.clone().unwrap_or_default();
    if let Some(format) = flags.writing.only_print() {
        print!("{}", render(format, &service)?);
        return Ok(());
    }
    let resource = catalog.find("services")?;
    let dry_run = flags.writing.dry_run();
    let url = format!("{}?fieldManager=ctl-expose", resource.collection(Some(&api.namespace)));
    let created = match dry_run {
        DryRun::Client => service,
        DryRun::None | DryRun::Server => api.post(&dry_run.ask(&url), &service).await?,
    };
    print_result(&format, &resource, &created, &dry_run.say("exposed"))
}

impl Flags {
    fn service(&self, target: &Target, object: &Value) -> Result<Value> {
        let selector = selector(&target.resource.kind, object);
        let selector = selector.ok_or_else(|| {
            Error::usage(format!(
                "couldn't retrieve selectors via --selector flag or introspection: {} cannot be exposed",
                target.display()
            ))
        })?;
        let name = self.name.clone().or_else(|| target.name.clone());
        let mut spec = json!({"selector": selector, "ports": self.ports(object)?});
        if let Some(kind) = &self.kind {
            spec["type"] = kind.clone().into();
        }
        if let Some(address) = &self.cluster_ip {
            spec["clusterIP"] = address.clone().into();
        }
        let labels = &object["metadata"]["labels"];
        Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec}))
    }

    fn ports(&self, object: &Value) -> Result<Vec<Value>> {
        let target = |port: u16| match self.target_port.as_deref() {
            None => json!(port),
            Some(text) => text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number)),
        };
        if let Some(port) = self.port {
            return Ok(vec![json!({"port": port, "protocol": self.protocol, "targetPort": target(port)})]);
        }
        let template = if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] };
        let containers = template["containers"].as_array().into_iter().flatten();
        let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
        let ports: Vec<u16> =
            ports.filter_map(|port| port["containerPort"].as_u64().and_then(|port| u16::try_from(port).ok())).collect();
        match ports.as_slice() {
            [] => Err(Error::usage("couldn't find port via --port flag or introspection")),
            [only] => Ok(vec![json!({"port": only, "protocol": self.protocol, "targetPort": target(*only)})]),
            several => Ok(several
                .iter()
                .enumerate()
                .map(|(i, port)| json!({"name": format!("port-{}", i + 1), "port": port, "protocol": self.protocol, "targetPort": target(*port)}))
                .collect()),
        }
    }
}

fn selector(kind: &str, object: &Value) -> Option<Value> {
    let selector = match kind {
        "Pod" => &object["metadata"]["labels"],
        "Service" | "ReplicationController" => &object["spec"]["selector"],
        _ if object["spec"]["selector"]["matchExpressions"].is_null() => &object["spec"]["selector"]["matchLabels"],
        _ => return None,
    };
    selector.is_object().then(|| selector.clone())
}
