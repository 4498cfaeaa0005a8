//! The flow schemas and priority levels that every cluster has. They are made where they are missing; their specs are put
//! right as long as nobody says that they are to be left as they are.

use api_types::{
    Kind, MANDATORY_FLOW_CONTROL, Object, Resource, StatusError, flow_schemas,
    flowcontrol::{FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration},
    meta::{ObjectMeta, Time},
    priority_levels, rows,
};
use futures::future::try_join_all;

use super::{loopback_user, own_options, served};
use crate::registry::{Change, Changed, Part, Registry, Stored, Target, Write, strategy::now};

const DANGLING: &str = "Dangling";
/// Says whether the server keeps a spec as it is to be.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Makes those that are not there, puts right the specs of those that are kept, and says of schemas that their priority
/// levels exist.
///
/// # Errors
/// The store's.
pub async fn ensure(registry: &Registry) -> Result<(), StatusError> {
    ensure_each(registry, &rows::PRIORITY_LEVEL_CONFIGURATIONS, &priority_levels()).await?;
    let schemas = flow_schemas();
    ensure_each(registry, &rows::FLOW_SCHEMAS, &schemas).await?;
    let rest = served(registry, &rows::FLOW_SCHEMAS)?;
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let said =
        schemas.iter().map(|schema| registry.update(&rest, &write, named(schema.meta()), Part::Status, &SayFound));
    try_join_all(said).await.map(drop)
}

/// A kind of objects that are kept.
trait Kept: Kind + Object {
    /// Takes over the spec of another.
    fn take_spec(&mut self, expected: &Self);
}

impl Kept for FlowSchema {
    fn take_spec(&mut self, expected: &Self) {
        self.spec.clone_from(&expected.spec);
    }
}

impl Kept for PriorityLevelConfiguration {
    fn take_spec(&mut self, expected: &Self) {
        // How much an exempt level lends is free.
        let exempt = self.spec.as_ref().and_then(|spec| spec.exempt.clone());
        self.spec.clone_from(&expected.spec);
        if let Some(spec) = &mut self.spec
            && spec.exempt.is_some()
            && exempt.is_some()
        {
            spec.exempt = exempt;
        }
    }
}

async fn ensure_each<T: Kept>(registry: &Registry, row: &Resource, all: &[T]) -> Result<(), StatusError> {
    let rest = served(registry, row)?;
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let each = all.iter().map(async |expected| {
        match registry.update(&rest, &write, named(expected.metadata()), Part::Main, &Keeping(expected)).await {
            // Another server did the same at the same time.
            Err(error) if error.reason() != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    });
    try_join_all(each).await.map(drop)
}

fn named(meta: &ObjectMeta) -> Target<'_> {
    Target { namespace: "", name: meta.name.as_deref().unwrap_or_default() }
}

/// Makes an object what it is to be.
struct Keeping<'a, T>(&'a T);

impl<T: Kept> Change for Keeping<'_, T> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut object = current.object.clone_object();
        let existing = object.expect_mut::<T>(T::KIND)?;
        let kept = is_kept(existing.metadata());
        let annotations = existing.metadata_mut().annotations.get_or_insert_default();
        if annotations.get(AUTO_UPDATE).and_then(|value| truth(value)) != Some(kept) {
            annotations.insert(AUTO_UPDATE.to_owned(), kept.to_string());
        }
        if kept {
            existing.take_spec(self.0);
        }
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(Some(self.0.clone_object().into()))
    }
}

/// Whether the server keeps an object's spec: nobody says otherwise, or, if nobody says anything, nobody has changed it.
fn is_kept(meta: &ObjectMeta) -> bool {
    let mandatory = MANDATORY_FLOW_CONTROL.iter().any(|name| meta.name.as_deref() == Some(name));
    let said = meta.annotations.as_ref().and_then(|annotations| annotations.get(AUTO_UPDATE));
    mandatory || said.and_then(|value| truth(value)).unwrap_or(meta.generation == Some(1))
}

/// What Go reads as a boolean.
fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

struct SayFound;

impl Change for SayFound {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        if let Some(schema) = new.downcast_mut::<FlowSchema>() {
            let level = schema.spec.as_ref().map(|spec| spec.priority_level_configuration.name.clone());
            let conditions = schema.status.get_or_insert_default().conditions.get_or_insert_default();
            if !conditions.iter().any(|condition| condition.type_.as_deref() == Some(DANGLING)) {
                conditions.push(found(&level.unwrap_or_default()));
            }
        }
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

fn found(level: &str) -> FlowSchemaCondition {
    FlowSchemaCondition {
        type_: Some(DANGLING.into()),
        status: Some("False".into()),
        reason: Some("Found".into()),
        message: Some(format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists"
        )),
        last_transition_time: Some(Time(now())),
    }
}
