//! Kubelets write what is about their own node, and nothing by which they could come to more.

mod own_node;
mod pod;
mod token;

use api_types::{
    Object, StatusError,
    certificates::CertificateSigningRequest,
    core::{Node, PersistentVolumeClaim, Pod},
};
use futures::future::BoxFuture;
use k8s_openapi::api::resource::v1::ResourceSlice;
use serde_json::Value;

use crate::{
    authorization::node::identity,
    registry::{
        Operation, Registry, Review, Target,
        admission::{Handle, Plugin},
    },
};

pub(super) struct NodeRestriction {
    pub registry: Handle,
}

impl Plugin for NodeRestriction {
    fn concerns(&self, review: &Review<'_>) -> bool {
        identity(review.user()).is_some() && review.door.operation != Operation::Connect
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let registry = self.registry.registry();
        Box::pin(async move {
            let node = identity(review.user()).unwrap_or_default();
            Written { registry: &*registry?, review, node }.check().await
        })
    }
}

/// Something that a kubelet writes.
struct Written<'a> {
    registry: &'a Registry,
    review: &'a Review<'a>,
    /// The kubelet's node; empty when it does not say.
    node: &'a str,
}

type Checked = Result<(), StatusError>;

impl Written<'_> {
    async fn check(&self) -> Checked {
        if self.node.is_empty() {
            return self.refuse(&format!("could not determine node from user {:?}", self.review.user().name));
        }
        let door = &self.review.door;
        match (&*door.row.group, &*door.row.plural, door.subresource) {
            ("", "pods", subresource) => self.pod(subresource).await,
            ("", "nodes", _) => self.own_node(),
            ("", "persistentvolumeclaims", "status") => self.claim_status(),
            ("", "persistentvolumeclaims", _) => self.refuse("may only update PVC status"),
            ("", "serviceaccounts", "token") => self.token().await,
            ("coordination.k8s.io", "leases", _) => self.lease(),
            ("storage.k8s.io", "csinodes", _) => {
                self.named_like_the_node("can only access CSINode with the same name as the requesting node")
            }
            ("resource.k8s.io", "resourceslices", _) => self.slice(),
            ("certificates.k8s.io", "certificatesigningrequests", _) => self.signing_request(),
            _ => Ok(()),
        }
    }

    fn refuse(&self, why: &str) -> Checked {
        Err(self.review.forbidden(why))
    }

    /// Refuses when something is so.
    fn refuse_when(&self, so: bool, why: impl FnOnce() -> String) -> Checked {
        if so { self.refuse(&why()) } else { Ok(()) }
    }

    fn object<T: Object>(&self) -> Result<&T, StatusError> {
        self.review
            .get()
            .and_then(|object| object.downcast_ref())
            .ok_or_else(|| self.review.forbidden("unexpected type"))
    }

    fn old<T: Object>(&self) -> Result<&T, StatusError> {
        self.review
            .old()
            .and_then(|object| object.downcast_ref())
            .ok_or_else(|| self.review.forbidden("unexpected type"))
    }

    /// A pod in the namespace of what is written.
    async fn find_pod(&self, name: &str) -> Result<Pod, StatusError> {
        let pods = self.registry.core("pods")?;
        let target = Target { namespace: self.review.door.target.namespace, name };
        Ok(self.registry.get_object(&pods, target).await?.expect_ref::<Pod>("Pod")?.clone())
    }

    async fn find_node(&self) -> Result<Node, StatusError> {
        let nodes = self.registry.core("nodes")?;
        let target = Target { namespace: "", name: self.node };
        Ok(self.registry.get_object(&nodes, target).await?.expect_ref::<Node>("Node")?.clone())
    }

    fn named_like_the_node(&self, why: &str) -> Checked {
        self.refuse_when(self.review.door.target.name != self.node, || why.to_owned())
    }

    fn lease(&self) -> Checked {
        const NAMESPACE: &str = "kube-node-lease";
        self.refuse_when(self.review.door.target.namespace != NAMESPACE, || {
            format!("can only access leases in the {NAMESPACE:?} system namespace")
        })?;
        self.named_like_the_node("can only access node lease with the same name as the requesting node")
    }

    fn slice(&self) -> Checked {
        let (slice, word) = match self.review.door.operation {
            Operation::Create => (self.object::<ResourceSlice>()?, "create"),
            Operation::Delete => (self.old::<ResourceSlice>()?, "delete"),
            Operation::Update | Operation::Connect => return Ok(()),
        };
        self.refuse_when(slice.spec.node_name.as_deref() != Some(self.node), || {
            format!("can only {word} ResourceSlice with the same NodeName as the requesting node")
        })
    }

    /// Nothing but how large a volume has become.
    fn claim_status(&self) -> Checked {
        let operation = self.review.door.operation;
        if operation != Operation::Update {
            return self.refuse(&format!("unexpected operation {:?}", operation.as_str()));
        }
        let (new, old) = (self.object::<PersistentVolumeClaim>()?, self.old::<PersistentVolumeClaim>()?);
        self.refuse_when(without_size(new) != without_size(old), || {
            let node = self.node;
            format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions")
        })
    }

    /// A kubelet asks for certificates in the name of its own node only.
    fn signing_request(&self) -> Checked {
        const SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
        if self.review.door.operation != Operation::Create {
            return Ok(());
        }
        let request = self.object::<CertificateSigningRequest>()?;
        if !SIGNERS.contains(&request.spec.signer_name.as_str()) {
            return Ok(());
        }
        let name = common_name(&request.spec.request.0);
        let name = name.map_err(|error| self.review.forbidden(&format!("unable to parse csr: {error}")))?;
        let own = format!("system:node:{}", self.node);
        self.refuse_when(name != own, || format!("can only create a node CSR with CN={own}"))
    }
}

fn without_size(claim: &PersistentVolumeClaim) -> Value {
    let mut tree = claim.to_value();
    if let Some(Value::Object(metadata)) = tree.get_mut("metadata") {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    if let Some(Value::Object(status)) = tree.get_mut("status") {
        for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
            status.remove(field);
        }
    }
    tree
}

/// The common name in a request in PEM.
fn common_name(pem: &[u8]) -> Result<String, String> {
    use x509_parser::{certification_request::X509CertificationRequest, pem::parse_x509_pem, prelude::FromDer};
    let pem = parse_x509_pem(pem).ok().map(|(_, pem)| pem).filter(|pem| pem.label == "CERTIFICATE REQUEST");
    let pem = pem.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
    Ok(name.unwrap_or_default().to_owned())
}
