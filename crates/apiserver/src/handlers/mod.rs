//! What answers requests: one file a verb, and the paths that are no resources.

mod body;
mod component_status;
pub mod connect;
mod create;
mod delete;
mod eviction;
mod get;
mod list;
mod list_options;
mod nonresource;
mod part;
mod patch;
mod protobuf_list;
pub mod resource_metrics;
mod reviews;
mod scale;
mod selection;
mod table;
mod token_request;
mod update;
mod watch;

use std::sync::Arc;

use api_types::{Resource, StatusError, Subresource, rows};
use component::{
    Daemon,
    profiling::{self, Profiling},
};
use futures::future::BoxFuture;
use http::{HeaderValue, Method};

pub use component_status::ComponentStatuses;
pub use connect::{KubeletClient, KubeletTls, Log, Of, Proxy, Session, Stream};
pub use create::{Binding, Bindings};
pub use eviction::Eviction;
pub use nonresource::{NonResource, StorageSize};
pub use part::OfPart;
pub use reviews::Reviews;
pub use scale::Replicas;
pub use token_request::Tokens;

use crate::{
    catalogue::{Answer, Answered, Asked, Backend, Call, Destination, Request, Route},
    filters::{Handler, Place},
    registry::{Journal, Part, Registry, Write, WriteOptions},
    request::{ResourcePath, Verb},
    serving::{Body, Response, respond},
};

/// Answers every request.
pub struct Api {
    /// Where resources are.
    pub registry: Arc<Registry>,
    /// Everything else.
    pub non_resource: NonResource,
    /// What is below `/debug/`.
    pub profiling: Profiling,
    /// Writes are its tasks.
    pub daemon: Daemon,
}

impl Handler for Api {
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response> {
        // What lasts as long as the client wants ends with the client.
        let mutates = request.info.verb.mutates() && !request.long_running();
        let daemon = self.daemon.clone();
        let place = request.http.extensions().get::<Arc<Place>>().cloned();
        let deprecated = request.destination.row().and_then(|row| deprecation(row));
        let warnings = request.warnings.clone();
        let answer = async move {
            let response = self.route(request).await.unwrap_or_else(|error| respond::error(&error));
            let warnings = std::mem::take(&mut *warnings.lock());
            let response = with_warnings(response, warnings.into_iter().chain(deprecated).collect());
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

impl Api {
    async fn route(&self, mut request: Request) -> Answer {
        match request.destination.clone() {
            Destination::Forward(forward) => forward.server.forward(request).await,
            Destination::Route { route, subresource } => match request.info.resource.take() {
                _ if subresource.is_none() && request.method() == Method::HEAD => {
                    Err(StatusError::method_not_allowed())
                }
                Some(place) if is_in_scope(&route.row, &place) => {
                    check_names(&place)?;
                    self.resource(&route, subresource, place, request).await
                }
                _ => Err(StatusError::path_not_found()),
            },
            Destination::Elsewhere if is_third_party(&request) => Err(StatusError::gone(THIRD_PARTY)),
            Destination::Elsewhere if self.non_resource.serves_version_of(&request) => {
                Err(StatusError::path_not_found())
            }
            Destination::Elsewhere if request.info.resource.is_some() => Ok(respond::page_not_found()),
            Destination::Elsewhere if self.profiling.serves(&request.info.path) => {
                Ok(profiling::answer(request.http).await.map(Body::Full))
            }
            Destination::Elsewhere => self.non_resource.answer(&request).await,
        }
    }

    async fn resource(
        &self,
        route: &Arc<Route>,
        subresource: Option<usize>,
        place: ResourcePath,
        request: Request,
    ) -> Answer {
        let registry = &self.registry;
        match &route.backend {
            Backend::Stored(rest) => {
                let whole = place.subresource.is_empty();
                let call = Call { registry, rest, place, ended: route.ended() };
                match subresource {
                    None if whole => object(call, request).await,
                    None => Err(StatusError::path_not_found()),
                    Some(position) => self::subresource(route, position, call, request).await,
                }
            }
            Backend::Answered(_) if !place.subresource.is_empty() => Err(StatusError::path_not_found()),
            Backend::Answered(answered) => {
                let asked = Asked { registry, row: &route.row, place };
                answered_without_storage(&**answered, asked, request).await
            }
        }
    }
}

const THIRD_PARTY: &str = "ThirdPartyResources of extensions/v1beta1 are served no longer: kinds are defined by a \
                           CustomResourceDefinition of apiextensions.k8s.io/v1";

/// Whether somebody still wants the predecessor of definitions.
fn is_third_party(request: &Request) -> bool {
    let place = request.info.resource.as_ref();
    place.is_some_and(|place| place.group == "extensions" && place.resource == "thirdpartyresources")
}

/// What whoever uses a resource is told that has a successor.
fn deprecation(row: &Resource) -> Option<String> {
    if row.is(&rows::ENDPOINTS) {
        return Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned());
    }
    if row.is(&rows::COMPONENT_STATUSES) {
        return Some("v1 ComponentStatus is deprecated in v1.19+".to_owned());
    }
    row.ops.deprecation()
}

/// Whether the path puts the resource where it is: `/namespaces/x/nodes` and `/pods/x` lead nowhere.
fn is_in_scope(row: &Resource, place: &ResourcePath) -> bool {
    let in_namespace = !place.namespace.is_empty();
    match row.namespaced() {
        true => in_namespace || place.name.is_empty(),
        false => !in_namespace || row.is(&rows::NAMESPACES),
    }
}

/// Names must be such that they make a step of a path.
fn check_names(place: &ResourcePath) -> Result<(), StatusError> {
    for (what, name) in [("Namespace", &place.namespace), ("Name", &place.name)] {
        let why = match name.as_str() {
            "." | ".." => format!("may not be '{name}'"),
            name if name.contains('/') => "may not contain '/'".to_owned(),
            name if name.contains('%') => "may not contain '%'".to_owned(),
            _ => continue,
        };
        return Err(StatusError::bad_request(format!("{what} parameter invalid: {name:?}: {why}")));
    }
    Ok(())
}

/// Requests about objects and collections. What becomes of each is on the heap: a request is moved about as it is, and would
/// else take the room of the largest of them.
async fn object(call: Call<'_>, request: Request) -> Answer {
    let collection = call.place.name.is_empty();
    // The request info has no verb `get` for a collection and no `list` for an object; the others have to be told apart.
    match (request.info.verb, collection) {
        (Verb::Get, _) => Box::pin(get::answer(&call, &request)).await,
        (Verb::List, _) => Box::pin(list::answer(&call, &request)).await,
        (Verb::Watch, _) => Box::pin(watch::answer(&call, &request)).await,
        (Verb::Create, true) if supports(&call, "create") && has_place(&call.rest.row, &call.place) => {
            Box::pin(create::answer(&call, request)).await
        }
        (Verb::Update, false) => Box::pin(update::answer(&call, request, Part::Main)).await,
        (Verb::Patch, false) => Box::pin(patch::answer(&call, request, Part::Main)).await,
        (Verb::Delete, _) => Box::pin(delete::one(&call, request)).await,
        (Verb::DeleteCollection, _)
            if supports(&call, "deletecollection") && has_place(&call.rest.row, &call.place) =>
        {
            Box::pin(delete::collection(&call, request)).await
        }
        _ => Err(StatusError::method_not_allowed()),
    }
}

/// Namespaced objects are neither created nor deleted across namespaces.
fn has_place(row: &Resource, place: &ResourcePath) -> bool {
    !row.namespaced() || !place.namespace.is_empty()
}

fn supports(call: &Call<'_>, verb: &str) -> bool {
    call.rest.row.verbs.contains(&verb)
}

/// Requests about subresources; the row says which there are, what can be done with them, and what answers.
async fn subresource(route: &Route, position: usize, call: Call<'_>, request: Request) -> Answer {
    match route.subresource(position) {
        None => Err(StatusError::path_not_found()),
        Some((row, endpoint)) if reads_or_writes(row, &request) || endpoint.takes(request.method()) => {
            endpoint.answer(&call, request).await
        }
        Some(_) => Err(StatusError::method_not_allowed()),
    }
}

/// Whether the request is one that the row knows. Nobody asks for headers alone.
fn reads_or_writes(row: &Subresource, request: &Request) -> bool {
    row.supports(request.info.verb.as_str()) && request.method() != Method::HEAD
}

/// Requests about what is not stored.
async fn answered_without_storage(answered: &dyn Answered, asked: Asked<'_>, request: Request) -> Answer {
    let verb = request.info.verb;
    let fits = verb != Verb::Create || (asked.place.name.is_empty() && has_place(asked.row, &asked.place));
    if !fits || !asked.row.verbs.contains(&verb.as_str()) {
        return Err(StatusError::method_not_allowed());
    }
    answered.answer(asked, request).await
}

/// Reads the options of a write; `kind` names them in messages.
fn write<'a>(request: &'a Request, kind: &str) -> Result<Write<'a>, StatusError> {
    let options = WriteOptions::parse(&request.query, request.default_manager(), kind)?;
    let write = Write::new(&request.user, options).asked_with(request.info.verb.as_str(), &request.warnings);
    Ok(write.noted_in(journal(request)))
}

/// The record of the audit, if there is one.
fn journal(request: &Request) -> Option<&dyn Journal> {
    request.audit.as_deref().map(|record| record as &dyn Journal)
}

/// Adds warnings to an answer.
fn with_warnings(mut response: Response, warnings: Vec<String>) -> Response {
    for warning in warnings {
        let text = format!("299 - {warning:?}");
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    response
}
