//! `create ingress`.

use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named, policy::number_or_text};
use crate::{
    commands::writing::Creating,
    error::{Error, Result},
    program::one_name,
};

/// `create ingress`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// HOST/PATH=SERVICE:PORT[,tls[=SECRET]]; a path that ends in * is a prefix
    #[arg(long)]
    rule: Vec<String>,
    /// SERVICE:PORT of what no rule is for
    #[arg(long)]
    default_backend: Option<String>,
    /// Ingress class
    #[arg(long)]
    class: Option<String>,
    /// KEY=VALUE
    #[arg(long)]
    annotation: Vec<String>,
    #[command(flatten)]
    creating: Creating,
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.names, "create ingress")?;
        let default = self.default_backend.as_deref().filter(|backend| !backend.is_empty());
        if self.rule.is_empty() && default.is_none() {
            return Err(Error::usage(
                "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
            ));
        }
        let rules = self.rule.iter().map(|text| Rule::parse(text)).collect::<Result<Vec<_>>>()?;
        let mut object = named("networking.k8s.io/v1", "Ingress", name);
        object["metadata"]["annotations"] = self.annotations()?;
        object["spec"] = json!({"ingressClassName": self.class, "rules": by_host(&rules), "tls": tls(&rules)});
        if let Some(default) = default {
            object["spec"]["defaultBackend"] = backend(default)
                .ok_or_else(|| Error::usage("default-backend should be in format servicename:serviceport"))?;
        }
        Ok((object, &self.creating))
    }

    fn annotations(&self) -> Result<Value> {
        let mut annotations = json!({});
        for text in &self.annotation {
            let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
                Error::usage(format!("annotation {text} is invalid and should be in format key=[value]"))
            })?;
            annotations[key] = value.into();
        }
        Ok(annotations)
    }
}

struct Rule<'a> {
    host: &'a str,
    path: Value,
    /// Whether the host is served by TLS, and with which secret's certificate.
    tls: Option<Option<&'a str>>,
}

impl<'a> Rule<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Error::usage(format!(
                "rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            ))
        })
    }

    fn read(text: &'a str) -> Option<Self> {
        let (rule, tls) = match text.rsplit_once(",tls") {
            Some((rule, "" | "=")) => (rule, Some(None)),
            Some((rule, secret)) => (rule, Some(Some(secret.strip_prefix('=')?))),
            None => (text, None),
        };
        let (place, service) = rule.rsplit_once('=')?;
        let (host, path) = place.split_at(place.find('/')?);
        let valid = |char: char| char.is_ascii_alphanumeric() || "_*-.".contains(char);
        if !host.chars().all(valid) {
            return None;
        }
        let (path, path_type) = match path.strip_suffix('*') {
            Some(prefix) => (prefix, "Prefix"),
            None => (path, "Exact"),
        };
        let path = json!({"path": path, "pathType": path_type, "backend": backend(service)?});
        Some(Self { host, path, tls })
    }
}

/// `SERVICE:PORT`.
fn backend(text: &str) -> Option<Value> {
    let (service, port) = text.split_once(':')?;
    if service.is_empty() || port.is_empty() || port.contains(':') {
        return None;
    }
    let port = number_or_text(port);
    let port = if port.is_number() { json!({"number": port}) } else { json!({"name": port}) };
    Some(json!({"service": {"name": service, "port": port}}))
}

/// One rule for each host, in the order in which they come first.
fn by_host(rules: &[Rule<'_>]) -> Vec<Value> {
    let mut hosts: Vec<(&str, Vec<Value>)> = Vec::new();
    for rule in rules {
        match hosts.iter_mut().find(|(host, _)| *host == rule.host) {
            Some((_, paths)) => paths.push(rule.path.clone()),
            None => hosts.push((rule.host, vec![rule.path.clone()])),
        }
    }
    hosts.into_iter().map(|(host, paths)| json!({"host": host, "http": {"paths": paths}})).collect()
}

/// One entry for each secret; a host is in the first that names it.
fn tls(rules: &[Rule<'_>]) -> Vec<Value> {
    let mut secrets: Vec<(&str, Vec<&str>)> = Vec::new();
    for rule in rules.iter().filter(|rule| !rule.host.is_empty()) {
        let Some(secret) = rule.tls.map(Option::unwrap_or_default) else { continue };
        if secrets.iter().any(|(_, hosts)| hosts.contains(&rule.host)) {
            continue;
        }
        match secrets.iter_mut().find(|(known, _)| *known == secret) {
            Some((_, hosts)) => hosts.push(rule.host),
            None => secrets.push((secret, vec![rule.host])),
        }
    }
    secrets.into_iter().map(|(secret, hosts)| json!({"hosts": hosts, "secretName": secret})).collect()
}
