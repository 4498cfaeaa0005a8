//! What an API server makes sure of: the namespaces, priority classes, flow control, roles and bindings that every cluster
//! has, what tells which groups it serves, the range of cluster IPs, and the service by which pods reach it.

pub mod api_services;
pub mod authentication_trust;
pub mod flow_control;
pub mod keeping;
pub mod kubernetes_service;
pub mod policy_types;
pub mod rbac;
pub mod service_cidr;

use std::sync::Arc;

use api_types::{
    Object, Resource, SYSTEM_PRIORITY_CLASSES, StatusError, core::Namespace, meta::ObjectMeta, rows,
    scheduling::PriorityClass,
};
use futures::future::try_join_all;

pub use crate::registry::own::{loopback_user, own_options};
use crate::registry::{Registry, Rest, Target, Write};

/// Namespaces that every cluster has.
const NAMESPACES: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "default"];

/// Creates the namespaces that every cluster has, unless they are there.
///
/// # Errors
/// The store's.
pub async fn ensure_namespaces(registry: &Registry) -> Result<(), StatusError> {
    let namespace =
        |name: &&str| -> Box<dyn Object> { Box::new(Namespace { metadata: named(name), ..Namespace::default() }) };
    create_absent(registry, &rows::NAMESPACES, NAMESPACES.iter().map(namespace).collect()).await
}

/// Creates the priority classes that every cluster has, unless they are there.
///
/// # Errors
/// The store's.
pub async fn ensure_priority_classes(registry: &Registry) -> Result<(), StatusError> {
    let class = |(name, value, description): (&str, i32, &str)| -> Box<dyn Object> {
        let description = Some(description.to_owned());
        Box::new(PriorityClass { metadata: named(name), value: Some(value), description, ..PriorityClass::default() })
    };
    create_absent(registry, &rows::PRIORITY_CLASSES, SYSTEM_PRIORITY_CLASSES.into_iter().map(class).collect()).await
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// What serves a row.
fn served(registry: &Registry, row: &Resource) -> Result<Arc<Rest>, StatusError> {
    let rest = registry.find(&row.group, &row.version, &row.plural);
    rest.ok_or_else(|| StatusError::internal(format!("{} are not served", row.plural)))
}

/// Creates objects of the cluster that are not there, all at once.
async fn create_absent(registry: &Registry, row: &Resource, objects: Vec<Box<dyn Object>>) -> Result<(), StatusError> {
    let rest = served(registry, row)?;
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let created = objects.into_iter().map(async |object| {
        // Who is asked about what is created need not be there yet when the server starts again.
        let name = object.meta().name.clone().unwrap_or_default();
        if registry.get_cached(&rest, Target { namespace: "", name: &name }).await.is_ok() {
            return Ok(());
        }
        match registry.create(&rest, &write, "", object).await {
            Err(error) if error.reason() != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    });
    try_join_all(created).await.map(drop)
}
