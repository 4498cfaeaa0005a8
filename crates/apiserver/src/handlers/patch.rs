//! PATCH, server-side apply among it.

use api_types::{
    GroupResource, Object, StatusError,
    field::{FieldError, Path},
    schema,
};
use http::header;
use serde_json::Value;

use super::{Answer, Call, body, create::written_answer, write};
use crate::{
    managed_fields::{self, Force, Writer},
    patch::{Patch, PatchType},
    registry::{Change, FieldTracking, Part, Rest, Write, decode},
    request::{Query, Request},
};

/// A patch as the client sent it, decoded.
pub(super) enum PatchBody {
    /// Applied to whatever is there.
    Patch(Patch),
    /// What the client wants the fields that it owns to be.
    Configuration(Value),
}

impl PatchBody {
    /// Reads a patch.
    ///
    /// # Errors
    /// 415 for an unknown type, 413 when it is too long, 400 when it is malformed.
    pub(super) async fn read(request: &mut Request) -> Result<Self, StatusError> {
        let media_type = request.header(&header::CONTENT_TYPE).unwrap_or_default();
        let kind = PatchType::of(media_type).ok_or_else(unsupported)?;
        let text = body::read(request).await?;
        let patch = match kind {
            PatchType::Json => Patch::json(&text),
            PatchType::Merge => Patch::merge(&text),
            PatchType::StrategicMerge => Patch::strategic_merge(&text),
            PatchType::Apply => return configuration(&text),
        };
        patch.map(Self::Patch).map_err(|error| StatusError::from(&error))
    }

    /// Applies a patch that is no configuration.
    ///
    /// # Errors
    /// When it does not fit the object; 415 for a configuration.
    pub(super) fn apply_to(&self, current: Value, schema: &'static schema::Type) -> Result<Value, StatusError> {
        match self {
            Self::Patch(patch) => patch.apply(current, schema).map_err(|error| StatusError::from(&error)),
            Self::Configuration(_) => Err(unsupported()),
        }
    }
}

fn unsupported() -> StatusError {
    let accepted: Vec<&str> = PatchType::ALL.iter().map(|(name, _)| *name).collect();
    StatusError::unsupported_media_type(&accepted)
}

/// YAML, of which JSON is a part.
fn configuration(text: &[u8]) -> Result<PatchBody, StatusError> {
    let json = decode::yaml_to_json(text)?;
    let tree = serde_json::from_slice(&json).map_err(|error| StatusError::bad_request(error.to_string()))?;
    Ok(PatchBody::Configuration(tree))
}

pub(super) async fn answer(call: &Call<'_>, mut request: Request, part: Part) -> Answer {
    let patch = PatchBody::read(&mut request).await?;
    let force = force(&request.query, &patch)?;
    let mut write = write(&request, "PatchOptions")?;
    if matches!(patch, PatchBody::Configuration(_)) {
        write.fields = FieldTracking::Done;
    }
    let change = ApplyPatch { rest: call.rest, part, name: &call.place.name, patch: &patch, force, write: &write };
    let written = call.registry().update(call.rest, &write, call.target(), part, &change).await?;
    written_answer(request.accept, &written, write.warnings.into_inner())
}

fn force(query: &Query, patch: &PatchBody) -> Result<Force, StatusError> {
    let invalid = |error| StatusError::invalid(GroupResource::new("meta.k8s.io", "PatchOptions"), "", &[error]);
    match patch {
        PatchBody::Configuration(_) if query.get("fieldManager").is_none() => {
            Err(invalid(FieldError::required(&Path::new("fieldManager"), "is required for apply patch")))
        }
        PatchBody::Patch(_) if query.contains("force") => {
            Err(invalid(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch")))
        }
        _ => Ok(if query.flag("force") { Force::Yes } else { Force::No }),
    }
}

struct ApplyPatch<'a> {
    rest: &'a Rest,
    part: Part,
    name: &'a str,
    patch: &'a PatchBody,
    force: Force,
    write: &'a Write<'a>,
}

impl ApplyPatch<'_> {
    fn decode(&self, patched: &Value) -> Result<Box<dyn Object>, StatusError> {
        let json = serde_json::to_vec(patched).map_err(StatusError::internal)?;
        let decoded = decode::decode(self.rest.row, &json, self.write.options.field_validation)?;
        decoded.warnings.into_iter().for_each(|warning| self.write.warn(warning));
        Ok(decoded.object)
    }

    fn configure(&self, live: Option<&dyn Object>, config: &Value) -> Result<Box<dyn Object>, StatusError> {
        let writer = Writer {
            resource: self.rest.row,
            manager: &self.write.options.field_manager,
            subresource: self.part.subresource(),
            now: crate::registry::strategy::now(),
        };
        let applied = managed_fields::apply(live, config, &writer, self.force);
        let mut object = self.decode(&applied.map_err(|error| StatusError::from(&error))?)?;
        object.meta_mut().name.get_or_insert_with(|| self.name.to_owned());
        Ok(object)
    }
}

impl Change for ApplyPatch<'_> {
    fn apply(&self, current: &dyn Object) -> Result<Box<dyn Object>, StatusError> {
        let row = self.rest.row;
        match self.patch {
            PatchBody::Configuration(config) => self.configure(Some(current), config),
            patch => {
                let schema = schema::of(row.group, row.version, row.kind);
                self.decode(&patch.apply_to(current.to_value(), schema)?)
            }
        }
    }

    fn create(&self) -> Result<Option<Box<dyn Object>>, StatusError> {
        match self.patch {
            PatchBody::Configuration(config) => self.configure(None, config).map(Some),
            PatchBody::Patch(_) => Ok(None),
        }
    }
}
