//! POST to a collection, and to `/binding`.

use api_types::{
    GroupResource, Object, StatusError, core,
    field::{self, FieldError, Path},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::StatusCode;

use super::{Answer, Call, body, table, write};
use crate::{
    catalogue::{Answered, Asked, Endpoint, Request},
    registry::{
        Change, Changed, Door, Made, Operation, Part, Registry, Rest, Review, Stored, Target, Write, Written,
        decode::{Sent, Wanted, decode, decode_kind},
        review::decode_as,
    },
    request::{Encoding, Form},
    serving::{Response, respond},
};

pub(super) async fn answer(call: &Call<'_>, mut request: Request) -> Answer {
    let sent = body::read_json(&mut request).await?;
    let write = write(&request, "CreateOptions")?;
    let decoded = decode(&call.rest.row, &sent, write.options.field_validation)?;
    decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
    let written = call.registry().create(call.rest, &write, call.target().namespace, decoded.object).await?;
    written_answer(call.rest, &request, &written)
}

/// The answer to a write that led to an object.
pub(super) fn written_answer(rest: &Rest, request: &Request, written: &Written) -> Answer {
    let code = match written.made {
        Made::Created => StatusCode::CREATED,
        Made::Changed => StatusCode::OK,
    };
    object_answer(rest, request, code, written.json.clone())
}

/// An object that was written, as the client wants to see it.
pub(super) fn object_answer(rest: &Rest, request: &Request, code: StatusCode, json: Bytes) -> Answer {
    let json = match request.accept.form {
        Form::Object => json,
        Form::Metadata => table::metadata_of(&json, request.accept.version)?.into(),
        Form::MetadataList => return Err(table::not_a_list(&rest.row)),
        Form::Table => table::of_written(rest, &json, table::Options::of(request)?)?,
    };
    Ok(respond::object(code, request.accept.encoding, json))
}

/// What a write answers that leads to no object of its own.
pub(super) fn done(encoding: Encoding) -> Response {
    let status = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}"#;
    respond::object(StatusCode::CREATED, encoding, Bytes::from_static(status))
}

/// `/binding` of a pod puts it on a node.
pub struct Binding;

impl Endpoint for Binding {
    fn answer<'a>(&'a self, call: &'a Call<'a>, mut request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let row = &call.rest.row;
            let subresource = Part::Binding.subresource();
            let door = Door { operation: Operation::Create, row, subresource, target: call.target() };
            let sent = body::read_json(&mut request).await?;
            let write = write(&request, "CreateOptions")?;
            let binding = read_binding(&sent, &write)?;
            bind(call.registry(), door, write, binding).await?;
            Ok(done(request.accept.encoding))
        })
    }
}

/// `POST …/bindings` names the pod in the body.
pub struct Bindings;

impl Answered for Bindings {
    fn answer<'a>(&'a self, asked: Asked<'a>, mut request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let sent = body::read_json(&mut request).await?;
            let write = write(&request, "CreateOptions")?;
            let binding = read_binding(&sent, &write)?;
            let pod = binding.metadata.name.clone().unwrap_or_default();
            let target = Target { namespace: &asked.place.namespace, name: &pod };
            let door = Door { operation: Operation::Create, row: asked.row, subresource: "", target };
            bind(asked.registry, door, write, binding).await?;
            Ok(done(request.accept.encoding))
        })
    }
}

fn read_binding(sent: &Sent, write: &Write<'_>) -> Result<core::Binding, StatusError> {
    let wanted = Wanted::kind("", "v1", "Binding");
    let decoded = decode_kind(&wanted, sent, write.options.field_validation)?;
    decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
    Ok(decoded.object)
}

/// Puts a pod on a node as a binding says that came by this door.
async fn bind(
    registry: &Registry,
    door: Door<'_>,
    write: Write<'_>,
    binding: core::Binding,
) -> Result<(), StatusError> {
    let mut object: Box<dyn Object> = Box::new(binding);
    registry.admit(&mut Review::other(door, &write, &mut object, decode_as::<core::Binding>)).await?;
    let binding: &core::Binding = object.expect_ref("Binding")?;
    if binding.metadata.name.as_deref().unwrap_or_default() != door.target.name {
        return Err(StatusError::bad_request("name in URL does not match name in Binding object"));
    }
    check_target(&binding.target)?;
    registry.validate(&Review::other(door, &write, &mut object, decode_as::<core::Binding>)).await?;
    let binding: &core::Binding = object.expect_ref("Binding")?;
    let node = check_target(&binding.target)?;
    let change = Bind { node, binding };
    let pods = registry.core("pods")?;
    let write = write.reviewed();
    registry.update(&pods, &write, door.target, Part::Binding, &change).await.map(drop)
}

/// The node. Upstream gives no reason for what is wrong with it.
fn check_target(target: &core::ObjectReference) -> Result<&str, StatusError> {
    let path = Path::new("target");
    let kind = target.kind.as_deref().unwrap_or_default();
    let node = target.name.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if node.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match field::aggregate(&errors) {
        None => Ok(node),
        Some(what) => Err(StatusError::unexplained(what)),
    }
}

/// Sets a pod's node, once.
struct Bind<'a> {
    node: &'a str,
    binding: &'a core::Binding,
}

impl Change for Bind<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        self.bind(new.expect_mut("Pod")?)?;
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

impl Bind<'_> {
    fn bind(&self, pod: &mut core::Pod) -> Result<(), StatusError> {
        const PODS: GroupResource<'_> = GroupResource::new("", "pods");
        const BINDING: GroupResource<'_> = GroupResource::new("", "pods/binding");
        let name = pod.metadata.name.clone().unwrap_or_default();
        for (what, wanted, actual) in [
            ("UID", &self.binding.metadata.uid, &pod.metadata.uid),
            ("ResourceVersion", &self.binding.metadata.resource_version, &pod.metadata.resource_version),
        ] {
            let actual = actual.as_deref().unwrap_or_default();
            if let Some(wanted) = wanted.as_deref().filter(|wanted| !wanted.is_empty() && *wanted != actual) {
                let why =
                    format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}");
                return Err(StatusError::conflict(PODS, &name, &why));
            }
        }
        let conflict = |why: &str| Err(StatusError::conflict(BINDING, &name, why));
        if pod.metadata.deletion_timestamp.is_some() {
            return conflict(&format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        let Some(spec) = &mut pod.spec else { return conflict("pod has no spec") };
        if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
            return conflict(&format!("pod {name} is already assigned to node {node:?}"));
        }
        if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
            return conflict(&format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        spec.node_name = Some(self.node.to_owned());
        if let Some(annotations) = self.binding.metadata.annotations.clone() {
            pod.metadata.annotations.get_or_insert_default().extend(annotations);
        }
        for (key, value) in self.binding.metadata.labels.iter().flatten() {
            pod.metadata.labels.get_or_insert_default().entry(key.clone()).or_insert_with(|| value.clone());
        }
        set_scheduled(pod);
        Ok(())
    }
}

fn set_scheduled(pod: &mut core::Pod) {
    const SCHEDULED: &str = "PodScheduled";
    let scheduled = core::PodCondition {
        type_: SCHEDULED.into(),
        status: "True".into(),
        last_transition_time: Some(api_types::meta::Time(crate::registry::strategy::now())),
        ..core::PodCondition::default()
    };
    let status = pod.status.get_or_insert_default();
    // It was for those who waited.
    status.nominated_node_name = None;
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != SCHEDULED);
    conditions.push(scheduled);
}
