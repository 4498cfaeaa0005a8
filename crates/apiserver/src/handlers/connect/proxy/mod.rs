//! `/proxy` of a node, a service or a pod: whatever it serves over HTTP, seen through the API server.

mod forward;
mod html;
mod links;
mod path;
mod place;
mod tags;

use std::sync::Arc;

use api_types::StatusError;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Response, StatusCode, header};

use self::{forward::Forwarding, path::Paths};
use super::{KubeletClient, options, review, tunnel};
use crate::{
    catalogue::{Answer, Call, Endpoint, Request},
    handlers::with_warnings,
    request::LEGACY_PROXY,
    serving::Body,
};
pub use forward::{forwarded_headers, keep_to_client};

/// `/proxy`.
pub struct Proxy {
    /// The way to nodes and pods.
    pub client: Arc<KubeletClient>,
    /// Of what.
    pub of: Of,
}

/// What is seen through the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A node: its kubelet, or another port.
    Node,
    /// A service: one of the pods behind it.
    Service,
    /// A pod.
    Pod,
}

impl Endpoint for Proxy {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let legacy = request.info.path.starts_with(LEGACY_PROXY);
            let response = self.proxy(call, request).await?;
            Ok(if legacy { with_warnings(response, vec![warning(call)]) } else { response })
        })
    }

    fn takes(&self, method: &Method) -> bool {
        METHODS.contains(method)
    }
}

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

fn warning(call: &Call<'_>) -> String {
    let (place, row) = (&call.place, &call.rest.row);
    let namespace = if row.namespaced() { format!("namespaces/{}/", place.namespace) } else { String::new() };
    let now = format!("/api/v1/{namespace}{}/{}/proxy", place.resource, place.name);
    format!("{LEGACY_PROXY} is deprecated in v1.2+, unavailable in v1.10+; use {now}")
}

impl Proxy {
    async fn proxy(&self, call: &Call<'_>, request: Request) -> Answer {
        options::refuse_dry_run(&request)?;
        review(call, &request).await?;
        let backend = match self.of {
            Of::Node => place::of_node(&self.client, call).await?,
            Of::Service => place::of_service(call).await?,
            Of::Pod => place::of_pod(call).await?,
        };
        let paths = Paths::new(&request.info.path, &call.place.rest);
        if tunnel::is_upgrade(request.headers()) {
            let headers = forward::upgrade_headers(&request);
            let target = paths.target(request.http.uri().query());
            return tunnel::open(&self.client, request, &backend, &target, headers).await;
        }
        if paths.behind.is_empty() && [Method::GET, Method::HEAD].contains(request.method()) {
            return redirect(&request);
        }
        Forwarding { client: &self.client, backend, paths }.forward(request).await
    }
}

/// To the same path with a slash, so that relative links in what is found there lead to its neighbours.
fn redirect(request: &Request) -> Answer {
    let query = request.http.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{}/{query}", request.info.path));
    let location = location.map_err(|error| StatusError::bad_request(error.to_string()))?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
