//! `componentstatuses`, of which nothing is stored: they are probed when asked for.

use std::{sync::Arc, time::Duration};

use api_types::{
    Object, Resource, StatusError,
    core::{ComponentCondition, ComponentStatus},
    meta::ObjectMeta,
};
use futures::future::{BoxFuture, join_all};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, KubeletClient, table::columns};
use crate::{
    catalogue::{Answered, Asked, Request},
    registry::Registry,
    request::{Form, Verb},
    serving::respond,
};

/// `componentstatuses`.
pub struct ComponentStatuses {
    /// The way to the other daemons.
    pub client: Arc<KubeletClient>,
}

impl Answered for ComponentStatuses {
    fn answer<'a>(&'a self, asked: Asked<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let (row, name) = (&**asked.row, asked.place.name.as_str());
            if request.info.verb == Verb::List {
                let probes = COMPONENTS.iter().map(|component| self.probe(asked.registry, component));
                return list(row, &request, &join_all(probes).await);
            }
            let component = COMPONENTS.iter().find(|component| component.name == name);
            let component = component.ok_or_else(|| StatusError::not_found(row.into(), name))?;
            one(row, &request, &self.probe(asked.registry, component).await)
        })
    }
}

/// A part of the control plane.
struct Component {
    name: &'static str,
    probe: Probe,
}

/// How to find out whether it is well.
enum Probe {
    /// `https://127.0.0.1:<port>/healthz`.
    Https(u16),
    Store,
}

/// What upstream looks at, with upstream's ports.
static COMPONENTS: [Component; 3] = [
    Component { name: "controller-manager", probe: Probe::Https(10257) },
    Component { name: "scheduler", probe: Probe::Https(10259) },
    Component { name: "etcd-0", probe: Probe::Store },
];

/// A probe that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(2);

impl ComponentStatuses {
    async fn probe(&self, registry: &Registry, component: &Component) -> ComponentStatus {
        let asked = async {
            match component.probe {
                Probe::Https(port) => self.client.healthz(port).await,
                Probe::Store => {
                    let healthy = r#"{"health": "true"}"#;
                    registry.store().current_revision().await.map(|_| healthy.to_owned()).map_err(|e| e.to_string())
                }
            }
        };
        let result = tokio::time::timeout(TIMEOUT, asked).await.unwrap_or_else(|_| Err("probe timed out".into()));
        let healthy = |status: &str| ComponentCondition {
            type_: "Healthy".into(),
            status: status.into(),
            ..ComponentCondition::default()
        };
        let condition = match result {
            Ok(message) => ComponentCondition { message: Some(message), ..healthy("True") },
            Err(message) => ComponentCondition { message: Some(message), ..healthy("False") },
        };
        let metadata = ObjectMeta { name: Some(component.name.into()), ..ObjectMeta::default() };
        ComponentStatus { metadata, conditions: Some(vec![condition]) }
    }
}

fn table(row: &Resource, statuses: &[ComponentStatus]) -> Result<Value, StatusError> {
    let columns = columns(row.ops.columns());
    let rows: Result<Vec<Value>, StatusError> = statuses
        .iter()
        .map(|status| {
            let object =
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": status.metadata});
            Ok(json!({"cells": row.ops.cells(status)?, "object": object}))
        })
        .collect();
    Ok(json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns, "rows": rows?,
    }))
}

fn list(row: &Resource, request: &Request, statuses: &[ComponentStatus]) -> Answer {
    let value = match request.accept.form {
        Form::Table => table(row, statuses)?,
        _ => json!({"kind": row.list_kind(), "apiVersion": row.api_version(), "metadata": {}, "items": statuses}),
    };
    Ok(respond::object(StatusCode::OK, request.accept.encoding, value.to_string().into()))
}

fn one(row: &Resource, request: &Request, status: &ComponentStatus) -> Answer {
    let value = match request.accept.form {
        Form::Table => table(row, std::slice::from_ref(status))?,
        _ => status.to_value(),
    };
    Ok(respond::object(StatusCode::OK, request.accept.encoding, value.to_string().into()))
}
