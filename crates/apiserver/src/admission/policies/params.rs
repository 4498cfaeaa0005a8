//! The parameters with which a policy is applied.

use std::sync::Arc;

use api_types::{
    admissionregistration::{ParamKind, ParamRef},
    selector::label::Selector,
};
use serde_json::Value;

use super::{Param, policy::kind_of};
use crate::{
    registry::{Registry, Rest, Target},
    storage::cache::Entry,
};

/// All parameters that a binding means for a request in this namespace. One that is null where there are none to be; none
/// when the binding does not apply without.
///
/// # Errors
/// Why they cannot be found, in upstream's words.
pub(super) async fn collect(
    kind: Option<&ParamKind>,
    wanted: Option<&ParamRef>,
    namespace: &str,
    registry: &Registry,
) -> Result<Vec<Param>, String> {
    let (Some(kind), Some(wanted)) = (kind, wanted) else { return Ok(vec![Param::default()]) };
    let (group, version, name) = kind_of(kind);
    let Some(rest) = registry.of_kind(group, version, name) else {
        return Err(format!("paramKind kind `{group}/{version}, Kind={name}` not known"));
    };
    let own = wanted.namespace.as_deref().unwrap_or_default();
    let namespace = match (rest.row.namespaced(), own) {
        (false, "") => "",
        (false, _) => return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned()),
        (true, "") if namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
            );
        }
        (true, "") => namespace,
        (true, own) => own,
    };
    let found = find(wanted, &rest, namespace, registry).await?;
    if found.is_empty() && wanted.parameter_not_found_action.as_deref() == Some("Deny") {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found)
}

async fn find(wanted: &ParamRef, rest: &Rest, namespace: &str, registry: &Registry) -> Result<Vec<Param>, String> {
    let told = |error: api_types::StatusError| error.to_string();
    let name = wanted.name.as_deref().unwrap_or_default();
    let entries = match (name, &wanted.selector) {
        ("", None) => return Err("one of name or selector must be provided".to_owned()),
        ("", Some(selector)) => {
            let selector = Selector::from_label_selector(Some(selector)).map_err(|error| error.to_string())?;
            let mut all = registry.list_cached(rest, namespace).await.map_err(told)?;
            all.retain(|entry| {
                let labels: Vec<(&str, &str)> = entry.labels().collect();
                selector.matches(labels.as_slice())
            });
            all
        }
        (name, _) => match registry.get_cached(rest, Target { namespace, name }).await {
            Ok(entry) => vec![entry],
            Err(error) if error.code() == 404 => Vec::new(),
            Err(error) => return Err(told(error)),
        },
    };
    let mut found = Vec::with_capacity(entries.len());
    for entry in &entries {
        found.push(read(rest, entry).await?);
    }
    Ok(found)
}

async fn read(rest: &Rest, entry: &Entry) -> Result<Param, String> {
    let json = rest.present(entry).await.map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let (namespace, name) = rest.names(entry.key());
    Ok(Param { name: format!("{namespace}/{name}"), value: Arc::new(value) })
}
