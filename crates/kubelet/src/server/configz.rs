//! `/configz`: the settings that the kubelet runs with, in the words of a configuration file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ServerState;
use crate::config::Config;
use component::duration::go_duration;

pub(super) async fn configz(State(server): State<Arc<ServerState>>) -> Json<Value> {
    Json(json!({"kubeletconfig": server.settings}))
}

/// What `/configz` tells of the settings.
#[must_use]
pub fn settings(config: &Config) -> Value {
    let node = &config.node;
    let (log_max_size, log_max_files) = config.runtime.log_limits();
    let mut told = json!({
        "address": config.listen.ip(),
        "port": config.listen.port(),
        "healthzBindAddress": config.healthz.map(|address| address.ip()),
        "healthzPort": config.healthz.map_or(0, |address| address.port()),
        "staticPodPath": config.manifests,
        "staticPodURL": config.manifest_url.as_ref().map(ToString::to_string),
        "fileCheckFrequency": go_duration(config.file_check),
        "httpCheckFrequency": go_duration(config.http_check),
        "clusterDNS": config.dns.servers,
        "clusterDomain": config.dns.domain,
        "resolvConf": config.resolv_conf,
        "maxPods": node.max_pods,
        "podCIDR": config.pod_cidrs.first().map(ToString::to_string),
        "registerNode": node.register,
        "registerWithTaints": node.taints,
        "providerID": node.provider_id,
        "nodeStatusUpdateFrequency": go_duration(node.status_update),
        "nodeStatusReportFrequency": go_duration(node.status_report),
        "containerRuntimeEndpoint": config.runtime.endpoint(),
        "imageServiceEndpoint": config.runtime.image_endpoint(),
        "containerLogMaxSize": log_max_size.to_string(),
        "containerLogMaxFiles": log_max_files,
        "enableServer": true,
    });
    if let Some(fields) = told.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && *value != json!([]));
    }
    told
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::Flags;

    #[test]
    fn settings_are_told() {
        let flags =
            ["kubelet", "--max-pods=7", "--cluster-dns=10.0.0.10", "--hostname-override=n", "--node-ip=192.0.2.1"];
        let told = settings(&Config::new(Flags::parse_from(flags)).unwrap());
        assert_eq!(
            (&told["maxPods"], &told["clusterDNS"], &told["port"]),
            (&7.into(), &json!(["10.0.0.10"]), &10250.into())
        );
        assert_eq!((&told["nodeStatusUpdateFrequency"], told.get("podCIDR")), (&"10s".into(), None));
    }
}
