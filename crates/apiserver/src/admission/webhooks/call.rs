//! A webhook is asked about a request.

use std::time::Duration;

use api_types::StatusError;
use serde::Serialize;
use uuid::Uuid;

use super::{
    answer::{Answer, Side, Wrong},
    hook::Hook,
};
use crate::{
    admission::dynamic::{AdmissionRequest, Version},
    registry::{DryRun, Review},
};

/// So much of what a webhook wants noted is noted, in number and in bytes.
const ANNOTATIONS_MAX: usize = 64;
const ANNOTATION_MAX: usize = 10 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
    kind: &'static str,
    api_version: &'static str,
    request: AdmissionRequest<'a>,
}

/// Why a webhook's opinion is not known, or what it is.
pub(super) enum Failed {
    /// It cannot be asked: what that means is up to its failure policy.
    Calling(String),
    /// It, or this server, refuses.
    Refused(StatusError),
}

impl Hook {
    /// What the webhook says. It has been noted what it wants noted.
    ///
    /// # Errors
    /// When it refuses or cannot be asked.
    pub(super) async fn ask(&self, review: &Review<'_>, version: &Version, side: Side) -> Result<Answer, Failed> {
        if review.dry_run() == DryRun::All && !self.takes_dry_run {
            let why = format!("admission webhook {:?} does not support dry run", self.name);
            return Err(Failed::Refused(StatusError::bad_request(why)));
        }
        let calling = |why: String| Failed::Calling(format!("failed calling webhook {:?}: {why}", self.name));
        let none =
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        let of = self.review.ok_or_else(|| calling(none.to_owned()))?;
        let uid = Uuid::new_v4().to_string();
        let request = AdmissionRequest::new(&uid, review, version).with_objects(version);
        let asked = request.and_then(|request| {
            serde_json::to_vec(&AdmissionReview { kind: "AdmissionReview", api_version: of.api_version(), request })
        });
        let asked = asked.map_err(|error| Failed::Refused(StatusError::internal(error)))?;
        let answered = self.server.post(asked.into(), self.timeout).await;
        let answered = answered.map_err(|error| calling(format!("failed to call webhook: {error}")))?;
        let answer = Answer::read(&answered, &uid, of, side).map_err(|wrong| {
            calling(match wrong {
                Wrong::Unreadable(why) => format!("failed to call webhook: {why}"),
                Wrong::Invalid(why) => format!("received invalid webhook response: {why}"),
            })
        })?;
        self.note(review, &answer);
        if answer.allowed { Ok(answer) } else { Err(Failed::Refused(answer.refusal(&self.name))) }
    }

    fn note(&self, review: &Review<'_>, answer: &Answer) {
        for (key, value) in answer.annotations.iter().take(ANNOTATIONS_MAX) {
            let value = &value[..value.floor_char_boundary(ANNOTATION_MAX)];
            let key = &key[..key.floor_char_boundary(ANNOTATION_MAX)];
            review.annotate(&format!("{}/{key}", self.name), value);
        }
        for warning in &answer.warnings {
            review.warn(warning.clone());
        }
    }

    /// What becomes of a webhook that cannot be asked: `None` when that does not matter to it.
    pub(super) fn failure(&self, why: &str, waited: Duration) -> Option<StatusError> {
        tracing::warn!(webhook = %self.id, ?waited, fails_closed = self.fails_closed, "{why}");
        self.fails_closed.then(|| StatusError::internal(why))
    }
}
