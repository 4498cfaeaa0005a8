//! A kubelet's request for a certificate of its own is approved, if who asks may.

use std::{sync::Arc, time::Duration};

use component::{
    auth::{Attributes, Authorizer, Decision, ResourceAttributes, Target, delegated::AccessReviews, user::User},
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::Client;
use serde_json::json;

use super::{
    APPROVED, DENIED, KUBELET_CLIENT,
    request::{self, Asked},
    with_condition, write_status,
};
use crate::{context::Context, controllers::Run, slim::CertificateSigningRequest, write};

/// How many requests are worked on at once, as upstream.
const WORKERS: usize = 5;
/// Nobody tells when somebody comes to be allowed to ask; so long it takes at most until it is noticed.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What has to be allowed, below `certificatesigningrequests`, and what is said when it is.
type Permission = (&'static str, &'static str);

const OWN: Permission = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
const ANY_NODE: Permission = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");

struct Controller {
    client: Client,
    requests: Informer<CertificateSigningRequest>,
    reviews: AccessReviews,
}

/// The approver.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        requests: context.informer(),
        reviews: AccessReviews::new(context.client.clone(), Duration::ZERO, Duration::ZERO),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.requests.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "csrapproving", WORKERS, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> anyhow::Result<Outcome> {
        let Some(request) = self.requests.store().get(key) else { return Ok(Outcome::Done) };
        let sufficient = permissions(&request);
        for (permission, message) in sufficient {
            if self.allowed(&request, permission).await? {
                let status = json!({"conditions": with_condition(&request, APPROVED, "AutoApproved", message)});
                write_status(&self.client, &request, "approval", &status).await?;
                return Ok(Outcome::Done);
            }
        }
        Ok(if sufficient.is_empty() { Outcome::Done } else { Outcome::RequeueAfter(ASK_AGAIN) })
    }

    async fn allowed(&self, request: &CertificateSigningRequest, permission: &str) -> anyhow::Result<bool> {
        let spec = &request.spec;
        let user = User {
            name: spec.username.clone(),
            uid: spec.uid.clone(),
            groups: spec.groups.clone(),
            extra: spec.extra.clone(),
        };
        let place = ResourceAttributes {
            group: "certificates.k8s.io".into(),
            resource: "certificatesigningrequests".into(),
            subresource: permission.into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes { user: &user, verb: "create".into(), target: Target::Resource(place) };
        let verdict = self.reviews.authorize(&asked).await;
        anyhow::ensure!(verdict.error.is_empty() || verdict.decision == Decision::Allow, "{}", verdict.error);
        Ok(verdict.decision == Decision::Allow)
    }
}

/// Any of what is returned suffices; nothing for what is not approved here, or was decided about.
fn permissions(request: &CertificateSigningRequest) -> &'static [Permission] {
    let decided = [APPROVED, DENIED].iter().any(|kind| request.condition(kind).is_some());
    if decided || !request.status.certificate.0.is_empty() || request.spec.signer_name != KUBELET_CLIENT {
        return &[];
    }
    let Ok(asked) = Asked::parse(&request.spec.request.0) else { return &[] };
    match request::judge(KUBELET_CLIENT, &asked, &request.spec.usages) {
        Some(Ok(())) if asked.common_name() == request.spec.username => &[OWN, ANY_NODE],
        Some(Ok(())) => &[ANY_NODE],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use api_types::k8s_openapi::ByteString;

    use super::{super::request::tests as asking, *};

    #[test]
    fn only_what_kubelets_ask_for_is_approved() {
        let request = |user: &str, signer: &str, name: &str, condition: Option<&str>| {
            let pem = ByteString(asking::pem("system:nodes", name, vec![]).into_bytes());
            let conditions: Vec<_> = condition.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
            let usages = ["digital signature", "client auth"];
            let spec = json!({"request": pem, "signerName": signer, "usages": usages, "username": user});
            let request = json!({"metadata": {}, "spec": spec, "status": {"conditions": conditions}});
            permissions(&serde_json::from_value(request).unwrap()).iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let node = "system:node:n";
        assert_eq!(request("system:bootstrap:abc", KUBELET_CLIENT, node, None), ["nodeclient"]);
        assert_eq!(request(node, KUBELET_CLIENT, node, None), ["selfnodeclient", "nodeclient"]);
        assert!(request(node, KUBELET_CLIENT, "n", None).is_empty());
        assert!(request(node, "kubernetes.io/kubelet-serving", node, None).is_empty());
        assert!(request(node, KUBELET_CLIENT, node, Some(DENIED)).is_empty());
    }
}
