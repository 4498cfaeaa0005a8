//! The configuration file: `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What every such file says of itself.
const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
const KIND: &str = "KubeProxyConfiguration";

/// Upstream's fields: section, empty for the top, and names. What stands below `*` is not looked at.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "apiVersion",
            "bindAddress",
            "bindAddressHardFail",
            "clientConnection",
            "clusterCIDR",
            "configSyncPeriod",
            "conntrack",
            "detectLocal",
            "detectLocalMode",
            "enableProfiling",
            "featureGates",
            "healthzBindAddress",
            "hostnameOverride",
            "iptables",
            "ipvs",
            "kind",
            "logging",
            "metricsBindAddress",
            "mode",
            "nftables",
            "nodePortAddresses",
            "oomScoreAdj",
            "portRange",
            "showHiddenMetricsForVersion",
            "windowsRunAsService",
            "winkernel",
        ],
    ),
    ("clientConnection", &["acceptContentTypes", "burst", "contentType", "kubeconfig", "qps"]),
    (
        "conntrack",
        &[
            "maxPerCore",
            "min",
            "tcpBeLiberal",
            "tcpCloseWaitTimeout",
            "tcpEstablishedTimeout",
            "udpStreamTimeout",
            "udpTimeout",
        ],
    ),
    ("detectLocal", &["bridgeInterface", "interfaceNamePrefix"]),
    ("iptables", &["localhostNodePorts", "masqueradeAll", "masqueradeBit", "minSyncPeriod", "syncPeriod"]),
    ("nftables", &["masqueradeAll", "masqueradeBit", "minSyncPeriod", "syncPeriod"]),
];

/// A file is not such a configuration.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It is something else.
    #[error("it must be a {KIND} of {API_VERSION}, and is a {kind:?} of {version:?}")]
    OtherKind {
        /// `kind`
        kind: String,
        /// `apiVersion`
        version: String,
    },
    /// A value is malformed.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
}

impl ConfigFile {
    /// Reads a file's content; and names the fields that nobody knows, which are ignored, as upstream does.
    ///
    /// # Errors
    /// When it is not such a configuration.
    pub fn read(value: Value) -> Result<(Self, Vec<String>), BadFile> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, version) = (text("kind"), text("apiVersion"));
        if kind != KIND || version != API_VERSION {
            return Err(BadFile::OtherKind { kind, version });
        }
        let unknown = unknown_fields(&value);
        Ok((serde_json::from_value(value)?, unknown))
    }
}

fn unknown_fields(value: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for (section, known) in FIELDS {
        let (here, path) = match *section {
            "" => (Some(value), String::new()),
            section => (value.get(section), format!("{section}.")),
        };
        let names = here.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str());
        unknown.extend(names.filter(|name| !known.contains(name)).map(|name| format!("{path}{name}")));
    }
    unknown
}

/// What is read of it.
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
    /// See `--profiling`.
    pub enable_profiling: Option<bool>,
    /// See `--healthz-bind-address`.
    pub healthz_bind_address: Option<String>,
    /// See `--hostname-override`.
    pub hostname_override: String,
    /// The iptables mode.
    pub iptables: Iptables,
    /// The nftables mode.
    pub nftables: Nftables,
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
    /// See `--conntrack-udp-timeout`.
    #[serde(deserialize_with = "go_duration")]
    pub udp_timeout: Option<Duration>,
    /// See `--conntrack-udp-timeout-stream`.
    #[serde(deserialize_with = "go_duration")]
    pub udp_stream_timeout: Option<Duration>,
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

/// `nftables`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Nftables {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<(ConfigFile, Vec<String>), BadFile> {
        ConfigFile::read(api_types::yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn unknown_fields_are_named() {
        let (file, unknown) = read(
            "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration, mode: nftables, odd: 1, \
             nftables: {masqueradeAll: true, syncPeriods: 1s}, featureGates: {Any: true}}",
        )
        .unwrap();
        assert_eq!((file.mode.as_str(), file.nftables.masquerade_all), ("nftables", Some(true)));
        assert_eq!(unknown, ["odd", "nftables.syncPeriods"]);
    }

    #[test]
    fn other_files_are_refused() {
        for (yaml, expected) in [
            ("{apiVersion: v1, kind: Config}", "it must be a KubeProxyConfiguration of"),
            ("[]", "and is a \"\" of \"\""),
            (
                "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration, conntrack: {min: x}}",
                "invalid type",
            ),
        ] {
            let error = read(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
