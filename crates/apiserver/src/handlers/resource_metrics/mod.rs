//! `metrics.k8s.io`: what nodes and pods use, as their kubelets told last. Nothing is stored, and nobody is asked when a
//! client asks.

mod memory;
mod parse;
mod render;
mod rows;
mod scrape;

use std::sync::Arc;

use api_types::{
    Resource, StatusError,
    selector::{field, label},
};
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::Value;

use self::memory::Memory;
use super::{Answer, selection::EntryLabels};
use crate::{
    catalogue::{Answered, Asked, ChangeError, Draft, Request, Route},
    registry::{Rest, Target},
    request::{Query, Verb},
    serving::respond,
    storage::cache::Entry,
};

pub use scrape::Scraper;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measured {
    Nodes,
    Pods,
}

/// Answers for nodes or pods.
struct Metrics {
    measured: Measured,
    memory: Arc<Memory>,
}

/// Serves the group; what is given back fills it. Another server may take the group over, as [`Draft::forward`] says.
///
/// # Errors
/// When the group is served already.
pub fn serve(draft: &mut Draft, resolution: std::time::Duration) -> Result<Scraper, ChangeError> {
    let memory = Arc::new(Memory::new(resolution));
    for (measured, row) in [(Measured::Nodes, rows::nodes()), (Measured::Pods, rows::pods())] {
        let metrics = Metrics { measured, memory: memory.clone() };
        draft.put(Route::answered(row, Arc::new(metrics)))?;
    }
    Ok(Scraper::new(memory))
}

impl Answered for Metrics {
    fn answer<'a>(&'a self, asked: Asked<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let rest = asked.registry.core(self.measured.plural())?;
            if request.info.verb == Verb::Get {
                return self.one(&asked, &rest, &request).await;
            }
            let selector = Selector::of(asked.row, &request.query)?;
            let entries = asked.registry.list_cached(&rest, &asked.place.namespace).await?;
            let selected = entries.iter().filter(|entry| selector.selects(&rest, entry));
            let list = render::list(asked.row, &request, selected.filter_map(|entry| self.item(&rest, entry)));
            Ok(respond::object(StatusCode::OK, request.accept.encoding, list))
        })
    }
}

impl Metrics {
    async fn one(&self, asked: &Asked<'_>, rest: &Rest, request: &Request) -> Answer {
        let name = asked.place.name.as_str();
        let target = Target { namespace: &asked.place.namespace, name };
        let unknown = || StatusError::not_found((&**asked.row).into(), name);
        let entry = asked.registry.get_cached(rest, target).await.map_err(|error| match error.code() {
            404 => unknown(),
            _ => error,
        })?;
        let item = self.item(rest, &entry).ok_or_else(unknown)?;
        Ok(respond::object(StatusCode::OK, request.accept.encoding, render::one(asked.row, request, item)?))
    }

    /// What is known of an object, if anything is.
    fn item(&self, rest: &Rest, entry: &Entry) -> Option<Value> {
        let (namespace, name) = rest.names(entry.key());
        match self.measured {
            Measured::Nodes => self.memory.node(name).map(|usage| render::node(name, entry, &usage)),
            Measured::Pods => {
                let node = entry.field(rest.field("spec.nodeName")?);
                let containers = self.memory.pod(node, namespace, name)?;
                render::pod(namespace, name, entry, &containers)
            }
        }
    }
}

impl Measured {
    fn plural(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Pods => "pods",
        }
    }
}

/// Which objects a client wants to know of.
struct Selector {
    labels: Option<label::Selector>,
    fields: field::Selector,
}

impl Selector {
    fn of(row: &Resource, query: &Query) -> Result<Self, StatusError> {
        let bad = |error: &dyn std::fmt::Display| StatusError::bad_request(error.to_string());
        let labels = query.get("labelSelector").map(str::parse::<label::Selector>).transpose();
        let fields = query.get("fieldSelector").unwrap_or_default().parse::<field::Selector>();
        let fields = fields.map_err(|error| bad(&error))?;
        fields.check(row.ops.selectable(), row.scope).map_err(|error| bad(&error))?;
        Ok(Self { labels: labels.map_err(|error| bad(&error))?, fields })
    }

    fn selects(&self, rest: &Rest, entry: &Entry) -> bool {
        let (namespace, name) = rest.names(entry.key());
        let fields = self.fields.matches(|field| if field == "metadata.name" { name } else { namespace });
        fields && self.labels.as_ref().is_none_or(|labels| labels.matches(&EntryLabels(entry)))
    }
}
