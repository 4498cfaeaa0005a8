//! `create service`: one sub-command a type.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    commands::writing::Creating,
    error::{Error, Result},
    program::{one_name, required},
};

/// `create service`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Clone, Debug, Subcommand)]
enum Kind {
    /// Create a ClusterIP service
    Clusterip(ClusterIp),
    /// Create an ExternalName service
    Externalname(ExternalName),
    /// Create a LoadBalancer service
    Loadbalancer(Ports),
    /// Create a NodePort service
    Nodeport(NodePort),
}

/// What every type takes.
#[derive(Args, Clone, Debug)]
struct Ports {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// PORT[:TARGETPORT]
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
    #[command(flatten)]
    creating: Creating,
}

#[derive(Args, Clone, Debug)]
struct ClusterIp {
    #[command(flatten)]
    ports: Ports,
    /// The address, or None for a headless service
    #[arg(long)]
    clusterip: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct ExternalName {
    #[command(flatten)]
    ports: Ports,
    /// The name outside of the cluster
    #[arg(long)]
    external_name: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct NodePort {
    #[command(flatten)]
    ports: Ports,
    /// The port on every node
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    node_port: i32,
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        match &self.kind {
            Kind::Clusterip(flags) => flags.generate(),
            Kind::Externalname(flags) => flags.generate(),
            Kind::Loadbalancer(ports) => Ok((ports.service("LoadBalancer", "loadbalancer")?, &ports.creating)),
            Kind::Nodeport(flags) => flags.generate(),
        }
    }
}

impl ClusterIp {
    fn generate(&self) -> Result<Generated<'_>> {
        let headless = self.clusterip.as_deref() == Some("None");
        let mut object = match headless {
            true => self.ports.portless("ClusterIP", "clusterip")?,
            false => self.ports.service("ClusterIP", "clusterip")?,
        };
        object["spec"]["clusterIP"] = self.clusterip.clone().into();
        Ok((object, &self.ports.creating))
    }
}

impl ExternalName {
    fn generate(&self) -> Result<Generated<'_>> {
        let external = required("external-name", self.external_name.as_deref())?;
        let mut object = self.ports.portless("ExternalName", "externalname")?;
        if !api_types::validation::names::dns1123_subdomain(external).is_empty() {
            return Err(Error::usage(format!("invalid service external name {external}")));
        }
        object["spec"]["externalName"] = external.into();
        Ok((object, &self.ports.creating))
    }
}

impl NodePort {
    fn generate(&self) -> Result<Generated<'_>> {
        let mut object = self.ports.service("NodePort", "nodeport")?;
        if let Some(ports) = object["spec"]["ports"].as_array_mut().filter(|_| self.node_port != 0) {
            for port in ports {
                port["nodePort"] = self.node_port.into();
            }
        }
        Ok((object, &self.ports.creating))
    }
}

impl Ports {
    /// A service that needs ports.
    fn service(&self, kind: &str, command: &str) -> Result<Value> {
        one_name(&self.names, &format!("create service {command}"))?;
        if self.tcp.is_empty() {
            return Err(Error::usage("at least one tcp port specifier must be provided"));
        }
        self.portless(kind, command)
    }

    /// A service that may have ports.
    fn portless(&self, kind: &str, command: &str) -> Result<Value> {
        let name = one_name(&self.names, &format!("create service {command}"))?;
        let ports = self.tcp.iter().map(|text| port(text)).collect::<Result<Vec<_>>>()?;
        let mut object = named("v1", "Service", name);
        object["metadata"]["labels"] = json!({"app": name});
        object["spec"] = json!({"type": kind, "selector": {"app": name}, "ports": ports});
        Ok(object)
    }
}

fn port(text: &str) -> Result<Value> {
    let mut parts = text.split(':');
    let port = number(parts.next().unwrap_or_default())?;
    let target = match parts.next() {
        None => json!(port),
        Some(target) => target_port(target)?,
    };
    Ok(json!({"name": text.replace(':', "-"), "port": port, "protocol": "TCP", "targetPort": target}))
}

/// A port as Go reads it.
fn number(text: &str) -> Result<u16> {
    let reason = match text.parse::<u128>() {
        _ if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => "invalid syntax",
        Ok(number) if number <= u128::from(u16::MAX) => {
            return Ok(u16::try_from(number).unwrap_or_default());
        }
        _ => "value out of range",
    };
    Err(Error::usage(format!("strconv.ParseUint: parsing {text:?}: {reason}")))
}

fn target_port(text: &str) -> Result<Value> {
    if let Ok(number) = text.parse::<i64>() {
        return match number {
            1..=65535 => Ok(json!(number)),
            _ => Err(Error::usage("must be between 1 and 65535, inclusive")),
        };
    }
    let faults = api_types::validation::names::port_name(text);
    if faults.is_empty() { Ok(json!(text)) } else { Err(Error::usage(faults.join(","))) }
}
