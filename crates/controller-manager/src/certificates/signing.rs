//! What is approved is signed, if its signer is one of ours.

use std::{sync::Arc, time::Duration};

use api_types::{jiff::Timestamp, k8s_openapi::ByteString};
use component::{
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::Client;
use serde_json::json;

use super::{APPROVED, FAILED, Signers, authority::Authority, request, write_status};
use crate::{context::Context, controllers::Run, slim::CertificateSigningRequest, write};

/// How many requests are worked on at once, as upstream.
const WORKERS: usize = 5;
/// The shortest life of what is issued, whatever was asked for; upstream's figure.
const SHORTEST: Duration = Duration::from_secs(600);

struct Controller {
    client: Client,
    requests: Informer<CertificateSigningRequest>,
    signers: Signers,
    /// The longest life of what is issued.
    longest: Duration,
}

/// The signers; with `--cluster-signing-…` only.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let signers = context.config.signers.clone();
    if signers.is_empty() {
        return None;
    }
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        requests: context.informer(),
        signers,
        longest: context.config.flags.signing.cluster_signing_duration,
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.requests.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "csrsigning", WORKERS, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> anyhow::Result<Outcome> {
        let Some(request) = self.requests.store().get(key).filter(|request| is_due(request)) else {
            return Ok(Outcome::Done);
        };
        let Some(authority) = self.signers.get(&request.spec.signer_name) else { return Ok(Outcome::Done) };
        let status = match sign(&request, &authority, self.longest, Timestamp::now())? {
            Ok(pem) => json!({"certificate": ByteString(pem.into_bytes())}),
            Err(refusal) => {
                json!({"conditions": super::with_condition(&request, FAILED, "SignerValidationFailure", &refusal)})
            }
        };
        write_status(&self.client, &request, "status", &status).await?;
        Ok(Outcome::Done)
    }
}

/// Whether a request waits for a signature.
fn is_due(request: &CertificateSigningRequest) -> bool {
    request.status.certificate.0.is_empty()
        && request.condition(APPROVED).is_some()
        && request.condition(super::DENIED).is_none()
        && request.condition(FAILED).is_none()
}

/// The certificate, or why the signer refuses to make it.
fn sign(
    request: &CertificateSigningRequest,
    authority: &Authority,
    longest: Duration,
    now: Timestamp,
) -> anyhow::Result<Result<String, request::Refusal>> {
    let spec = &request.spec;
    let asked = request::Asked::parse(&spec.request.0)?;
    match request::judge(&spec.signer_name, &asked, &spec.usages) {
        None => anyhow::bail!("{:?} is not one of the signers", spec.signer_name),
        Some(Err(refusal)) => Ok(Err(refusal)),
        Some(Ok(())) => Ok(Ok(authority.issue(&asked, &spec.usages, life(spec.expiration_seconds, longest), now)?)),
    }
}

/// How long a certificate is to be good.
fn life(asked: Option<i32>, longest: Duration) -> Duration {
    let Some(seconds) = asked else { return longest };
    let asked = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    if asked > longest { longest } else { asked.max(SHORTEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_as_long_as_asked_within_limits() {
        let longest = Duration::from_secs(3600);
        let cases = [(None, 3600), (Some(1800), 1800), (Some(7200), 3600), (Some(1), 600), (Some(-1), 600)];
        for (asked, expected) in cases {
            assert_eq!(life(asked, longest).as_secs(), expected, "{asked:?}");
        }
        assert_eq!(life(Some(1800), Duration::from_secs(60)).as_secs(), 60);
    }

    #[test]
    fn only_what_is_approved_waits_for_a_signature() {
        let due = |status: serde_json::Value| {
            let request = json!({"metadata": {}, "spec": {}, "status": status});
            is_due(&serde_json::from_value(request).unwrap())
        };
        let condition = |kind: &str| json!({"type": kind, "status": "True"});
        assert!(!due(json!({})));
        assert!(due(json!({"conditions": [condition(APPROVED)]})));
        assert!(!due(json!({"conditions": [condition("Denied")]})));
        assert!(!due(json!({"conditions": [condition(APPROVED), condition(FAILED)]})));
        assert!(!due(json!({"conditions": [condition(APPROVED)], "certificate": "eA=="})));
    }
}
