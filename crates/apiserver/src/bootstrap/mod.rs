//! What an API server makes sure of: the namespaces that every cluster has, the range of cluster IPs, and the service by
//! which pods reach it.

pub mod kubernetes_service;
pub mod service_cidr;

use api_types::{Object, StatusError, core::Namespace, meta::ObjectMeta};

use crate::{
    registry::{Registry, Write, WriteOptions},
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
    let user = loopback_user();
    let namespaces = registry.core("namespaces")?;
    for name in NAMESPACES {
        let metadata = ObjectMeta { name: Some((*name).into()), ..ObjectMeta::default() };
        let object: Box<dyn Object> = Box::new(Namespace { metadata, ..Namespace::default() });
        match registry.create(&namespaces, &Write::new(&user, own_options()), "", object).await {
            Err(error) if error.reason() != "AlreadyExists" => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
