//! `KubeletConfiguration`, the modern spelling of many flags. Fields that mean nothing here are named in a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use component::flags::duration;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The fields that mean something.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeletConfiguration {
    /// `kubelet.config.k8s.io/v1beta1`.
    pub api_version: String,
    /// `KubeletConfiguration`.
    pub kind: String,
    /// `--pod-manifest-path`.
    pub static_pod_path: Option<PathBuf>,
    /// `--manifest-url`.
    #[serde(rename = "staticPodURL")]
    pub static_pod_url: Option<String>,
    /// `--address`.
    pub address: Option<std::net::IpAddr>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--healthz-port`.
    pub healthz_port: Option<u16>,
    /// `--healthz-bind-address`.
    pub healthz_bind_address: Option<std::net::IpAddr>,
    /// `--tls-cert-file`.
    pub tls_cert_file: Option<PathBuf>,
    /// `--tls-private-key-file`.
    pub tls_private_key_file: Option<PathBuf>,
    /// `--rotate-certificates`.
    pub rotate_certificates: Option<bool>,
    /// `--rotate-server-certificates`.
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: Option<bool>,
    /// `--profiling`.
    pub enable_profiling_handler: Option<bool>,
    /// Who is let in to the kubelet's API.
    pub authentication: Authentication,
    /// What they may do there.
    pub authorization: Authorization,
    /// `--cluster-dns`.
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    /// `--cluster-domain`.
    pub cluster_domain: Option<String>,
    /// `--resolv-conf`.
    pub resolv_conf: Option<PathBuf>,
    /// `--container-runtime-endpoint`.
    #[serde(deserialize_with = "given")]
    pub container_runtime_endpoint: Option<String>,
    /// `--image-service-endpoint`.
    pub image_service_endpoint: Option<String>,
    /// `--pod-cidr`.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    /// `--register-node`.
    pub register_node: Option<bool>,
    /// `--max-pods`.
    pub max_pods: Option<i64>,
    /// `--system-reserved`.
    pub system_reserved: BTreeMap<String, String>,
    /// `--kube-reserved`.
    pub kube_reserved: BTreeMap<String, String>,
    /// `--node-status-update-frequency`.
    #[serde(deserialize_with = "given")]
    pub node_status_update_frequency: Option<String>,
    /// `--node-status-report-frequency`.
    #[serde(deserialize_with = "given")]
    pub node_status_report_frequency: Option<String>,
    /// `--pod-logs-dir`.
    pub pod_logs_dir: Option<PathBuf>,
    /// `--eviction-hard`.
    pub eviction_hard: Option<BTreeMap<String, String>>,
    /// `--eviction-soft`.
    pub eviction_soft: BTreeMap<String, String>,
    /// `--eviction-soft-grace-period`.
    pub eviction_soft_grace_period: BTreeMap<String, String>,
    /// `--eviction-max-pod-grace-period`.
    pub eviction_max_pod_grace_period: Option<u32>,
    /// `--eviction-pressure-transition-period`.
    #[serde(deserialize_with = "given")]
    pub eviction_pressure_transition_period: Option<String>,
    /// `--allowed-unsafe-sysctls`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// `--provider-id`.
    #[serde(rename = "providerID")]
    pub provider_id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub ignored: BTreeMap<String, Value>,
}

/// Who is let in to the kubelet's API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Authentication {
    /// Client certificates.
    pub x509: X509,
    /// Tokens that the API server knows.
    pub webhook: TokenWebhook,
    /// Nobody in particular.
    pub anonymous: Anonymous,
}

/// Client certificates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct X509 {
    /// `--client-ca-file`.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: Option<PathBuf>,
}

/// Tokens that the API server knows.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TokenWebhook {
    /// `--authentication-token-webhook`.
    pub enabled: Option<bool>,
    /// `--authentication-token-webhook-cache-ttl`.
    #[serde(rename = "cacheTTL", deserialize_with = "given")]
    pub cache_ttl: Option<String>,
}

/// What they may do there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Authorization {
    /// `--authorization-mode`.
    pub mode: Option<String>,
    /// How long the API server's answers hold.
    pub webhook: AccessWebhook,
}

/// How long the API server's answers hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AccessWebhook {
    /// `--authorization-webhook-cache-authorized-ttl`.
    #[serde(rename = "cacheAuthorizedTTL", deserialize_with = "given")]
    pub cache_authorized_ttl: Option<String>,
    /// `--authorization-webhook-cache-unauthorized-ttl`.
    #[serde(rename = "cacheUnauthorizedTTL", deserialize_with = "given")]
    pub cache_unauthorized_ttl: Option<String>,
}

/// Nobody in particular.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Anonymous {
    /// `--anonymous-auth`.
    pub enabled: Option<bool>,
}

/// Nothing and a duration of zero mean the default: programs that write such files fill in every field.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty() && !duration(text).is_ok_and(|duration| duration.is_zero())))
}

/// Whether a field says nothing: its default is written out, as such programs do.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || duration(text).is_ok_and(|duration| duration.is_zero()),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

/// Reads a configuration file.
///
/// # Errors
/// When it cannot be read or is something else, in words.
pub fn read(path: &Path) -> Result<KubeletConfiguration, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--config {}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("--config {}: {error}", path.display()))
}

fn parse(text: &str) -> Result<KubeletConfiguration, String> {
    let value = api_types::yaml::from_str(text).map_err(|error| error.to_string())?;
    let config: KubeletConfiguration = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if config.kind != "KubeletConfiguration" {
        return Err(format!("is a {:?}, not a KubeletConfiguration", config.kind));
    }
    for (field, _) in config.ignored.iter().filter(|(_, value)| !is_zero(value)) {
        tracing::warn!(field, "this field of the KubeletConfiguration is ignored");
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read_and_others_refused() {
        let text = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\nclusterDNS: [10.96.0.10]\n\
            staticPodPath: /m\nauthentication: {anonymous: {enabled: false}}\nimageGCHighThresholdPercent: 90\n";
        let config = parse(text).unwrap();
        assert_eq!(config.cluster_dns, ["10.96.0.10"]);
        assert_eq!(config.authentication.anonymous.enabled, Some(false));
        assert!(config.ignored.contains_key("imageGCHighThresholdPercent"));
        assert!(parse("kind: Pod").is_err() && parse("[").is_err() && parse("kind: 3\nport: x").is_err());
    }

    #[test]
    fn what_kubeadm_writes_means_the_defaults() {
        let text = "kind: KubeletConfiguration\nauthentication: {webhook: {cacheTTL: 0s, enabled: true}}\n\
            containerRuntimeEndpoint: ''\nnodeStatusUpdateFrequency: 0s\nevictionPressureTransitionPeriod: 0s\n\
            logging: {flushFrequency: 0, options: {json: {infoBufferSize: '0'}}, verbosity: 0}\nmemorySwap: {}\n\
            rotateCertificates: true\nsyncFrequency: 0s\n";
        let config = parse(text).unwrap();
        assert_eq!((config.container_runtime_endpoint, config.node_status_update_frequency), (None, None));
        assert_eq!((config.eviction_pressure_transition_period, config.authentication.webhook.cache_ttl), (None, None));
        assert_eq!(config.rotate_certificates, Some(true));
        assert!(is_zero(&config.ignored["memorySwap"]) && is_zero(&config.ignored["syncFrequency"]));
    }
}
