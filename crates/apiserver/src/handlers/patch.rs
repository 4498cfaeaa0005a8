//! PATCH, server-side apply among it.

use api_types::{
    GroupResource, StatusError,
    field::{FieldError, Path},
};
use bytes::Bytes;
use http::header;
use serde_json::Value;

use super::{Answer, Call, body, create::written_answer, write};
use crate::{
    catalogue::Request,
    json::go_value::Printed,
    managed_fields::{self, Applied, Configuration, Force, Writer, put_together},
    patch::{Patch, PatchType},
    registry::{
        Change, Changed, FieldValidation, Identity, Part, Rest, Stored, Write,
        decode::{self, Read, Sent, Wanted, repeated},
    },
    request::Query,
};

/// A patch as the client sent it, decoded.
pub(super) enum PatchBody {
    /// Applied to whatever is there.
    Patch(SentPatch),
    /// What the client wants the fields that it owns to be.
    Configuration(Configuration),
}

/// A patch, and what a strict reader objects to in it.
pub(super) struct SentPatch {
    patch: Patch,
    objections: Vec<String>,
}

impl PatchBody {
    /// Reads a patch.
    ///
    /// # Errors
    /// 415 for an unknown type, 413 when it is too long, 400 when it is malformed.
    pub(super) async fn read(request: &mut Request) -> Result<Self, StatusError> {
        let media_type = request.header(&header::CONTENT_TYPE).unwrap_or_default();
        let kind = PatchType::of(media_type).ok_or_else(|| unsupported(PatchType::ALL))?;
        let text = body::read(request).await?;
        let mut objections = repeated(&text);
        let patch = match kind {
            PatchType::Json => {
                objections.iter_mut().for_each(|objection| objection.insert_str(0, "json patch "));
                Patch::json(&text)
            }
            PatchType::Merge => Patch::merge(&text),
            PatchType::StrategicMerge => Patch::strategic_merge(&text),
            PatchType::Apply => return configuration(text).map(Self::Configuration),
        };
        let patch = patch.map_err(|error| StatusError::from(&error))?;
        Ok(Self::Patch(SentPatch { patch, objections }))
    }
}

impl SentPatch {
    /// What becomes of an object.
    ///
    /// # Errors
    /// When the patch does not fit the object; 422 when what comes out is no object of that kind, or has fields that it
    /// does not have and must not.
    pub(super) fn make<T>(
        &self,
        before: Value,
        wanted: &Wanted<'_>,
        write: &Write<'_>,
        decode: impl Fn(&[u8]) -> Result<Read<T>, serde_json::Error>,
    ) -> Result<T, StatusError> {
        let mut patched = self.patch.apply(before, wanted.schema()).map_err(|error| StatusError::from(&error))?;
        // Here upstream does not ask what the object says that it is.
        if let (Patch::StrategicMerge(_), Value::Object(members)) = (&self.patch, &mut patched) {
            members.remove("apiVersion");
            members.remove("kind");
        }
        let sent = Sent { objections: self.objections.clone(), ..decode::tree(&patched)? };
        let decoded = wanted.read(&sent, write.options.field_validation, decode);
        let decoded = decoded.map_err(|fault| self.refusal(&sent, fault.why()))?;
        decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
        Ok(decoded.object)
    }

    fn refusal(&self, patched: &Sent, why: &str) -> StatusError {
        let quoted = match &self.patch {
            Patch::StrategicMerge(patch) => Printed(&Value::Object(patch.clone())).to_string(),
            Patch::Json(_) | Patch::Merge(_) => String::from_utf8_lossy(&patched.json).into_owned(),
        };
        let error = FieldError::invalid(&Path::new("patch"), quoted, why);
        StatusError::invalid(GroupResource::default(), "", &[error])
    }
}

fn unsupported(accepted: &[(&str, PatchType)]) -> StatusError {
    let accepted: Vec<&str> = accepted.iter().map(|(name, _)| *name).collect();
    StatusError::unsupported_media_type(&accepted)
}

/// YAML, of which JSON is a part.
fn configuration(text: Bytes) -> Result<Configuration, StatusError> {
    let malformed = |error: &dyn std::fmt::Display| StatusError::bad_request(format!("error decoding YAML: {error}"));
    let sent =
        decode::yaml_to_json(&text).map_err(|error| malformed(&format!("error converting YAML to JSON: {error}")))?;
    let tree = decode::any(&sent.json).map_err(|error| malformed(&error))?;
    let repeated = repeated(&sent.json);
    let objections = sent.objections.into_iter().map(|objection| format!("error converting YAML to JSON: {objection}"));
    Ok(Configuration { tree, objections: objections.chain(repeated).collect() })
}

pub(super) async fn answer(call: &Call<'_>, mut request: Request, part: Part) -> Answer {
    let patch = PatchBody::read(&mut request).await?;
    refuse_strategic(call.rest, &patch)?;
    let force = force(&request.query, &patch)?;
    let write = write(&request, "PatchOptions")?;
    let change = ApplyPatch { rest: call.rest, part, name: &call.place.name, patch: &patch, force, write: &write };
    let written = call.registry().update(call.rest, &write, call.target(), part, &change).await?;
    written_answer(call.rest, &request, &written)
}

/// Kinds that came at run time have nothing that says how they are merged.
fn refuse_strategic(rest: &Rest, patch: &PatchBody) -> Result<(), StatusError> {
    let strategic = matches!(patch, PatchBody::Patch(SentPatch { patch: Patch::StrategicMerge(_), .. }));
    if !strategic || rest.row.ops.own_schema().is_none() {
        return Ok(());
    }
    let others: Vec<_> =
        PatchType::ALL.iter().copied().filter(|(_, kind)| *kind != PatchType::StrategicMerge).collect();
    Err(unsupported(&others))
}

/// Whether what others own is taken over.
///
/// # Errors
/// 422 when an option does not fit the type of the patch.
pub(super) fn force(query: &Query, patch: &PatchBody) -> Result<Force, StatusError> {
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
    fn configure(&self, current: Option<&Stored>, config: &Configuration) -> Result<Changed, StatusError> {
        let row = &self.rest.row;
        let writer = Writer {
            resource: row,
            manager: &self.write.options.field_manager,
            subresource: self.part.subresource(),
            now: crate::registry::strategy::now(),
        };
        // What cannot be read is told below.
        if row.ops.own_schema().is_some()
            && let Ok(read) = decode::of_row(row, &decode::tree(&config.tree)?.json)
            && !read.dropped.is_empty()
        {
            return Err(StatusError::from(&config.undeclared(&read.dropped)));
        }
        let applied = managed_fields::apply(current.map(Stored::live), config, &writer, self.force);
        let Applied { object, managed } = applied.map_err(|error| StatusError::from(&error))?;
        self.object_to(config)?;
        let decoded = decode::decode(row, &decode::tree(&object)?, FieldValidation::Warn)?;
        decoded.warnings.into_iter().for_each(|warning| self.write.warn(warning));
        let mut object = decoded.object;
        let meta = object.meta_mut();
        meta.name.get_or_insert_with(|| self.name.to_owned());
        // What is applied is merged into this version, unless the configuration insists on another.
        if meta.resource_version.is_none() {
            meta.resource_version = current.and_then(|current| current.object.meta().resource_version.clone());
        }
        Ok(Changed { object, managed: Some(managed) })
    }

    /// Warns of what a strict reader objects to, or refuses it.
    fn object_to(&self, config: &Configuration) -> Result<(), StatusError> {
        for objection in &config.objections {
            match self.write.options.field_validation {
                FieldValidation::Ignore => {}
                FieldValidation::Warn => self.write.warn(objection.clone()),
                FieldValidation::Strict => {
                    return Err(StatusError::bad_request(format!("error strict decoding YAML: {objection}")));
                }
            }
        }
        Ok(())
    }

    /// The object as patches see it. Its managed fields are left out where the patch does not see them.
    fn tree(&self, current: &Stored) -> Result<Value, StatusError> {
        let json = match self.patch {
            PatchBody::Patch(sent) if sent.patch.may_see_managed_fields() => {
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
            PatchBody::Patch(patch) => {
                let read = |json: &[u8]| decode::of_row(row, json);
                Ok(patch.make(self.tree(current)?, &Wanted::of(row), self.write, read)?.into())
            }
        }
    }

    fn identity(&self) -> Identity {
        Identity::Field
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        match self.patch {
            PatchBody::Configuration(config) => {
                let new = self.configure(None, config)?;
                if let Some(uid) = new.object.meta().uid.as_deref().filter(|uid| !uid.is_empty()) {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    );
                    return Err(StatusError::conflict(self.rest.group_resource(), self.name, &why));
                }
                Ok(Some(new))
            }
            PatchBody::Patch(_) => Ok(None),
        }
    }
}
