//! `ctl cluster-info`.

use crate::{api::Api, error::Result};

/// Names the control plane's address, and the services that call themselves part of the cluster.
///
/// # Errors
/// When the server cannot be reached.
pub async fn run(api: &Api) -> Result<()> {
    let query = super::query(&[("labelSelector", Some("kubernetes.io/cluster-service=true"))]);
    let services = api.get(&format!("/api/v1/namespaces/kube-system/services?{query}")).await?;
    let server = api.server.to_string();
    let server = server.trim_end_matches('/');
    println!("Kubernetes control plane is running at {server}");
    for service in services["items"].as_array().into_iter().flatten() {
        let metadata = &service["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let title = metadata["labels"]["kubernetes.io/name"].as_str().unwrap_or(name);
        let port = service["spec"]["ports"][0]["name"].as_str().map(|port| format!(":{port}")).unwrap_or_default();
        println!("{title} is running at {server}/api/v1/namespaces/kube-system/services/{name}{port}/proxy");
    }
    Ok(())
}
