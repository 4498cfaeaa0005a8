//! What a request is about, read off its method, path and query once, before anything else looks at it.

use http::Method;

use super::query::Query;

/// The verb that authorization, metrics and the handlers go by. It depends on more than the method: `GET` is a get,
/// a list or a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object, or a non-resource path, is read.
    Get,
    /// A collection is read.
    List,
    /// Changes are streamed.
    Watch,
    /// An object is created.
    Create,
    /// An object is replaced.
    Update,
    /// An object is changed in part.
    Patch,
    /// One object is deleted.
    Delete,
    /// A collection is deleted.
    DeleteCollection,
    /// Any other method, such as `OPTIONS`.
    Other,
}

impl Verb {
    /// The name as RBAC rules and metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "other",
        }
    }

    /// Whether the verb changes what is stored.
    #[must_use]
    pub const fn mutates(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection)
    }
}

/// What a resource request addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Empty at cluster scope and for all namespaces.
    pub namespace: String,
    /// The plural.
    pub resource: String,
    /// Empty for a collection.
    pub name: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// What follows the subresource, with its leading slash (`/proxy/a/b` has `/a/b`); usually empty.
    pub rest: String,
}

impl ResourcePath {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`, as in error messages.
    #[must_use]
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// What is to be done.
    pub verb: Verb,
    /// The path without the query, as it was sent.
    pub path: String,
    /// The object or collection; `None` for discovery, health and every other path.
    pub resource: Option<ResourcePath>,
}

impl RequestInfo {
    /// Reads a request's method, path and query. Never fails: what is no resource request is a non-resource request.
    #[must_use]
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let resource = parse_resource(path);
        let verb = match &resource {
            None => non_resource_verb(method),
            Some((place, form)) => resource_verb(method, place, *form, query),
        };
        Self { verb, path: path.to_owned(), resource: resource.map(|(place, _)| place) }
    }
}

fn non_resource_verb(method: &Method) -> Verb {
    match *method {
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => Verb::Other,
    }
}

/// Old paths put what is done before what it is done to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PathForm {
    Plain,
    /// `/watch/` turns a list or a get into a watch.
    Watch,
    /// `/proxy/` leads to the subresource of that name.
    Proxy,
}

/// What old paths to the subresource `proxy` begin with.
pub const LEGACY_PROXY: &str = "/api/v1/proxy/";

fn resource_verb(method: &Method, place: &ResourcePath, form: PathForm, query: &Query) -> Verb {
    let whole = place.name.is_empty();
    match non_resource_verb(method) {
        Verb::Get if form == PathForm::Watch => Verb::Watch,
        Verb::Get if !place.subresource.is_empty() => Verb::Get,
        Verb::Get if whole && query.flag("watch") => Verb::Watch,
        Verb::Get if whole => Verb::List,
        Verb::Delete if whole => Verb::DeleteCollection,
        verb => verb,
    }
}

fn parse_resource(path: &str) -> Option<(ResourcePath, PathForm)> {
    let mut segments = path.strip_prefix('/')?.split('/').peekable();
    let (group, version) = match segments.next()? {
        "api" => ("", segments.next()?),
        "apis" => (segments.next()?, segments.next()?),
        _ => return None,
    };
    let form = match segments.peek().copied() {
        Some("watch") => PathForm::Watch,
        Some("proxy") if path.starts_with(LEGACY_PROXY) => PathForm::Proxy,
        _ => PathForm::Plain,
    };
    if form != PathForm::Plain {
        segments.next();
    }
    let mut place = ResourcePath { group: group.into(), version: version.into(), ..ResourcePath::default() };
    let first = segments.next().filter(|segment| !segment.is_empty())?;
    place.resource = first.into();
    match (first, form) {
        ("namespaces", PathForm::Proxy) => {
            place.namespace = decoded(segments.next());
            place.resource = decoded(segments.next());
            place.name = decoded(segments.next());
        }
        ("namespaces", _) => read_below_namespace(&mut place, &mut segments),
        _ => {
            place.name = decoded(segments.next());
            if form != PathForm::Proxy {
                place.subresource = decoded(segments.next());
            }
        }
    }
    if form == PathForm::Proxy {
        place.subresource = "proxy".into();
    }
    let rest: Vec<&str> = segments.collect();
    if !rest.is_empty() {
        place.rest = format!("/{}", rest.join("/"));
    }
    Some((place, form))
}

/// `/namespaces/x` and `/namespaces/x/status` are about the namespace itself, `/namespaces/x/pods` is not.
fn read_below_namespace<'a>(place: &mut ResourcePath, segments: &mut impl Iterator<Item = &'a str>) {
    const OF_NAMESPACE: &[&str] = &["finalize", "status"];
    let namespace = decoded(segments.next());
    let next = decoded(segments.next());
    if next.is_empty() || OF_NAMESPACE.contains(&next.as_str()) {
        place.name.clone_from(&namespace);
        place.subresource = next;
    } else {
        place.resource = next;
        place.name = decoded(segments.next());
        place.subresource = decoded(segments.next());
    }
    place.namespace = namespace;
}

fn decoded(segment: Option<&str>) -> String {
    super::query::percent_decode(segment.unwrap_or_default(), super::query::Plus::Literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// method, path and query, then: verb group/version namespace resource name subresource rest.
    const CASES: &str = "\
GET /api/v1/pods -> list /v1 - pods - - -
GET /api/v1/pods?watch=true -> watch /v1 - pods - - -
GET /api/v1/pods?watch=0 -> list /v1 - pods - - -
GET /api/v1/watch/pods -> watch /v1 - pods - - -
GET /api/v1/namespaces -> list /v1 - namespaces - - -
GET /api/v1/namespaces/a -> get /v1 a namespaces a - -
PUT /api/v1/namespaces/a/finalize -> update /v1 a namespaces a finalize -
PATCH /api/v1/namespaces/a/status -> patch /v1 a namespaces a status -
POST /api/v1/namespaces/a/pods -> create /v1 a pods - - -
GET /api/v1/namespaces/a/pods/b -> get /v1 a pods b - -
GET /api/v1/namespaces/a/pods/b/log?follow=1 -> get /v1 a pods b log -
DELETE /api/v1/namespaces/a/pods -> deletecollection /v1 a pods - - -
DELETE /api/v1/namespaces/a/pods/b -> delete /v1 a pods b - -
PATCH /apis/apps/v1/namespaces/a/deployments/b/scale -> patch apps/v1 a deployments b scale -
GET /api/v1/nodes/n -> get /v1 - nodes n - -
GET /api/v1/nodes/n/proxy/a/b -> get /v1 - nodes n proxy /a/b
GET /api/v1/nodes/n/proxy -> get /v1 - nodes n proxy -
GET /api/v1/nodes/n/proxy/ -> get /v1 - nodes n proxy /
GET /api/v1/namespaces/a/pods/https%3Ap:80/proxy/x%2Fy -> get /v1 a pods https:p:80 proxy /x%2Fy
GET /api/v1/proxy/namespaces/a/pods/p:80/x/ -> get /v1 a pods p:80 proxy /x/
POST /api/v1/proxy/nodes/n -> create /v1 - nodes n proxy -
GET /apis/apps/v1/proxy/nodes/n -> get apps/v1 - proxy nodes n -
GET /api/v1/namespaces/a/events/b%3Ac -> get /v1 a events b:c - -
GET /api/v1 -> get
GET /apis/apps -> get
GET /healthz/ping -> get
";

    fn describe(info: &RequestInfo) -> String {
        let Some(place) = &info.resource else { return info.verb.as_str().to_owned() };
        let or_dash = |s: &str| if s.is_empty() { "-".to_owned() } else { s.to_owned() };
        let words =
            [&place.namespace, &place.resource, &place.name, &place.subresource, &place.rest].map(|s| or_dash(s));
        format!("{} {}/{} {}", info.verb.as_str(), place.group, place.version, words.join(" "))
    }

    #[test]
    fn requests_are_understood() {
        for line in CASES.lines() {
            let (request, expected) = line.split_once(" -> ").unwrap();
            let (method, uri) = request.split_once(' ').unwrap();
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
            assert_eq!(describe(&info), expected, "{request}");
        }
    }
}
