//! `/scale`: the number of replicas, the same for all kinds that have one.

use api_types::{Object, StatusError, autoscaling::Scale, codec::by_serde};
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::Value;

use super::{
    Answer, Call, body,
    patch::{PatchBody, force},
    write,
};
use crate::{
    catalogue::{Endpoint, Request},
    managed_fields::{self, Applied, Configuration, Force, Writer},
    registry::{
        Change, Changed, Part, Rest, Stored, Write,
        decode::{Read, Sent, Wanted, decode_kind, decode_stored},
        strategy::now,
        update::scale_of,
    },
    request::Verb,
    serving::respond,
};

/// Reads and writes the number of replicas.
pub struct Replicas;

impl Endpoint for Replicas {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(answer(call, request))
    }
}

async fn answer(call: &Call<'_>, mut request: Request) -> Answer {
    if request.info.verb == Verb::Get {
        let object = call.registry().get_object(call.rest, call.target()).await?;
        return scale_answer(call, &request, &*object);
    }
    let source = match request.info.verb {
        Verb::Patch => Source::Patch(PatchBody::read(&mut request).await?),
        _ => Source::Whole(body::read_json(&mut request).await?),
    };
    let force = match &source {
        Source::Patch(patch) => force(&request.query, patch)?,
        Source::Whole(_) => Force::No,
    };
    let write = write(&request, "UpdateOptions")?;
    let change = SetScale { rest: call.rest, source: &source, force, write: &write };
    let written = call.registry().update(call.rest, &write, call.target(), Part::Scale, &change).await?;
    let object = decode_stored(&call.rest.row, &written.json).map_err(StatusError::internal)?;
    scale_answer(call, &request, &*object)
}

fn scale_answer(call: &Call<'_>, request: &Request, object: &dyn Object) -> Answer {
    let scale = scale_of(call.rest, object)?;
    Ok(respond::object(StatusCode::OK, request.accept.encoding, scale.encode().into()))
}

enum Source {
    Whole(Sent),
    Patch(PatchBody),
}

/// Makes the new scale of an object.
struct SetScale<'a> {
    rest: &'a Rest,
    source: &'a Source,
    force: Force,
    write: &'a Write<'a>,
}

impl SetScale<'_> {
    fn whole(&self, sent: &Sent) -> Result<Scale, StatusError> {
        let decoded = decode_kind(&wanted(), sent, self.write.options.field_validation)?;
        decoded.warnings.into_iter().for_each(|warning| self.write.warn(warning));
        Ok(decoded.object)
    }

    /// Who applies a scale owns the number of replicas in the object itself.
    fn applied(&self, current: &Stored, config: &Configuration) -> Result<Changed, StatusError> {
        let writer = Writer {
            resource: &self.rest.row,
            manager: &self.write.options.field_manager,
            subresource: Part::Scale.subresource(),
            now: now(),
        };
        wanted().check_configuration(config).map_err(|error| StatusError::from(&error))?;
        let replicas = self.rest.strategy.replicas_path();
        let of_object = config.as_part(&self.rest.row, "/spec/replicas", &replicas);
        let applied = managed_fields::apply(Some(current.live()), &of_object, &writer, self.force);
        let Applied { managed, .. } = applied.map_err(|error| StatusError::from(&error))?;
        let mut scale = scale_of(self.rest, &*current.object)?;
        if let Some(replicas) = config.tree.pointer("/spec/replicas") {
            let replicas = replicas.as_i64().and_then(|replicas| i32::try_from(replicas).ok());
            scale.spec.get_or_insert_default().replicas = replicas;
        }
        if let Some(version) = config.tree.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
            scale.metadata.resource_version = Some(version.to_owned());
        }
        Ok(Changed { object: Box::new(scale), managed: Some(managed) })
    }
}

fn wanted() -> Wanted<'static> {
    Wanted::kind("autoscaling", "v1", "Scale")
}

impl Change for SetScale<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let scale: Box<dyn Object> = match self.source {
            Source::Whole(sent) => Box::new(self.whole(sent)?),
            Source::Patch(PatchBody::Configuration(config)) => return self.applied(current, config),
            Source::Patch(PatchBody::Patch(patch)) => {
                let before = scale_of(self.rest, &*current.object)?.to_value();
                let read = |json: &[u8]| by_serde(json).map(Read::whole);
                Box::new(patch.make::<Scale>(before, &wanted(), self.write, read)?)
            }
        };
        Ok(scale.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}
