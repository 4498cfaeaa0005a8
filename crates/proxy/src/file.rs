//! The configuration file: `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// What is read of it; other fields are accepted and ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigFile {
    /// See `--bind-address`.
    pub bind_address: String,
    /// How to reach the API server.
    pub client_connection: ClientConnection,
    /// See `--cluster-cidr`.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// Connection tracking.
    pub conntrack: Conntrack,
    /// See `--pod-bridge-interface`, `--pod-interface-name-prefix`.
    pub detect_local: DetectLocal,
    /// See `--detect-local-mode`.
    pub detect_local_mode: String,
    /// See `--healthz-bind-address`.
    pub healthz_bind_address: Option<String>,
    /// See `--hostname-override`.
    pub hostname_override: String,
    /// The iptables mode.
    pub iptables: Iptables,
    /// See `--metrics-bind-address`.
    pub metrics_bind_address: Option<String>,
    /// See `--proxy-mode`.
    pub mode: String,
    /// See `--nodeport-addresses`.
    pub node_port_addresses: Option<Vec<String>>,
}

/// `clientConnection`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClientConnection {
    /// Empty inside of a pod.
    pub kubeconfig: PathBuf,
}

/// `conntrack`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Conntrack {
    /// See `--conntrack-max-per-core`.
    pub max_per_core: Option<u32>,
    /// See `--conntrack-min`.
    pub min: Option<u32>,
    /// See `--conntrack-tcp-be-liberal`.
    pub tcp_be_liberal: Option<bool>,
    /// See `--conntrack-tcp-timeout-established`.
    #[serde(deserialize_with = "go_duration")]
    pub tcp_established_timeout: Option<Duration>,
    /// See `--conntrack-tcp-timeout-close-wait`.
    #[serde(deserialize_with = "go_duration")]
    pub tcp_close_wait_timeout: Option<Duration>,
}

/// `detectLocal`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DetectLocal {
    /// See `--pod-bridge-interface`.
    pub bridge_interface: String,
    /// See `--pod-interface-name-prefix`.
    pub interface_name_prefix: String,
}

/// `iptables`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iptables {
    /// See `--iptables-localhost-nodeports`.
    pub localhost_node_ports: Option<bool>,
    /// See `--masquerade-all`.
    pub masquerade_all: Option<bool>,
    /// See `--iptables-masquerade-bit`.
    pub masquerade_bit: Option<u8>,
    /// See `--iptables-sync-period`.
    #[serde(deserialize_with = "go_duration")]
    pub sync_period: Option<Duration>,
    /// See `--iptables-min-sync-period`.
    #[serde(deserialize_with = "go_duration")]
    pub min_sync_period: Option<Duration>,
}

fn go_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| component::flags::duration(&text).map_err(serde::de::Error::custom)).transpose()
}
