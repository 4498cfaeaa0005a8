//! `Status` errors in upstream's words: what a client reads when a request fails.
//!
//! One constructor per reason of `k8s.io/apimachinery/pkg/api/errors`; the messages, codes and
//! details are upstream's.

use std::fmt;

use crate::{
    field::{self, FieldError},
    meta,
    resource::{Resource, WrongType},
};

/// Why an update was refused that was based on an old version of the object.
pub const OBJECT_MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// A resource's group and plural name (or a group and kind), as error messages name it:
/// `deployments.apps`, `pods`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupResource<'a> {
    /// Group; empty for core.
    pub group: &'a str,
    /// Plural name of a resource, or a kind.
    pub name: &'a str,
}

impl<'a> GroupResource<'a> {
    /// The resource (or kind) `name` of `group`.
    #[must_use]
    pub const fn new(group: &'a str, name: &'a str) -> Self {
        Self { group, name }
    }
}

impl<'a> From<&'a Resource> for GroupResource<'a> {
    fn from(resource: &'a Resource) -> Self {
        Self { group: &resource.group, name: &resource.plural }
    }
}

impl fmt::Display for GroupResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// A failed request, as the client is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusError(Box<meta::Status>);

impl StatusError {
    fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(meta::Status {
            code: Some(code.into()),
            message: Some(message.into()),
            reason: filled(reason),
            status: Some("Failure".to_owned()),
            ..meta::Status::default()
        }))
    }

    fn details(&mut self) -> &mut meta::StatusDetails {
        self.0.details.get_or_insert_default()
    }

    fn about(mut self, resource: GroupResource<'_>, name: &str) -> Self {
        let details = self.details();
        details.group = filled(resource.group);
        details.kind = filled(resource.name);
        details.name = filled(name);
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.details().retry_after_seconds = i32::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        self
    }

    fn cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        let cause =
            meta::StatusCause { reason: filled(reason), message: Some(message.to_owned()), field: filled(field) };
        self.details().causes.get_or_insert_default().push(cause);
        self
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: who is asking is unknown.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: refused by authorization, admission or quota. `name` may be empty.
    #[must_use]
    pub fn forbidden(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        let message = match (resource.name, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            _ => format!("{resource} {name:?} is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 404: no such object.
    #[must_use]
    pub fn not_found(resource: GroupResource<'_>, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} {name:?} not found")).about(resource, name)
    }

    /// 404: no such resource or path.
    #[must_use]
    pub fn path_not_found() -> Self {
        let mut error = Self::new(404, "NotFound", "the server could not find the requested resource");
        error.details();
        error
    }

    /// 405: the resource does not have this verb.
    #[must_use]
    pub fn method_not_supported(resource: GroupResource<'_>, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    /// 405: the path exists, with other methods.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let mut error =
            Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
        error.details();
        error
    }

    /// 406: none of the client's media types can be written.
    #[must_use]
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    /// 406: the client names no media type that is produced here.
    #[must_use]
    pub fn nothing_acceptable(available: &[&str]) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        let mut error = Self::new(406, "NotAcceptable", message);
        error.details();
        error
    }

    /// 406: what is asked for has no such representation.
    pub fn no_such_representation(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }

    /// 410: as [`Self::expired`], with a token with which the rest of the list can be had as it is now.
    #[must_use]
    pub fn expired_with_continue(message: impl Into<String>, token: String) -> Self {
        let mut error = Self::expired(message);
        error.0.metadata = meta::ListMeta { continue_: Some(token), ..meta::ListMeta::default() };
        error
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(resource: GroupResource<'_>, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} {name:?} already exists")).about(resource, name)
    }

    /// 409: the name is taken by an object that is about to go.
    #[must_use]
    pub fn still_exists(resource: GroupResource<'_>, name: &str) -> Self {
        let message = format!("object is being deleted: {resource} {name:?} already exists");
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// 409: `generateName` led to taken names only.
    #[must_use]
    pub fn generate_name_conflict(resource: GroupResource<'_>, name: &str, retry_after: u32) -> Self {
        let message = format!(
            "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
        );
        Self::new(409, "AlreadyExists", message).about(resource, name).retry_after(retry_after)
    }

    /// 409: the object is not as the request assumes.
    #[must_use]
    pub fn conflict(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"))
            .about(resource, name)
    }

    /// 409: the object has changed since the client read it.
    #[must_use]
    pub fn modified(resource: GroupResource<'_>, name: &str) -> Self {
        Self::conflict(resource, name, OBJECT_MODIFIED)
    }

    /// 409: server-side apply would take fields from others; each cause is a manager's message and
    /// a field.
    #[must_use]
    pub fn apply_conflict(message: &str, conflicts: &[(String, String)]) -> Self {
        conflicts.iter().fold(Self::new(409, "Conflict", message), |error, (why, field)| {
            error.cause("FieldManagerConflict", why, field)
        })
    }

    /// 410: what the request refers to is gone for good.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Gone", message)
    }

    /// 410: the resource version or continue token is too old; the client must list anew.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 410: a watch from a revision older than the oldest that is remembered.
    #[must_use]
    pub fn too_old_resource_version(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 413: the body is too long.
    #[must_use]
    pub fn request_entity_too_large(why: &str) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {why}"))
    }

    /// 415: the body has a media type that is not read here.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422: the object is invalid. `kind` names the kind, not the resource.
    #[must_use]
    pub fn invalid(kind: GroupResource<'_>, name: &str, errors: &[FieldError]) -> Self {
        let message = match field::aggregate(errors) {
            None => format!("{kind} {name:?} is invalid"),
            Some(what) => format!("{kind} {name:?} is invalid: {what}"),
        };
        let error = Self::new(422, "Invalid", message).about(kind, name);
        errors.iter().fold(error, |error, e| error.cause(e.kind.reason(), &e.body(), &e.field))
    }

    /// 422: a patch does not fit the object. Upstream tells no more than this.
    #[must_use]
    pub fn patch_rejected() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    /// 429: come again later.
    #[must_use]
    pub fn too_many_requests(message: &str, retry_after: u32) -> Self {
        Self::new(429, "TooManyRequests", message).retry_after(retry_after)
    }

    /// 429: a disruption budget does not let a pod go; upstream's words, and the reason.
    #[must_use]
    pub fn disruption_budget(why: &str, retry_after: u32) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Self::too_many_requests(message, retry_after).cause("DisruptionBudget", why, "")
    }

    /// 500: a bug or a broken disk.
    #[must_use]
    pub fn internal(error: impl fmt::Display) -> Self {
        let error = error.to_string();
        Self::new(500, "InternalError", format!("Internal error occurred: {error}")).cause("", &error, "")
    }

    /// 500: an error for which upstream has no reason of its own.
    pub fn unexplained(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 500: something passing stood in the way; the client may try again.
    #[must_use]
    pub fn server_timeout(resource: GroupResource<'_>, verb: &str, retry_after: u32) -> Self {
        let message =
            format!("The {verb} operation against {resource} could not be completed at this time, please try again.");
        Self::new(500, "ServerTimeout", message).about(resource, verb).retry_after(retry_after)
    }

    /// 503: not now, for instance while the store cannot be reached.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504: the time is up; the operation may still complete.
    #[must_use]
    pub fn timeout(what: &str, retry_after: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {what}")).retry_after(retry_after)
    }

    /// 504: a read at a revision that has not been reached.
    #[must_use]
    pub fn too_large_resource_version(asked: u64, current: u64, retry_after: u32) -> Self {
        Self::timeout(&format!("Too large resource version: {asked}, current: {current}"), retry_after).cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    /// The HTTP status.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.0.code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500)
    }

    /// The machine-readable reason, such as `NotFound`.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.0.reason.as_deref().unwrap_or_default()
    }

    /// Seconds after which to try again, for the `Retry-After` header.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.0.details.as_ref()?.retry_after_seconds.and_then(|seconds| u32::try_from(seconds).ok())
    }

    /// What goes over the wire.
    #[must_use]
    pub const fn status(&self) -> &meta::Status {
        &self.0
    }

    /// JSON bytes of the `Status`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("a Status has string keys and no failing serialisers")
    }
}

/// A fault of the server.
impl From<WrongType> for StatusError {
    fn from(error: WrongType) -> Self {
        Self::internal(error)
    }
}

impl From<meta::Status> for StatusError {
    fn from(status: meta::Status) -> Self {
        Self(Box::new(status))
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message.as_deref().unwrap_or_default())
    }
}

impl std::error::Error for StatusError {}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::field::Path;

    const PODS: GroupResource<'_> = GroupResource::new("", "pods");
    const DEPLOYMENTS: GroupResource<'_> = GroupResource::new("apps", "deployments");

    #[test]
    fn messages_and_codes_are_upstreams() {
        let cases = [
            (StatusError::not_found(PODS, "a"), 404, "NotFound", r#"pods "a" not found"#),
            (
                StatusError::already_exists(DEPLOYMENTS, "a"),
                409,
                "AlreadyExists",
                r#"deployments.apps "a" already exists"#,
            ),
            (StatusError::forbidden(PODS, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
            (StatusError::forbidden(PODS, "a", "no"), 403, "Forbidden", r#"pods "a" is forbidden: no"#),
            (
                StatusError::modified(DEPLOYMENTS, "a"),
                409,
                "Conflict",
                r#"Operation cannot be fulfilled on deployments.apps "a": the object has been modified; please apply your changes to the latest version and try again"#,
            ),
            (StatusError::too_old_resource_version(1, 9), 410, "Expired", "too old resource version: 1 (9)"),
            (
                StatusError::server_timeout(PODS, "list", 1),
                500,
                "ServerTimeout",
                "The list operation against pods could not be completed at this time, please try again.",
            ),
            (
                StatusError::method_not_supported(PODS, "delete"),
                405,
                "MethodNotAllowed",
                r#"delete is not supported on resources of kind "pods""#,
            ),
            (
                StatusError::too_large_resource_version(9, 1, 1),
                504,
                "Timeout",
                "Timeout: Too large resource version: 9, current: 1",
            ),
        ];
        for (error, code, reason, message) in cases {
            assert_eq!((error.code(), error.reason(), error.to_string().as_str()), (code, reason, message));
        }
    }

    #[test]
    fn an_invalid_object_is_told_field_by_field() {
        let path = Path::new("spec").child("replicas");
        let errors = [FieldError::invalid(&path, -1, "must be positive"), FieldError::required(&Path::new("spec"), "")];
        let error = StatusError::invalid(GroupResource::new("apps", "Deployment"), "web", &errors);
        let expected = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Deployment.apps \"web\" is invalid: [spec.replicas: Invalid value: -1: must be positive, spec: Required value]",
            "reason": "Invalid",
            "details": {
                "name": "web",
                "group": "apps",
                "kind": "Deployment",
                "causes": [
                    {"reason": "FieldValueInvalid", "message": "Invalid value: -1: must be positive", "field": "spec.replicas"},
                    {"reason": "FieldValueRequired", "message": "Required value", "field": "spec"},
                ],
            },
            "code": 422,
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&error.encode()).unwrap(), expected);
    }

    #[test]
    fn retry_after_is_told() {
        assert_eq!(StatusError::too_many_requests("slow down", 2).retry_after_seconds(), Some(2));
        assert_eq!(StatusError::bad_request("no").retry_after_seconds(), None);
    }
}
