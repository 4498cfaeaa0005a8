//! Who may decide about requests for certificates and issue them; and what nobody may ask for.

use std::sync::Arc;

use api_types::{StatusError, certificates::CertificateSigningRequest as Request, rows};
use component::auth::{
    Attributes, Authorizer, Decision, ResourceAttributes, Target,
    user::{MASTERS, User},
};
use futures::future::BoxFuture;
use x509_parser::{
    certification_request::X509CertificationRequest, pem::Pem, prelude::FromDer, x509::AttributeTypeAndValue,
};

use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

const GROUP: &str = "certificates.k8s.io";
const KIND: &str = "CertificateSigningRequest";
/// Its certificates are believed by the API server.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Whether somebody may do something for a signer, or for all of its domain.
async fn may(authorizer: &Arc<dyn Authorizer>, user: &User, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let place = ResourceAttributes {
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name: name.into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes { user, verb: verb.into(), target: Target::Resource(place) };
        if authorizer.authorize(&asked).await.decision == Decision::Allow {
            return true;
        }
    }
    false
}

/// A door to what a signer answers for, and what has to be allowed there.
pub(super) struct ForSigner {
    registry: Handle,
    subresource: &'static str,
    verb: &'static str,
    /// Whether an update says anything for which that has to be allowed.
    says: fn(&Request, &Request) -> bool,
}

impl ForSigner {
    /// Who decides has to be allowed to `approve`.
    pub(super) fn approval(registry: &Handle) -> Self {
        Self { registry: registry.clone(), subresource: "approval", verb: "approve", says: |_, _| true }
    }

    /// Who issues has to be allowed to `sign`.
    pub(super) fn signing(registry: &Handle) -> Self {
        Self { registry: registry.clone(), subresource: "status", verb: "sign", says: is_answer }
    }
}

/// Whether the certificate or a condition is written.
fn is_answer(new: &Request, old: &Request) -> bool {
    let certificate = |request: &Request| {
        let status = request.status.as_ref();
        status.and_then(|status| status.certificate.clone()).filter(|bytes| !bytes.0.is_empty())
    };
    let conditions =
        |request: &Request| request.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    certificate(new) != certificate(old) || conditions(new) != conditions(old)
}

impl Plugin for ForSigner {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let here = door.operation == Operation::Update && door.subresource == self.subresource;
        here && door.row.is(&rows::CERTIFICATE_SIGNING_REQUESTS)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let new = review.expect::<Request>(KIND)?;
            let Some(old) = review.old().and_then(|old| old.downcast_ref::<Request>()) else { return Ok(()) };
            let signer = &old.spec.signer_name;
            let registry = self.registry.registry()?;
            if !(self.says)(new, old) || may(registry.authorizer(), review.user(), self.verb, signer).await {
                return Ok(());
            }
            let verb = self.verb;
            Err(review.forbidden(&format!("user not permitted to {verb} requests with signerName {signer:?}")))
        })
    }
}

/// Nobody asks the API server's own signer to be let do everything.
pub(super) struct SubjectRestriction;

impl Plugin for SubjectRestriction {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.creates(&rows::CERTIFICATE_SIGNING_REQUESTS)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect::<Request>(KIND).map_err(StatusError::from).and_then(|request| {
            if request.spec.signer_name != CLIENT_SIGNER {
                return Ok(());
            }
            match organizations(&request.spec.request.0) {
                Err(why) => Err(review.forbidden(why)),
                Ok(groups) if groups.iter().any(|group| group == MASTERS) => {
                    Err(review.forbidden(&format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")))
                }
                Ok(_) => Ok(()),
            }
        });
        Box::pin(async move { result })
    }
}

/// The organizations in the subject of a request.
fn organizations(pem: &[u8]) -> Result<Vec<String>, &'static str> {
    const NO_REQUEST: &str = "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST";
    let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok).ok_or(NO_REQUEST)?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|_| NO_REQUEST)?;
    let organizations = request.certification_request_info.subject.iter_organization();
    // What is not understood here may be read as the name of that group elsewhere.
    let text = |name: &AttributeTypeAndValue<'_>| {
        let text = name.as_str().map(str::to_owned);
        text.map_err(|_| "failed to parse CSR: an Organization of the subject cannot be read as text")
    };
    organizations.map(text).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn request(organization: DnValue) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, "me");
        let key = KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn organizations_are_read() {
        let plain = request(DnValue::Utf8String("system:masters".to_owned()));
        assert_eq!(organizations(plain.as_bytes()), Ok(vec!["system:masters".to_owned()]));
        assert!(organizations(b"nonsense").is_err());
        let wide = request(DnValue::BmpString("system:masters".try_into().unwrap()));
        assert!(organizations(wide.as_bytes()).unwrap_err().ends_with("cannot be read as text"));
    }
}
