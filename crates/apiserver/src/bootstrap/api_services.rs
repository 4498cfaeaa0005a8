//! An `APIService` for each version of each group that this server serves: kubectl asks for them.

use std::collections::BTreeSet;

use api_types::{
    Object, Resource, StatusError,
    apiregistration::{APIService, APIServiceSpec},
    meta::ObjectMeta,
    rows,
};

use super::create_absent;
use crate::{discovery::Priority, registry::Registry};

/// Says that the server makes this object when it starts.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Creates those that are not there.
///
/// # Errors
/// The store's.
pub async fn ensure<'a>(registry: &Registry, rows: impl Iterator<Item = &'a Resource>) -> Result<(), StatusError> {
    // The group of API services has none itself, as upstream.
    let served = rows
        .filter(|row| row.group != rows::API_SERVICES.group)
        .map(|row| (row.group.to_string(), row.version.to_string()));
    let served: BTreeSet<(String, String)> = served.collect();
    let services = served.into_iter().filter_map(|(group, version)| service(group, version));
    create_absent(registry, &rows::API_SERVICES, services.collect()).await
}

/// None for a group that is not built in.
fn service(group: String, version: String) -> Option<Box<dyn Object>> {
    let priority = Priority::built_in(&group, &version)?;
    let metadata = ObjectMeta {
        name: Some(format!("{version}.{group}")),
        labels: Some([(AUTOMANAGED.to_owned(), "onstart".to_owned())].into()),
        ..ObjectMeta::default()
    };
    let spec = APIServiceSpec {
        group: Some(group).filter(|group| !group.is_empty()),
        version: Some(version),
        group_priority_minimum: priority.group,
        version_priority: priority.version,
        ..APIServiceSpec::default()
    };
    Some(Box::new(APIService { metadata, spec: Some(spec), status: None }))
}
