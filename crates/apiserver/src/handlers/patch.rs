//! PATCH.

use api_types::{Object, StatusError};
use bytes::Bytes;
use http::header;
use serde_json::Value;

use super::{Answer, Call, body, create::written_answer, write};
use crate::{
    registry::{Change, Part, Rest, Write, decode::decode},
    request::Request,
};

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// What `PATCH` takes.
const ACCEPTED: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

impl PatchType {
    fn of(header: Option<&str>) -> Result<Self, StatusError> {
        let media_type = header.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match media_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(StatusError::unsupported_media_type(ACCEPTED)),
        }
    }
}

/// A patch as the client sent it.
pub(super) struct PatchBody {
    kind: PatchType,
    text: Bytes,
}

impl PatchBody {
    /// Reads a patch.
    ///
    /// # Errors
    /// 415 for an unknown type, 413 when it is too long.
    pub(super) async fn read(request: &mut Request) -> Result<Self, StatusError> {
        let kind = PatchType::of(request.header(&header::CONTENT_TYPE))?;
        Ok(Self { kind, text: body::read(request).await? })
    }
}

impl PatchBody {
    /// Applies the patch to something that has no merge keys.
    ///
    /// # Errors
    /// 400 or 422 when it cannot be applied.
    pub(super) fn apply_plain(&self, current: Value) -> Result<Value, StatusError> {
        match self.kind {
            PatchType::Json => apply_json(current, &self.text),
            PatchType::Merge | PatchType::Strategic => apply_merge(current, &self.text),
            PatchType::Apply => Err(StatusError::unsupported_media_type(ACCEPTED)),
        }
    }
}

fn apply_json(mut current: Value, text: &[u8]) -> Result<Value, StatusError> {
    let patch: json_patch::Patch = parse(text)?;
    json_patch::patch(&mut current, &patch).map_err(|error| StatusError::bad_request(error.to_string()))?;
    Ok(current)
}

fn apply_merge(mut current: Value, text: &[u8]) -> Result<Value, StatusError> {
    json_patch::merge(&mut current, &parse(text)?);
    Ok(current)
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, StatusError> {
    serde_json::from_slice(text).map_err(|error| StatusError::bad_request(format!("error decoding patch: {error}")))
}

pub(super) async fn answer(call: &Call<'_>, mut request: Request, part: Part) -> Answer {
    let patch = PatchBody::read(&mut request).await?;
    let write = write(&request, "PatchOptions")?;
    let change = ApplyPatch { rest: call.rest, patch: &patch, write: &write };
    let written = call.registry().update(call.rest, &write, call.target(), part, &change).await?;
    written_answer(request.accept, &written, write.warnings.into_inner())
}

struct ApplyPatch<'a> {
    rest: &'a Rest,
    patch: &'a PatchBody,
    write: &'a Write<'a>,
}

impl Change for ApplyPatch<'_> {
    fn apply(&self, current: &dyn Object) -> Result<Box<dyn Object>, StatusError> {
        let patched = self.patch.apply_plain(current.to_value())?;
        let json = serde_json::to_vec(&patched).map_err(StatusError::internal)?;
        let decoded = decode(self.rest.row, &json, self.write.options.field_validation)?;
        decoded.warnings.into_iter().for_each(|warning| self.write.warn(warning));
        Ok(decoded.object)
    }

    fn create(&self) -> Result<Option<Box<dyn Object>>, StatusError> {
        Ok(None)
    }
}
