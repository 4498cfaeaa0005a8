//! What a request is about, in labels.

use api_types::resource::Text;
use http::{Method, header};
use prometheus_client::encoding::EncodeLabelSet;

use crate::{
    catalogue::{Destination, Request},
    request::Verb,
};

/// The labels that most metrics of requests have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Target {
    verb: &'static str,
    group: Text,
    version: Text,
    resource: Text,
    subresource: Text,
    scope: &'static str,
}

impl Target {
    /// Upstream's verb for it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// Whether it is about what is served as a resource.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

/// What a request is about. What is not served has no name.
#[must_use]
pub fn target(request: &Request) -> Target {
    let (group, version, resource, subresource) = match &request.destination {
        Destination::Route { route, .. } => {
            let subresource = request.destination.subresource().map(|row| row.name.clone());
            let row = &route.row;
            (row.group.clone(), row.version.clone(), row.plural.clone(), subresource.unwrap_or_default())
        }
        Destination::Forward(forward) => {
            (forward.group.clone(), forward.version.clone(), Text::default(), Text::default())
        }
        Destination::Elsewhere => (Text::default(), Text::default(), Text::default(), path(&request.info.path).into()),
    };
    let connects = CONNECTIONS.contains(&&*subresource);
    Target {
        verb: if connects { "CONNECT" } else { verb(request) },
        group,
        version,
        resource,
        subresource,
        scope: scope(request),
    }
}

/// Subresources of connections, whatever the method.
const CONNECTIONS: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// Upstream's verb: mostly the method.
fn verb(request: &Request) -> &'static str {
    match (request.info.verb, request.method()) {
        (Verb::Watch, _) => "WATCH",
        (Verb::List, _) => "LIST",
        (Verb::Get, _) => "GET",
        (_, &Method::POST) => "POST",
        (_, &Method::PUT) => "PUT",
        (_, &Method::PATCH) if applies(request) => "APPLY",
        (_, &Method::PATCH) => "PATCH",
        (_, &Method::DELETE) => "DELETE",
        _ => "other",
    }
}

fn applies(request: &Request) -> bool {
    request.header(&header::CONTENT_TYPE) == Some("application/apply-patch+yaml")
}

fn scope(request: &Request) -> &'static str {
    match &request.info.resource {
        Some(place) if !place.name.is_empty() => "resource",
        _ if request.info.verb == Verb::Create => "resource",
        Some(place) if !place.namespace.is_empty() => "namespace",
        Some(_) => "cluster",
        None => "",
    }
}

/// Paths that are no resources; everything else is told of as one.
const PATHS: [&str; 14] = [
    "/",
    "/.well-known/openid-configuration",
    "/api",
    "/apis",
    "/debug/flags/v",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
    "/debug/pprof",
];

fn path(path: &str) -> &'static str {
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() { "/" } else { path };
    let exact = PATHS.iter().find(|known| **known == path);
    // A check of its own, a document of a group version, a profile.
    let below =
        || PATHS.iter().skip(1).find(|known| path.strip_prefix(**known).is_some_and(|rest| rest.starts_with('/')));
    exact.or_else(below).copied().unwrap_or_default()
}

/// Upstream's label for `dryRun`.
pub(super) fn dry_run(request: &Request) -> &'static str {
    let mut values = request.query.all("dryRun");
    match values.next() {
        None => "",
        Some("All") if values.all(|value| value == "All") => "All",
        Some(_) => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_of_a_list() {
        let cases = [
            ("/", "/"),
            ("/healthz", "/healthz"),
            ("/healthz/ping", "/healthz"),
            ("/api/", "/api"),
            ("/api/v1", "/api"),
            ("/apis/nope/v1/nopes", "/apis"),
            ("/healthzz", ""),
            ("/nope", ""),
            ("", "/"),
        ];
        for (asked, told) in cases {
            assert_eq!(path(asked), told, "{asked}");
        }
    }
}
