//! `ctl expose`: a service for what has pods.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    create::plain_resource,
    objects::{Asked, Found, each},
    overrides::Overrides,
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

/// What to expose, and how.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    saving: SaveConfig,
}

/// The service.
#[derive(Args, Clone, Debug, Default)]
struct Service {
    /// The service's name; the workload's by default
    #[arg(long, default_value = "")]
    name: String,
    /// The service's ports; the container's by default
    #[arg(long, default_value = "")]
    port: String,
    /// The container's port, by number or name
    #[arg(long, default_value = "")]
    target_port: String,
    /// TCP, UDP or SCTP
    #[arg(long, default_value = "")]
    protocol: String,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName
    #[arg(long = "type", default_value = "")]
    kind: String,
    /// The address, or None for a headless service
    #[arg(long, default_value = "")]
    cluster_ip: String,
    /// A further address of the service
    #[arg(long, default_value = "")]
    external_ip: String,
    /// The load balancer's address
    #[arg(long, default_value = "")]
    load_balancer_ip: String,
    /// None or ClientIP
    #[arg(long, default_value = "")]
    session_affinity: String,
    /// Labels of the service: KEY=VALUE,…
    #[arg(short, long, default_value = "")]
    labels: String,
    /// Labels of the pods: KEY=VALUE,…
    #[arg(long, default_value = "")]
    selector: String,
}

/// kubectl's words for a command line that asks for nothing.
pub const NOTHING_ASKED: &str = "You must provide one or more resources by argument or filename.\n\
    Example resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'";

/// Runs the command.
///
/// # Errors
/// When the workload has no selector or port, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let asked = Asked { arguments: &flags.arguments, files: Some(&flags.files), ..Asked::default() };
    if asked.is_nothing() {
        return Err(Error::usage(NOTHING_ASKED));
    }
    let found = asked.find(api, global).await?;
    each(found, async |found| flags.expose(api, global, &found).await).await
}

impl Flags {
    async fn expose(&self, api: &Api, global: &GlobalFlags, found: &Found) -> Result<()> {
        let mut service = self.service.object(found)?;
        if let Some(namespace) = &global.namespace {
            service["metadata"]["namespace"] = namespace.clone().into();
        }
        self.overrides.apply(&mut service)?;
        typed::complete(&mut service);
        self.saving.apply(&mut service);
        let resource = plain_resource(&service);
        if self.writing.dry_run() != DryRun::Client {
            let namespace = found.namespace.as_deref().unwrap_or(&api.namespace);
            let url = self.writing.url(&resource.collection(Some(namespace)), "kubectl-expose");
            service = api.post(&url, &service).await?;
        }
        self.writing.print_made(&resource, &service, "exposed")
    }
}

impl Service {
    fn object(&self, found: &Found) -> Result<Value> {
        let object = &found.object;
        let selector = self.selector(found)?;
        let labels = match self.labels.as_str() {
            "" => object["metadata"]["labels"].clone(),
            labels => pairs(labels)?.into(),
        };
        let name = if self.name.is_empty() { found.name.clone() } else { self.name.clone() };
        let mut spec = json!({"selector": selector, "ports": self.ports(object)?, "type": self.kind,
            "externalIPs": some(&self.external_ip).into_iter().collect::<Vec<_>>()});
        for (field, value) in [("clusterIP", &self.cluster_ip), ("sessionAffinity", &self.session_affinity)] {
            spec[field] = value.clone().into();
        }
        if self.kind == "LoadBalancer" {
            spec["loadBalancerIP"] = self.load_balancer_ip.clone().into();
        }
        match self.session_affinity.as_str() {
            "" | "None" | "ClientIP" => {}
            other => return Err(Error::usage(format!("unknown session affinity: {other}"))),
        }
        Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec}))
    }

    fn selector(&self, found: &Found) -> Result<Value> {
        if !self.selector.is_empty() {
            return Ok(pairs(&self.selector)?.into());
        }
        selector_of(found)
    }

    /// The ports that the flags name, or those of the containers or of the service.
    fn ports(&self, object: &Value) -> Result<Vec<Value>> {
        let known = known_ports(object);
        if self.port.is_empty() {
            if known.is_empty() {
                return Err(Error::usage("couldn't find port via --port flag or introspection"));
            }
            let several = known.len() > 1;
            return Ok(known
                .iter()
                .enumerate()
                .map(|(at, (port, protocol))| self.port(at, several, *port, protocol))
                .collect());
        }
        let texts: Vec<&str> = self.port.split(',').collect();
        let mut ports = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let port = atoi(text.trim())?;
            let protocol = known.iter().find(|(known, _)| *known == port).map_or("TCP", |(_, protocol)| protocol);
            ports.push(self.port(at, texts.len() > 1, port, protocol));
        }
        Ok(ports)
    }

    fn port(&self, at: usize, several: bool, port: i64, protocol: &str) -> Value {
        let protocol = if self.protocol.is_empty() { protocol } else { &self.protocol };
        let target = match self.target_port.as_str() {
            "" => json!(port),
            target => super::create::number_or_text(target),
        };
        let mut made = json!({"port": port, "protocol": protocol, "targetPort": target});
        if several {
            made["name"] = format!("port-{}", at + 1).into();
        }
        made
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A number as Go's `strconv.Atoi` reads it.
///
/// # Errors
/// In Go's words.
pub fn atoi(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::usage(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
}

/// Labels as `--labels` has them.
///
/// # Errors
/// When a part is no pair.
pub fn pairs(text: &str) -> Result<Map<String, Value>> {
    let pair = |part: &str| {
        let pair = part.split_once('=').filter(|(key, value)| !key.is_empty() && !value.contains('='));
        pair.map(|(key, value)| (key.to_owned(), value.into()))
            .ok_or_else(|| Error::usage(format!("unexpected label spec: {part}")))
    };
    text.split(',').map(pair).collect()
}

fn selector_of(found: &Found) -> Result<Value> {
    let object = &found.object;
    let selector = &object["spec"]["selector"];
    let refuse = |why: String| {
        Err(Error::usage(format!("couldn't retrieve selectors via --selector flag or introspection: {why}")))
    };
    let selector = match found.resource.kind.as_str() {
        "Pod" if object["metadata"]["labels"].as_object().is_none_or(Map::is_empty) => {
            return refuse("the pod has no labels and cannot be exposed".to_owned());
        }
        "Pod" => &object["metadata"]["labels"],
        "Service" if selector.is_null() => return refuse("the service has no pod selector set".to_owned()),
        "Service" | "ReplicationController" => selector,
        "Deployment" | "ReplicaSet" if selector["matchExpressions"].as_array().is_some_and(|all| !all.is_empty()) => {
            return refuse(format!(
                "couldn't convert expressions - \"{}\" to map-based selector format",
                selector["matchExpressions"]
            ));
        }
        "Deployment" | "ReplicaSet" => &selector["matchLabels"],
        _ => {
            let (kind, group) = (&found.resource.kind, &found.resource.group);
            let kind = if group.is_empty() { kind.clone() } else { format!("{kind}.{group}") };
            return Err(Error::usage(format!("cannot expose a {kind}")));
        }
    };
    Ok(selector.clone())
}

/// Ports and protocols of containers or of a service.
fn known_ports(object: &Value) -> Vec<(i64, String)> {
    let read = |list: &Value, field: &str| -> Vec<(i64, String)> {
        let ports = list.as_array().into_iter().flatten();
        ports
            .filter_map(|port| Some((port[field].as_i64()?, port["protocol"].as_str().unwrap_or("TCP").to_owned())))
            .collect()
    };
    if object["kind"] == "Service" {
        return read(&object["spec"]["ports"], "port");
    }
    let spec = if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] };
    let containers = spec["containers"].as_array().into_iter().flatten();
    containers.flat_map(|container| read(&container["ports"], "containerPort")).collect()
}
