//! The kubeconfig of a kubelet that has none yet: the cluster of `--bootstrap-kubeconfig`, and the certificate that will be
//! asked for.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context as _;
use api_types::jiff::Timestamp;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

/// Writes the kubeconfig, unless the one that is there is good. `current` is where its certificate and key will be.
///
/// # Errors
/// When it is needed and cannot be written, or the one to begin with cannot be read.
pub fn prepare(kubeconfig: &Path, bootstrap: &Path, current: &Path) -> anyhow::Result<()> {
    match check(kubeconfig) {
        Ok(()) => return Ok(()),
        Err(why) => tracing::info!("asking for a client certificate with {}: {why:#}", bootstrap.display()),
    }
    let begin = Kubeconfig::read_from(bootstrap)
        .with_context(|| format!("unable to load bootstrap kubeconfig {}", bootstrap.display()))?;
    let text = render(&current_cluster(&begin)?, current)?;
    write(kubeconfig, &text).with_context(|| format!("writing {}", kubeconfig.display()))
}

/// Whether a kubeconfig has a client certificate that is good.
fn check(path: &Path) -> anyhow::Result<()> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let pem = client_certificate(&current_user(&kubeconfig)?)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates?;
    anyhow::ensure!(!certificates.is_empty(), "{} has no client certificate", path.display());
    for certificate in &certificates {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate)?;
        let ended = certificate.validity().not_after.timestamp() <= Timestamp::now().as_second();
        anyhow::ensure!(!ended, "part of the client certificate in {} has expired", path.display());
    }
    Ok(())
}

fn client_certificate(user: &AuthInfo) -> anyhow::Result<Vec<u8>> {
    use base64::Engine as _;
    if let Some(data) = &user.client_certificate_data {
        return Ok(base64::engine::general_purpose::STANDARD.decode(data)?);
    }
    let path = user.client_certificate.as_deref().context("it has no client certificate")?;
    std::fs::read(path).with_context(|| format!("reading {path}"))
}

fn current_user(kubeconfig: &Kubeconfig) -> anyhow::Result<AuthInfo> {
    let name = context(kubeconfig)?.user.unwrap_or_default();
    let found = kubeconfig.auth_infos.iter().find(|user| user.name == name);
    found.and_then(|user| user.auth_info.clone()).with_context(|| format!("there is no user {name:?}"))
}

fn current_cluster(kubeconfig: &Kubeconfig) -> anyhow::Result<Cluster> {
    let name = context(kubeconfig)?.cluster;
    let found = kubeconfig.clusters.iter().find(|cluster| cluster.name == name);
    found.and_then(|cluster| cluster.cluster.clone()).with_context(|| format!("there is no cluster {name:?}"))
}

fn context(kubeconfig: &Kubeconfig) -> anyhow::Result<kube::config::Context> {
    let name = kubeconfig.current_context.clone().unwrap_or_default();
    let found = kubeconfig.contexts.iter().find(|context| context.name == name);
    found.and_then(|context| context.context.clone()).with_context(|| format!("there is no context {name:?}"))
}

/// As upstream's kubelet writes it.
fn render(cluster: &Cluster, current: &Path) -> anyhow::Result<String> {
    let value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": {"client-certificate": current, "client-key": current}}],
        "contexts": [{
            "name": "default-context",
            "context": {"cluster": "default-cluster", "namespace": "default", "user": "default-auth"},
        }],
        "current-context": "default-context",
    });
    Ok(api_types::yaml::to_string(&value)?)
}

/// Whole before it has its name, and for its owner only.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn kubeconfig(user: &serde_json::Value) -> String {
        let value = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": "https://m:6443", "certificate-authority-data": "Y2E="}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        value.to_string()
    }

    fn certificate(year: i32) -> String {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        base64::engine::general_purpose::STANDARD.encode(pem)
    }

    #[test]
    fn a_good_kubeconfig_is_left_alone_and_others_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (own, begin) = (path("etc/kubelet.conf"), path("bootstrap.conf"));
        let current = Path::new("/pki/kubelet-client-current.pem");
        let error = prepare(&own, &begin, current).unwrap_err().to_string();
        assert!(error.contains("unable to load bootstrap kubeconfig"), "{error}");
        std::fs::write(&begin, kubeconfig(&json!({"token": "a.b"}))).unwrap();
        let good = kubeconfig(&json!({"client-certificate-data": certificate(2100)}));
        let ended = kubeconfig(&json!({"client-certificate-data": certificate(2001)}));
        let missing = kubeconfig(&json!({"client-certificate": path("missing")}));
        std::fs::create_dir(path("etc")).unwrap();
        std::fs::write(&own, &good).unwrap();
        prepare(&own, &begin, current).unwrap();
        assert_eq!(std::fs::read_to_string(&own).unwrap(), good);
        for text in [ended.as_str(), missing.as_str(), "garbage", ""] {
            std::fs::write(&own, text).unwrap();
            prepare(&own, &begin, current).unwrap();
            let written = Kubeconfig::read_from(&own).unwrap();
            assert_eq!(current_user(&written).unwrap().client_key.as_deref(), current.to_str());
            let cluster = current_cluster(&written).unwrap();
            assert_eq!(cluster.server.as_deref(), Some("https://m:6443"));
            assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Y2E="));
            assert_eq!(std::fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
