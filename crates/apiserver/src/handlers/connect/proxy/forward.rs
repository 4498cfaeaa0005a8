//! Passing on a request and what is answered.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, StatusCode, header};
use hyper::body::{Body as _, Incoming};

use super::{
    super::{
        KubeletClient,
        client::{Backend, Reach},
        hop, passed_on, pieces, plain,
    },
    html,
    links::Links,
    path::Paths,
    place::unreachable,
};
use crate::{
    catalogue::{Answer, Request},
    serving::{Body, Response},
};

/// One request on its way.
pub(super) struct Forwarding<'a> {
    pub(super) client: &'a KubeletClient,
    pub(super) backend: Backend,
    pub(super) paths: Paths,
}

impl Forwarding<'_> {
    pub(super) async fn forward(self, request: Request) -> Answer {
        debug_assert_eq!(self.backend.reach, Reach::Outside);
        let host = host(&request);
        let mut headers = forwarded_headers(&request);
        set(&mut headers, "x-forwarded-uri", &self.paths.whole());
        set(&mut headers, "host", &host);
        let method = request.method().clone();
        let target = self.paths.target(request.http.uri().query());
        let body = request.http.into_body();
        let asked = HttpRequest::builder().method(method.clone()).uri(target).body(body);
        let mut asked = asked.map_err(|error| plain(error.to_string()))?;
        *asked.headers_mut() = headers;
        let answer = self.client.send(&self.backend, asked).await.map_err(|error| unreachable(&error))?;
        let links = Links { prefix: self.paths.prefix, backend: self.backend.address.to_string(), host };
        Ok(answered(answer, &method, links))
    }
}

/// The name under which the client knows this server.
fn host(request: &Request) -> String {
    let authority = request.http.uri().authority().map(ToString::to_string);
    authority.or_else(|| request.header(&header::HOST).map(str::to_owned)).unwrap_or_default()
}

/// The headers of a request that asks for an upgrade, which its other end has to see.
pub(super) fn upgrade_headers(request: &Request) -> HeaderMap {
    let mut headers = own(request);
    add_client(&mut headers, request);
    set(&mut headers, "host", &host(request));
    headers
}

/// A request's headers as they are passed on to another server: without what concerns this server or this connection.
pub fn forwarded_headers(request: &Request) -> HeaderMap {
    let mut headers = own(request);
    hop::remove(&mut headers);
    add_client(&mut headers, request);
    headers
}

/// Headers that tell this server who somebody is or acts as begin so.
const OF_IDENTITY: [&str; 3] = ["authorization", "impersonate-", "x-remote-"];

/// A request's headers without what concerns only this server.
fn own(request: &Request) -> HeaderMap {
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in request.headers() {
        if !OF_IDENTITY.iter().any(|start| name.as_str().starts_with(start)) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Adds the client's address, after what the client may remove has been removed.
fn add_client(headers: &mut HeaderMap, request: &Request) {
    if let Some(peer) = request.peer() {
        let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<String> =
            before.map(str::to_owned).chain([peer.address.ip().to_canonical().to_string()]).collect();
        set(headers, FORWARDED_FOR, &all.join(", "));
    }
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Sets a header; what cannot be written in one is left out.
fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    match HeaderValue::try_from(value) {
        Ok(value) => drop(headers.insert(HeaderName::from_static(name), value)),
        Err(_) => drop(headers.remove(name)),
    }
}

/// Who may read this server's answers is not for those behind it to say.
const CROSS_ORIGIN: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// Leaves of an answer's headers those that are for the client.
pub fn keep_to_client(headers: &mut HeaderMap) {
    hop::remove(headers);
    for name in &CROSS_ORIGIN {
        headers.remove(name);
    }
}

fn answered(answer: http::Response<Incoming>, method: &Method, links: Links) -> Response {
    let (mut head, body) = answer.into_parts();
    keep_to_client(&mut head.headers);
    if let Some(location) = head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) {
        if let Some(location) = links.rewritten(location) {
            set(&mut head.headers, "location", &location);
        }
        return Response::from_parts(head, passed_on(body));
    }
    let has_body = *method != Method::HEAD && !body.is_end_stream() && head.status != StatusCode::NOT_MODIFIED;
    let coding = html::Coding::of(&head.headers).filter(|_| has_body);
    let Some(coding) = coding else { return Response::from_parts(head, passed_on(body)) };
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::stream(html::rewritten(pieces(body), coding, links)))
}
