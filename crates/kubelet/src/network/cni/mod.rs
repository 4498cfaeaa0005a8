//! `--network-plugin=cni`: programs of others connect the pods, as a configuration in `--cni-conf-dir` says
//! (<https://www.cni.dev/docs/spec/>).
//!
//! What was done to a sandbox is remembered together with the configuration by which it was done, so that it is taken
//! back the same way when the configuration is another by then, or the kubelet was restarted.

mod configuration;
mod namespace;
mod plugin;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use ipnet::IpNet;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::configuration::{Network, plugin_type};
use self::namespace::{Identity, Namespace};
use self::plugin::{Call, Operation};
use super::records::{self, Records};
use super::{HostPort, NetworkError, PodIps, PodNetwork, Result};
use crate::news::News;
use crate::runtime::{PodIdentity, SandboxId, SandboxStatus};

/// Where things are.
#[derive(Debug, Clone)]
pub struct CniConfig {
    /// Where the administrator puts configurations.
    pub configurations: PathBuf,
    /// Where plugins are; the first that has one counts.
    pub plugins: Vec<PathBuf>,
    /// Where is remembered what was done.
    pub state: PathBuf,
}

/// The plugins' side.
pub struct Cni {
    config: CniConfig,
    records: Mutex<Records<Record>>,
    /// The node's, for plugins that want to be told.
    cidrs: Mutex<Vec<IpNet>>,
    /// Of the configurations; `None` while there is no directory of them.
    news: tokio::sync::Mutex<Option<News>>,
}

/// What was done to a sandbox.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Record {
    sandbox: SandboxId,
    pod: PodIdentity,
    network: Network,
    namespace: Identity,
    /// What plugins were told of it, by capability.
    runtime: Map<String, Value>,
    /// What came of it; `None` while it is being done.
    result: Option<Value>,
}

impl records::Record for Record {
    fn sandbox(&self) -> &SandboxId {
        &self.sandbox
    }
}

impl Record {
    fn addresses(&self) -> PodIps {
        self.result.as_ref().map(addresses).unwrap_or_default()
    }

    fn arguments(&self) -> String {
        let PodIdentity { uid, namespace, name } = &self.pod;
        let sandbox = &self.sandbox;
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={sandbox};K8S_POD_UID={uid}"
        )
    }
}

impl Cni {
    /// Reads back what was done before a restart.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn new(config: CniConfig) -> Result<Self> {
        let records = Mutex::new(Records::open(&config.state)?);
        Ok(Self { config, records, cidrs: Mutex::default(), news: tokio::sync::Mutex::default() })
    }

    fn network(&self) -> Result<Network> {
        let directory = &self.config.configurations;
        let found = Network::first(directory);
        let found = found.map_err(|source| NetworkError::State { path: directory.display().to_string(), source })?;
        found.ok_or_else(|| NetworkError::NotMade(UNCONFIGURED.to_owned()))
    }

    /// What plugins can be told of a sandbox that say that they understand it.
    fn runtime(&self, ports: &[HostPort]) -> Map<String, Value> {
        let mut runtime = Map::new();
        if !ports.is_empty() {
            runtime.insert("portMappings".to_owned(), ports.iter().map(port_mapping).collect());
        }
        let ranges: Vec<Value> = self.cidrs.lock().iter().map(|cidr| json!([{"subnet": cidr.to_string()}])).collect();
        if !ranges.is_empty() {
            runtime.insert("ipRanges".to_owned(), ranges.into());
        }
        runtime
    }

    /// Asks each plugin in turn to connect the sandbox; the last one's answer is the result.
    async fn add(&self, record: &Record, namespace: &Namespace) -> Result<Value> {
        let (path, arguments) = (namespace.path(), record.arguments());
        let call = self.call(Operation::Add, record, &path, &arguments);
        let mut result = None;
        for plugin in &record.network.plugins {
            let input = record.network.input(plugin, &record.runtime, result.as_ref());
            result = Some(call.run(plugin_type(plugin), &input).await?);
        }
        Ok(result.unwrap_or_default())
    }

    /// Asks each plugin to disconnect it, the last one first.
    async fn delete(&self, record: &Record) -> Result<()> {
        let namespace = Namespace::again(record.namespace);
        let (path, arguments) = (namespace.as_ref().map(Namespace::path).unwrap_or_default(), record.arguments());
        let call = self.call(Operation::Delete, record, &path, &arguments);
        let result = record.result.as_ref().filter(|_| record.network.tells_result());
        for plugin in record.network.plugins.iter().rev() {
            call.run(plugin_type(plugin), &record.network.input(plugin, &record.runtime, result)).await?;
        }
        Ok(())
    }

    fn call<'a>(
        &'a self,
        operation: Operation,
        record: &'a Record,
        namespace: &'a str,
        arguments: &'a str,
    ) -> Call<'a> {
        Call { operation, container: record.sandbox.as_str(), namespace, arguments, directories: &self.config.plugins }
    }

    fn record(&self, sandbox: &SandboxId) -> Option<Record> {
        self.records.lock().get(sandbox).cloned()
    }
}

/// Upstream's words.
const UNCONFIGURED: &str = "docker: network plugin is not ready: cni config uninitialized";

#[async_trait]
impl PodNetwork for Cni {
    async fn set_pod_cidrs(&self, cidrs: &[IpNet]) -> Result<()> {
        cidrs.clone_into(&mut self.cidrs.lock());
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        let mut news = self.news.lock().await;
        if news.is_none() {
            *news = News::of(&self.config.configurations).ok();
        }
        self.network().map(drop)
    }

    async fn changed(&self) {
        let mut news = self.news.lock().await;
        let Some(watch) = news.as_mut() else { return std::future::pending().await };
        if watch.wait().await.is_err() {
            *news = None;
        }
    }

    async fn set_up(&self, pod: &PodIdentity, sandbox: &SandboxStatus, host_ports: &[HostPort]) -> Result<PodIps> {
        let connected = self.record(&sandbox.id).map(|record| record.addresses()).unwrap_or_default();
        if !connected.is_empty() {
            return Ok(connected);
        }
        // What was begun and not finished is taken back.
        self.tear_down(&sandbox.id).await?;
        let gone = |_: io::Error| NetworkError::SandboxGone(sandbox.id.0.clone());
        let pid = sandbox.pid.ok_or_else(|| NetworkError::SandboxGone(sandbox.id.0.clone()))?;
        let namespace = Namespace::of(pid).map_err(gone)?;
        let mut record = Record {
            sandbox: sandbox.id.clone(),
            pod: pod.clone(),
            network: self.network()?,
            namespace: namespace.identity(),
            runtime: self.runtime(host_ports),
            result: None,
        };
        self.records.lock().insert(record.clone())?;
        record.result = Some(self.add(&record, &namespace).await?);
        let addresses = record.addresses();
        if addresses.is_empty() {
            return Err(NetworkError::NotMade(format!("network {:?} gave no address", record.network.name)));
        }
        self.records.lock().insert(record)?;
        Ok(addresses)
    }

    async fn pod_ips(&self, sandbox: &SandboxStatus) -> Result<PodIps> {
        Ok(self.record(&sandbox.id).map(|record| record.addresses()).unwrap_or_default())
    }

    async fn tear_down(&self, sandbox: &SandboxId) -> Result<()> {
        let Some(record) = self.record(sandbox) else { return Ok(()) };
        self.delete(&record).await?;
        self.records.lock().remove(sandbox)
    }

    async fn connected(&self) -> Vec<SandboxId> {
        self.records.lock().iter().map(|record| record.sandbox.clone()).collect()
    }
}

fn port_mapping(port: &HostPort) -> Value {
    let mut mapping = json!({
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol.as_str(),
    });
    if let Some(ip) = port.host_ip {
        mapping["hostIP"] = ip.to_string().into();
    }
    mapping
}

/// The addresses of a result: a list of them, or, before 0.3.0, one of each family.
fn addresses(result: &Value) -> PodIps {
    let list = result["ips"].as_array().into_iter().flatten().map(|ip| &ip["address"]);
    let old = [&result["ip4"]["ip"], &result["ip6"]["ip"]];
    let texts = list.chain(old).filter_map(Value::as_str);
    let mut addresses: Vec<IpAddr> =
        texts.filter_map(|text| text.split_once('/').map_or(text, |(address, _)| address).parse().ok()).collect();
    let mut seen = Vec::new();
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    addresses
}

#[cfg(test)]
mod tests;
