//! Asking for a certificate: a `CertificateSigningRequest`, and waiting for what becomes of it.

use std::time::Duration;

use anyhow::Context as _;
use api_types::certificates::CertificateSigningRequestCondition;
use api_types::k8s_openapi::ByteString;
use api_types::meta::ObjectMeta;
use component::Daemon;
use component::informer::{Event, Informer, Scope};
use kube::{Client, Resource};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::Hosts;

/// How long a request waits for somebody to decide; upstream's.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The group of kubelets.
const NODES: &str = "system:nodes";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Template {
    /// Who is to sign.
    pub signer: &'static str,
    /// What for.
    pub usages: [&'static str; 2],
    /// The node's user.
    pub user: String,
    /// Under which names, sorted.
    pub hosts: Hosts,
}

impl Template {
    /// To be known by the API server as `user`.
    #[must_use]
    pub fn client(user: &str) -> Self {
        Self {
            signer: "kubernetes.io/kube-apiserver-client-kubelet",
            usages: ["digital signature", "client auth"],
            user: user.to_owned(),
            hosts: Hosts::default(),
        }
    }

    /// To be believed by clients of the kubelet's API at `hosts`.
    #[must_use]
    pub fn serving(user: &str, hosts: &Hosts) -> Self {
        let mut hosts = hosts.clone();
        hosts.sort();
        Self {
            signer: "kubernetes.io/kubelet-serving",
            usages: ["digital signature", "server auth"],
            user: user.to_owned(),
            hosts,
        }
    }

    /// A request by a new key.
    fn draw_up(&self) -> anyhow::Result<(String, KeyPair)> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, NODES);
        params.distinguished_name.push(DnType::CommonName, self.user.as_str());
        for name in &self.hosts.names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.subject_alt_names.extend(self.hosts.addresses.iter().copied().map(SanType::IpAddress));
        let key = KeyPair::generate()?;
        Ok((params.serialize_request(&key)?.pem()?, key))
    }
}

/// A certificate and its key, both in PEM.
pub struct Issued {
    /// The leaf first.
    pub chain: String,
    /// The leaf's key.
    pub key: String,
}

/// Asks for a certificate and waits until it is issued.
///
/// # Errors
/// When it cannot be asked for, or is refused, or nobody decides within a quarter of an hour.
pub async fn issue(client: &Client, template: &Template, daemon: &Daemon) -> anyhow::Result<Issued> {
    let (pem, key) = template.draw_up()?;
    let created = create(client, template, pem).await.context("asking for a certificate")?;
    let name = created.metadata.name.unwrap_or_default();
    tracing::info!(request = name, signer = template.signer, "asked for a certificate");
    let outcome = tokio::time::timeout(PATIENCE, outcome(client, &name, created.metadata.uid, daemon)).await;
    let chain = outcome.with_context(|| format!("nobody has decided about the request {name}"))?;
    let chain = chain.with_context(|| format!("the request {name}"))?;
    Ok(Issued { chain, key: key.serialize_pem() })
}

async fn create(client: &Client, template: &Template, pem: String) -> anyhow::Result<Request> {
    let spec = json!({
        "request": ByteString(pem.into_bytes()), "signerName": template.signer, "usages": template.usages,
    });
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"}, "spec": spec,
    });
    let request = http::Request::post(Request::url_path(&(), None)).header("content-type", "application/json");
    Ok(client.request(request.body(object.to_string().into_bytes())?).await?)
}

/// The certificate, as soon as it is there.
async fn outcome(client: &Client, name: &str, uid: Option<String>, daemon: &Daemon) -> anyhow::Result<String> {
    let scope = Scope { field_selector: Some(format!("metadata.name={name}")), ..Scope::default() };
    let (told, mut tells) = watch::channel(None);
    let informer = Informer::<Request>::new(&(), &scope);
    informer.on_event(move |event| {
        if event.object().metadata.uid == uid {
            let gone = matches!(event, Event::Deleted(_));
            let decided = if gone { Some(Err("was deleted".to_owned())) } else { event.object().outcome() };
            if decided.is_some() {
                told.send_replace(decided);
            }
        }
    });
    let watching = daemon.shutdown.child_token();
    let _ends = watching.clone().drop_guard();
    informer.start(client.clone(), &daemon.until(watching));
    let decided = tells.wait_for(Option::is_some).await?.clone();
    decided.context("is undecided")?.map_err(anyhow::Error::msg)
}

/// A request, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
struct Request {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<CertificateSigningRequestCondition>,
    certificate: ByteString,
}

component::slim_resource!(Request => api_types::certificates::CertificateSigningRequest);

impl Request {
    /// What has become of it; `None` while that is open.
    fn outcome(&self) -> Option<Result<String, String>> {
        for condition in &self.status.conditions {
            let why = || {
                let [reason, message] =
                    [&condition.reason, &condition.message].map(|text| text.as_deref().unwrap_or_default());
                format!("reason: {reason}, message: {message}")
            };
            match condition.type_.as_str() {
                "Denied" => return Some(Err(format!("is denied, {}", why()))),
                "Failed" => return Some(Err(format!("failed, {}", why()))),
                _ => {}
            }
        }
        let approved = self.status.conditions.iter().any(|condition| condition.type_ == "Approved");
        let issued = approved && !self.status.certificate.0.is_empty();
        issued.then(|| String::from_utf8(self.status.certificate.0.clone()).map_err(|_| "has no PEM".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_open_until_it_is_decided_about() {
        let outcome = |conditions: &[&str], certificate: &str| {
            let conditions: Vec<_> = conditions
                .iter()
                .map(|kind| json!({"type": kind, "status": "True", "reason": "R", "message": "m"}))
                .collect();
            let certificate = ByteString(certificate.as_bytes().to_vec());
            let status = json!({"conditions": conditions, "certificate": certificate});
            serde_json::from_value::<Request>(json!({"metadata": {}, "status": status})).unwrap().outcome()
        };
        assert_eq!(outcome(&[], ""), None);
        assert_eq!(outcome(&["Approved"], ""), None);
        assert_eq!(outcome(&[], "pem"), None);
        assert_eq!(outcome(&["Approved"], "pem"), Some(Ok("pem".to_owned())));
        assert_eq!(outcome(&["Approved", "Denied"], "pem"), Some(Err("is denied, reason: R, message: m".to_owned())));
        assert_eq!(outcome(&["Failed"], ""), Some(Err("failed, reason: R, message: m".to_owned())));
    }

    #[test]
    fn requests_name_the_node_and_its_hosts() {
        let hosts = Hosts {
            names: vec!["n".to_owned(), "a".to_owned(), "n".to_owned()],
            addresses: vec!["::1".parse().unwrap()],
        };
        let template = Template::serving("system:node:n", &hosts);
        assert_eq!(template.hosts.names, ["a", "n"]);
        let (pem, _) = template.draw_up().unwrap();
        let der = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
        let text = String::from_utf8_lossy(&der).into_owned();
        assert!(text.contains("system:node:n") && text.contains("system:nodes"));
        let odd = Hosts { names: vec!["é".to_owned()], addresses: Vec::new() };
        assert!(Template::serving("u", &odd).draw_up().is_err());
    }
}
