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
    catalogue::Request,
    managed_fields::{self, Applied, Force, Writer, put_together},
    patch::{Patch, PatchType},
    registry::{Change, Changed, Part, Rest, Stored, Write, decode},
    request::Query,
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
    pub(super) fn apply_to(&self, current: Value, schema: &schema::Type) -> Result<Value, StatusError> {
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
    let write = write(&request, "PatchOptions")?;
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
        let decoded = decode::decode_tree(&self.rest.row, patched, self.write.options.field_validation)?;
        decoded.warnings.into_iter().for_each(|warning| self.write.warn(warning));
        Ok(decoded.object)
    }

    fn configure(&self, current: Option<&Stored>, config: &Value) -> Result<Changed, StatusError> {
        let writer = Writer {
            resource: &self.rest.row,
            manager: &self.write.options.field_manager,
            subresource: self.part.subresource(),
            now: crate::registry::strategy::now(),
        };
        let applied = managed_fields::apply(current.map(Stored::live), config, &writer, self.force);
        let Applied { object, managed } = applied.map_err(|error| StatusError::from(&error))?;
        let mut object = self.decode(&object)?;
        let meta = object.meta_mut();
        meta.name.get_or_insert_with(|| self.name.to_owned());
        // What is applied is merged into this version, unless the configuration insists on another.
        if meta.resource_version.is_none() {
            meta.resource_version = current.and_then(|current| current.object.meta().resource_version.clone());
        }
        Ok(Changed { object, managed: Some(managed) })
    }

    /// The object as patches see it. Its managed fields are left out where the patch does not see them.
    fn tree(&self, current: &Stored) -> Result<Value, StatusError> {
        let json = match self.patch {
            PatchBody::Patch(patch) if patch.may_see_managed_fields() => {
                put_together(&current.json, &current.managed).map_err(StatusError::internal)?
            }
            _ => current.json.clone(),
        };
        let text = std::str::from_utf8(&json).map_err(StatusError::internal)?;
        let mut tree: Value = serde_json::from_str(text).map_err(StatusError::internal)?;
        if let (Some(Value::Object(metadata)), Some(version)) =
            (tree.get_mut("metadata"), &current.object.meta().resource_version)
        {
            metadata.insert("resourceVersion".to_owned(), version.as_str().into());
        }
        Ok(tree)
    }
}

impl Change for ApplyPatch<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let row = &self.rest.row;
        match self.patch {
            PatchBody::Configuration(config) => self.configure(Some(current), config),
            patch => {
                let patched = patch.apply_to(self.tree(current)?, row.schema())?;
                self.decode(&patched).map(Changed::from)
            }
        }
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        match self.patch {
            PatchBody::Configuration(config) => self.configure(None, config).map(Some),
            PatchBody::Patch(_) => Ok(None),
        }
    }
}
