//! Requests that nobody needs any more are deleted: those that were answered, after an hour, and those that nobody answers,
//! after a day. Each is looked at when its time has come.

use std::{sync::Arc, time::Duration};

use api_types::{
    certificates::CertificateSigningRequestCondition,
    jiff::{SignedDuration, Timestamp},
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};
use x509_parser::{parse_x509_certificate, pem::Pem};

use super::{APPROVED, DENIED, FAILED};
use crate::{context::Context, controllers::Run, slim::CertificateSigningRequest, write};

/// How long what was answered is kept; upstream's figure.
const ANSWERED: SignedDuration = SignedDuration::from_hours(1);
/// How long what waits for an answer is kept; upstream's figure.
const WAITING: SignedDuration = SignedDuration::from_hours(24);

struct Controller {
    client: Client,
    requests: Informer<CertificateSigningRequest>,
}

/// The cleaner.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller { client: context.client.clone(), requests: context.informer() });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.requests.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "csrcleaner", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> kube::Result<Outcome> {
        let Some(request) = self.requests.store().get(key) else { return Ok(Outcome::Done) };
        let Some(end) = end(&request) else { return Ok(Outcome::Done) };
        match Duration::try_from(end.duration_since(Timestamp::now())) {
            Ok(left) if !left.is_zero() => Ok(Outcome::RequeueAfter(left)),
            _ => {
                let metadata = &request.metadata;
                let this_one =
                    Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() };
                let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
                let requests: Api<CertificateSigningRequest> = Api::all(self.client.clone());
                requests.delete(&key.name, &parameters).await?;
                Ok(Outcome::Done)
            }
        }
    }
}

/// When a request has been kept long enough; `None` for never.
fn end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let certificate = &request.status.certificate.0;
    let of_condition = |condition: &CertificateSigningRequestCondition| {
        let keep = match condition.type_.as_str() {
            APPROVED if certificate.is_empty() => WAITING,
            APPROVED | DENIED | FAILED => ANSWERED,
            _ => return None,
        };
        condition.last_update_time.as_ref().and_then(|time| time.0.checked_add(keep).ok())
    };
    let ends = request.status.conditions.iter().filter_map(of_condition);
    let unanswered = || request.metadata.creation_timestamp.as_ref().and_then(|time| time.0.checked_add(WAITING).ok());
    let pending = request.status.conditions.is_empty().then(unanswered).flatten();
    let expired = request.condition(APPROVED).and_then(|_| not_after(certificate));
    ends.chain(pending).chain(expired).min()
}

/// Until when a certificate in PEM is good.
fn not_after(pem: &[u8]) -> Option<Timestamp> {
    let block = Pem::iter_from_buffer(pem).next()?.ok()?;
    let (_, certificate) = parse_x509_certificate(&block.contents).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use api_types::k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;

    fn ends(created: &str, status: &Value) -> Option<String> {
        let request = json!({"metadata": {"creationTimestamp": created}, "spec": {}, "status": status});
        end(&serde_json::from_value(request).unwrap()).map(|end| end.to_string())
    }

    #[test]
    fn requests_are_kept_for_a_while() {
        let condition = |kind: &str, time: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": time}]);
        let created = "2026-01-01T00:00:00Z";
        let decided = "2026-01-01T05:00:00Z";
        let mut params = rcgen::CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
        let expired = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let expired = ByteString(expired.into_bytes());
        let cases = [
            (json!({}), Some("2026-01-02T00:00:00Z")),
            (json!({"conditions": condition(DENIED, decided)}), Some("2026-01-01T06:00:00Z")),
            (json!({"conditions": condition(FAILED, decided)}), Some("2026-01-01T06:00:00Z")),
            (json!({"conditions": condition(APPROVED, decided)}), Some("2026-01-02T05:00:00Z")),
            (json!({"conditions": condition(APPROVED, decided), "certificate": "eA=="}), Some("2026-01-01T06:00:00Z")),
            (json!({"conditions": condition(APPROVED, decided), "certificate": expired}), Some("2026-01-01T00:00:00Z")),
            (json!({"conditions": condition("Other", decided)}), None),
            (json!({"conditions": [{"type": DENIED, "status": "True"}]}), None),
        ];
        for (status, expected) in cases {
            assert_eq!(ends(created, &status).as_deref(), expected, "{status}");
        }
    }
}
