//! What answers requests: one file a verb, and the paths that are no resources.

mod body;
mod component_status;
mod connect;
mod create;
mod delete;
mod get;
mod list;
mod nonresource;
mod patch;
mod protobuf_list;
mod scale;
mod selection;
mod table;
mod update;
mod watch;

use std::sync::Arc;

use api_types::{Resource, StatusError};
use component::Daemon;
use futures::future::BoxFuture;
use http::HeaderValue;

pub use connect::{KubeletClient, KubeletTls};
pub use nonresource::NonResource;

use crate::{
    filters::{Handler, Place},
    registry::{Part, Registry, Rest, Target, Write, WriteOptions},
    request::{Request, ResourcePath, Verb},
    serving::{Response, respond},
};

/// Answers every request.
pub struct Api {
    /// Where resources are.
    pub registry: Arc<Registry>,
    /// Everything else.
    pub non_resource: NonResource,
    /// The way to kubelets.
    pub kubelet: KubeletClient,
    /// Writes are its tasks.
    pub daemon: Daemon,
}

/// A resource request that was found in the table.
struct Call<'a> {
    api: &'a Api,
    rest: &'a Arc<Rest>,
    place: ResourcePath,
}

impl Call<'_> {
    fn registry(&self) -> &Registry {
        &self.api.registry
    }

    fn target(&self) -> Target<'_> {
        let namespace = if self.rest.row.namespaced() { self.place.namespace.as_str() } else { "" };
        Target { namespace, name: &self.place.name }
    }
}

impl Handler for Api {
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response> {
        let mutates = request.info.verb.mutates();
        let daemon = self.daemon.clone();
        let place = request.http.extensions().get::<Place>().cloned();
        let answer = async move {
            let response = self.route(request).await.unwrap_or_else(|error| respond::error(&error));
            drop(place);
            response
        };
        if !mutates {
            return Box::pin(answer);
        }
        // A write goes on when its client has gone: it may have taken addresses that it has to give back.
        let running = daemon.tasks.spawn(answer);
        Box::pin(async move {
            match running.await {
                Ok(response) => response,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => respond::error(&StatusError::service_unavailable(error.to_string())),
                },
            }
        })
    }
}

type Answer = Result<Response, StatusError>;

impl Api {
    async fn route(&self, request: Request) -> Answer {
        let Some(place) = request.info.resource.clone() else {
            return self.non_resource.answer(&request).await;
        };
        let Some(row) = crate::resources::find(&place.group, &place.version, &place.resource) else {
            return Ok(respond::page_not_found());
        };
        if !is_in_scope(row, &place) {
            return Ok(respond::page_not_found());
        }
        if crate::resources::is_virtual(row) {
            return component_status::answer(self, row, place, request).await;
        }
        let Some(rest) = self.registry.find(&place.group, &place.version, &place.resource) else {
            return Ok(respond::page_not_found());
        };
        let call = Call { api: self, rest, place };
        if call.place.subresource.is_empty() { object(call, request).await } else { subresource(call, request).await }
    }
}

/// Whether the path puts the resource where it is: `/namespaces/x/nodes` and `/pods/x` lead nowhere.
fn is_in_scope(row: &Resource, place: &ResourcePath) -> bool {
    let in_namespace = !place.namespace.is_empty();
    match row.namespaced() {
        true => in_namespace || place.name.is_empty(),
        false => !in_namespace || (row.group.is_empty() && row.plural == "namespaces"),
    }
}

/// Requests about objects and collections.
async fn object(call: Call<'_>, request: Request) -> Answer {
    let collection = call.place.name.is_empty();
    // The request info has no verb `get` for a collection and no `list` for an object; the others have to be told apart.
    match (request.info.verb, collection) {
        (Verb::Get, _) => get::answer(&call, &request).await,
        (Verb::List, _) => list::answer(&call, &request).await,
        (Verb::Watch, _) => watch::answer(&call, &request).await,
        (Verb::Create, true) if has_place(&call) => create::answer(&call, request).await,
        (Verb::Update, false) => update::answer(&call, request, Part::Main).await,
        (Verb::Patch, false) => patch::answer(&call, request, Part::Main).await,
        (Verb::Delete, _) => delete::one(&call, request).await,
        (Verb::DeleteCollection, _) if supports(&call, "deletecollection") && has_place(&call) => {
            delete::collection(&call, request).await
        }
        _ => Err(StatusError::method_not_allowed()),
    }
}

/// Namespaced objects are neither created nor deleted across namespaces.
fn has_place(call: &Call<'_>) -> bool {
    !call.rest.row.namespaced() || !call.place.namespace.is_empty()
}

fn supports(call: &Call<'_>, verb: &str) -> bool {
    call.rest.row.verbs.contains(&verb)
}

/// Requests about subresources; the row says which there are and what can be done with them.
async fn subresource(call: Call<'_>, request: Request) -> Answer {
    let name = call.place.subresource.as_str();
    let Some(known) = call.rest.row.subresources.iter().find(|known| known.name == name) else {
        return Ok(respond::page_not_found());
    };
    let verb = request.info.verb;
    if !known.verbs.contains(&verb.as_str()) {
        return Err(StatusError::method_not_allowed());
    }
    match (&*known.name, verb) {
        ("status", Verb::Get) => get::answer(&call, &request).await,
        ("status", Verb::Update) => update::answer(&call, request, Part::Status).await,
        ("status", Verb::Patch) => patch::answer(&call, request, Part::Status).await,
        ("finalize", Verb::Update) => update::answer(&call, request, Part::Finalize).await,
        ("scale", _) => scale::answer(&call, request).await,
        ("binding", _) => create::binding(&call, request).await,
        ("eviction", _) => delete::eviction(&call, request).await,
        ("log" | "exec" | "attach", _) => connect::answer(&call, request).await,
        _ => Ok(respond::page_not_found()),
    }
}

/// Reads the options of a write; `kind` names them in messages.
fn write<'a>(request: &'a Request, kind: &str) -> Result<Write<'a>, StatusError> {
    let options = WriteOptions::parse(&request.query, request.default_manager(), kind)?;
    Ok(Write::new(&request.user, options))
}

/// Adds the warnings that came up during a write to its answer.
fn with_warnings(mut response: Response, warnings: Vec<String>) -> Response {
    for warning in warnings {
        let text = format!("299 - {warning:?}");
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    response
}
