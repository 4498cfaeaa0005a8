//! What a webhook answered, checked before anything is made of it.

use std::collections::BTreeMap;

use api_types::{StatusError, meta};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::hook::ReviewVersion;

/// Which side asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It may change the object.
    Mutating,
    /// It may not.
    Validating,
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// A JSON patch; empty when there is none.
    pub(super) patch: Vec<u8>,
    pub(super) status: Option<meta::Status>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    response: Option<Response>,
}

/// What is null is as if it were not there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    allowed: Option<bool>,
    #[serde(default)]
    status: Option<meta::Status>,
    #[serde(default)]
    patch: Option<String>,
    #[serde(default)]
    patch_type: Option<String>,
    #[serde(default)]
    audit_annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It cannot be read.
    Unreadable(String),
    /// It is no answer to what was asked.
    Invalid(String),
}

impl Answer {
    /// Reads and checks the answer to the request of this uid.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub(super) fn read(json: &[u8], uid: &str, version: ReviewVersion, side: Side) -> Result<Self, Wrong> {
        let review: Review = serde_json::from_slice(json).map_err(|error| Wrong::Unreadable(error.to_string()))?;
        let kind = kind(review.api_version.as_deref().unwrap_or_default(), review.kind.as_deref().unwrap_or_default());
        let invalid = |why: String| Err(Wrong::Invalid(why));
        let Some(response) = review.response else { return invalid("webhook response was absent".to_owned()) };
        if version == ReviewVersion::V1 {
            let own = response.uid.as_deref().unwrap_or_default();
            if own != uid {
                return invalid(format!("expected response.uid={uid:?}, got {own:?}"));
            }
            let expected = self::kind(version.api_version(), "AdmissionReview");
            if kind != expected {
                return invalid(format!("expected webhook response of {expected}, got {kind}"));
            }
        }
        let patch = response.patch.unwrap_or_default();
        if let Some(why) = check_patch(&patch, response.patch_type.as_deref(), version, side) {
            return invalid(why);
        }
        let decoded = STANDARD.decode(patch.as_bytes()).map_err(|error| Wrong::Unreadable(error.to_string()))?;
        Ok(Self {
            allowed: response.allowed.unwrap_or_default(),
            patch: if side == Side::Mutating { decoded } else { Vec::new() },
            status: response.status,
            annotations: response.audit_annotations.unwrap_or_default(),
            warnings: response.warnings.unwrap_or_default(),
        })
    }

    /// The refusal of a webhook of this name.
    pub(super) fn refusal(self, webhook: &str) -> StatusError {
        refusal(webhook, self.status)
    }
}

fn kind(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

fn check_patch(patch: &str, of: Option<&str>, version: ReviewVersion, side: Side) -> Option<String> {
    if version == ReviewVersion::V1Beta1 {
        return None;
    }
    let why = match (side, patch.is_empty(), of) {
        (Side::Validating, false, _) => "validating webhook may not return response.patch".to_owned(),
        (Side::Validating, true, Some(_)) => "validating webhook may not return response.patchType".to_owned(),
        (Side::Mutating, false, None) => "webhook returned response.patch but not response.patchType".to_owned(),
        (Side::Mutating, true, Some(_)) => "webhook returned response.patchType but not response.patch".to_owned(),
        (Side::Mutating, false, Some("")) => r#"webhook returned invalid response.patchType of """#.to_owned(),
        (Side::Mutating, false, Some(other)) if other != "JSONPatch" => format!("unsupported patch type {other:?}"),
        _ => return None,
    };
    Some(why)
}

/// A refusal with the webhook's own reason and code, where these are those of a failure.
fn refusal(webhook: &str, status: Option<meta::Status>) -> StatusError {
    let denied = format!("admission webhook {webhook:?} denied the request");
    let mut status = status.unwrap_or_default();
    status.code = Some(match status.code.unwrap_or_default() {
        code @ 400..=599 => code,
        ..400 => 400,
        _ => 500,
    });
    status.status = Some("Failure".to_owned());
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    status.message = Some(match filled(&status.message).or_else(|| filled(&status.reason)) {
        Some(why) => format!("{denied}: {why}"),
        None => format!("{denied} without explanation"),
    });
    StatusError::from(status)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(review: &Value, version: ReviewVersion, side: Side) -> Result<Answer, String> {
        Answer::read(review.to_string().as_bytes(), "u", version, side).map_err(|wrong| match wrong {
            Wrong::Unreadable(why) | Wrong::Invalid(why) => why,
        })
    }

    fn answer(more: &Value) -> Value {
        let mut response = json!({"uid": "u", "allowed": true});
        response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }

    #[test]
    fn answers_are_checked() {
        let v1 = ReviewVersion::V1;
        for (side, review, expected) in [
            (Side::Mutating, answer(&json!({})), ""),
            (Side::Mutating, answer(&json!({"patch": "W10=", "patchType": "JSONPatch", "warnings": null})), ""),
            (Side::Mutating, json!({}), "webhook response was absent"),
            (Side::Mutating, answer(&json!({"uid": "x"})), r#"expected response.uid="u", got "x""#),
            (
                Side::Mutating,
                json!({"response": {"uid": "u"}}),
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
            ),
            (
                Side::Mutating,
                answer(&json!({"patch": "W10="})),
                "webhook returned response.patch but not response.patchType",
            ),
            (
                Side::Mutating,
                answer(&json!({"patchType": "JSONPatch"})),
                "webhook returned response.patchType but not response.patch",
            ),
            (
                Side::Mutating,
                answer(&json!({"patch": "W10=", "patchType": "Merge"})),
                r#"unsupported patch type "Merge""#,
            ),
            (
                Side::Validating,
                answer(&json!({"patch": "W10=", "patchType": "JSONPatch"})),
                "validating webhook may not return response.patch",
            ),
        ] {
            assert_eq!(read(&review, v1, side).err().unwrap_or_default(), expected, "{review}");
        }
        assert!(read(&json!([]), v1, Side::Mutating).is_err());
        assert!(read(&answer(&json!({"patch": "!", "patchType": "JSONPatch"})), v1, Side::Mutating).is_err());
        let old = json!({"response": {"allowed": true, "patch": "W10="}});
        assert_eq!(read(&old, ReviewVersion::V1Beta1, Side::Mutating).unwrap().patch, b"[]");
        let deep = "[".repeat(100_000);
        assert!(Answer::read(deep.as_bytes(), "u", v1, Side::Mutating).is_err());
    }

    #[test]
    fn refusals_keep_reason_and_code() {
        for (status, code, reason, message) in [
            (json!(null), 400, "", r#"admission webhook "w" denied the request without explanation"#),
            (json!({"message": "no"}), 400, "", r#"admission webhook "w" denied the request: no"#),
            (
                json!({"message": "no", "code": 403, "reason": "Forbidden"}),
                403,
                "Forbidden",
                r#"admission webhook "w" denied the request: no"#,
            ),
            (
                json!({"reason": "tired", "code": 200}),
                400,
                "tired",
                r#"admission webhook "w" denied the request: tired"#,
            ),
            (
                json!({"message": "no", "code": 99999, "status": "Success"}),
                500,
                "",
                r#"admission webhook "w" denied the request: no"#,
            ),
        ] {
            let error = refusal("w", serde_json::from_value(status).unwrap());
            assert_eq!((error.code(), error.reason()), (code, reason));
            assert_eq!(error.to_string(), message);
            assert_eq!(error.status().status.as_deref(), Some("Failure"));
        }
    }
}
