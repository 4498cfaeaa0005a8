//! The flow schemas and priority levels that every cluster has.

use api_types::{
    Object, StatusError, flow_schemas,
    flowcontrol::{FlowSchema, FlowSchemaCondition},
    meta::Time,
    priority_levels, rows,
};
use futures::future::try_join_all;

use super::{create_absent, loopback_user, own_options, served};
use crate::registry::{Change, Changed, Part, Registry, Stored, Target, Write, strategy::now};

const DANGLING: &str = "Dangling";

/// Creates those that are not there, and says of schemas that their priority levels exist.
///
/// # Errors
/// The store's.
pub async fn ensure(registry: &Registry) -> Result<(), StatusError> {
    let levels = priority_levels().into_iter().map(|level| Box::new(level) as Box<dyn Object>).collect();
    create_absent(registry, &rows::PRIORITY_LEVEL_CONFIGURATIONS, levels).await?;
    let schemas = flow_schemas();
    let names: Vec<String> = schemas.iter().filter_map(|schema| schema.metadata.name.clone()).collect();
    let schemas = schemas.into_iter().map(|schema| Box::new(schema) as Box<dyn Object>).collect();
    create_absent(registry, &rows::FLOW_SCHEMAS, schemas).await?;
    let rest = served(registry, &rows::FLOW_SCHEMAS)?;
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let said = names
        .iter()
        .map(|name| registry.update(&rest, &write, Target { namespace: "", name }, Part::Status, &SayFound));
    try_join_all(said).await.map(drop)
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
