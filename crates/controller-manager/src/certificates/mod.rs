//! Requests for certificates: a kubelet's own are approved ([`approving`]), what is approved is signed ([`signing`]) with
//! an authority that the flags name ([`authority`]), and what nobody needs any more is deleted ([`cleaning`]).

pub(crate) mod approving;
mod authority;
pub(crate) mod cleaning;
mod encoding;
mod request;
pub(crate) mod signing;

use api_types::certificates::CertificateSigningRequestCondition;
pub use authority::{Signers, SigningFlags};
use component::informer::ObjectKey;
use http::header::CONTENT_TYPE;
use kube::{Client, Resource};
use serde_json::{Value, json};

use crate::slim::CertificateSigningRequest;

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// Signs for whoever the API server is to believe.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signs for kubelets, as clients of the API server.
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs for kubelets, as servers.
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Signs whatever was asked for by versions of the API that knew no signers.
const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";

/// Writes a part of a request's status, through the door for that part, unless the request has changed meanwhile.
async fn write_status(
    client: &Client,
    request: &CertificateSigningRequest,
    door: &str,
    status: &Value,
) -> kube::Result<()> {
    let key = ObjectKey::of(request);
    let path = format!("{}/{}/{door}", CertificateSigningRequest::url_path(&(), None), key.name);
    let version = &request.metadata.resource_version;
    let patch = json!({"metadata": {"uid": request.metadata.uid, "resourceVersion": version}, "status": status});
    let request = http::Request::patch(path).header(CONTENT_TYPE, "application/merge-patch+json");
    let request = request.body(patch.to_string().into_bytes());
    let request =
        request.map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)))?;
    client.request_text(request).await.map(drop)
}

/// All conditions of a request and another one.
fn with_condition(request: &CertificateSigningRequest, kind: &str, reason: &str, message: &str) -> Value {
    let more = CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..CertificateSigningRequestCondition::default()
    };
    json!(request.status.conditions.iter().chain([&more]).collect::<Vec<_>>())
}
