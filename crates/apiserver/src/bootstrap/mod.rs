//! What an API server makes sure of: the namespaces, priority classes, roles and bindings that every cluster has, the range
//! of cluster IPs, and the service by which pods reach it.

pub mod kubernetes_service;
pub mod rbac;
pub mod service_cidr;

use api_types::{
    Object, SYSTEM_PRIORITY_CLASSES, StatusError, core::Namespace, meta::ObjectMeta, rows, scheduling::PriorityClass,
};

use crate::{
    registry::{Registry, Rest, Write, WriteOptions},
    request::{User, user::MASTERS},
};

/// Namespaces that every cluster has.
const NAMESPACES: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "default"];

/// The API server itself, as managed fields name it.
const MANAGER: &str = "kube-apiserver";

/// The API server as a user of itself.
#[must_use]
pub fn loopback_user() -> User {
    User::authenticated("system:apiserver", "", vec![MASTERS.into()])
}

/// Options of the API server's own writes.
#[must_use]
pub fn own_options() -> WriteOptions {
    WriteOptions { field_manager: MANAGER.into(), ..WriteOptions::default() }
}

/// Creates the namespaces that every cluster has, unless they are there.
///
/// # Errors
/// The store's.
pub async fn ensure_namespaces(registry: &Registry) -> Result<(), StatusError> {
    let namespaces = registry.core("namespaces")?;
    for name in NAMESPACES {
        let namespace = Namespace { metadata: named(name), ..Namespace::default() };
        ensure(registry, &namespaces, Box::new(namespace)).await?;
    }
    Ok(())
}

/// Creates the priority classes that every cluster has, unless they are there.
///
/// # Errors
/// The store's.
pub async fn ensure_priority_classes(registry: &Registry) -> Result<(), StatusError> {
    let row = &rows::PRIORITY_CLASSES;
    let classes = registry
        .find(&row.group, &row.version, &row.plural)
        .ok_or_else(|| StatusError::internal("priority classes are not served"))?;
    for (name, value, description) in SYSTEM_PRIORITY_CLASSES {
        let description = Some(description.to_owned());
        let class =
            PriorityClass { metadata: named(name), value: Some(value), description, ..PriorityClass::default() };
        ensure(registry, &classes, Box::new(class)).await?;
    }
    Ok(())
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Creates an object of the cluster unless it is there.
async fn ensure(registry: &Registry, rest: &Rest, object: Box<dyn Object>) -> Result<(), StatusError> {
    let user = loopback_user();
    match registry.create(rest, &Write::new(&user, own_options()), "", object).await {
        Err(error) if error.reason() != "AlreadyExists" => Err(error),
        _ => Ok(()),
    }
}
