//! What clients may do: requests as authorizers see them, and the modes of `--authorization-mode`.

mod abac;
pub mod conditions;
pub mod configuration;
pub mod impersonation;
mod modes;
pub mod node;
pub mod rbac;
pub mod webhook;

use std::{borrow::Cow, sync::Arc};

use api_types::{selector::field, validation::names};
use component::auth::{Attributes, Authorizer, ResourceAttributes, Target, User};
use http::Method;
pub use modes::{AlwaysDeny, Inputs, MODES, Mode};

use crate::{
    registry::following::Mirrored,
    request::{
        Query, RequestInfo, ResourcePath, Verb,
        query::{Plus, percent_decode},
    },
};

/// What decides, and what it has to be told of.
pub struct Authorization {
    /// What decides.
    pub authorizer: Arc<dyn Authorizer>,
    /// What it keeps of objects; it knows nothing before it is
    /// [followed](crate::registry::following::follow).
    pub mirrors: Vec<Mirrored>,
}

impl<A: Authorizer> From<A> for Authorization {
    fn from(authorizer: A) -> Self {
        Self { authorizer: Arc::new(authorizer), mirrors: Vec::new() }
    }
}

/// What a request wants to do, if this user makes it.
#[must_use]
pub fn attributes<'a>(user: &'a User, method: &Method, info: &'a RequestInfo, query: &'a Query) -> Attributes<'a> {
    let (verb, target) = match &info.resource {
        None => (method_verb(method), Target::Path(percent_decode(&info.path, Plus::Literal).into())),
        // Upstream has no word for other methods.
        Some(place) if info.verb == Verb::Other => ("".into(), Target::Resource(resource(place))),
        Some(place) => (info.verb.as_str().into(), Target::Resource(selection(info.verb, place, query))),
    };
    Attributes { user, verb, target }
}

/// The verb of a path that is no resource: the method in lower case.
fn method_verb(method: &Method) -> Cow<'static, str> {
    match *method {
        Method::GET => "get".into(),
        Method::POST => "post".into(),
        _ => method.as_str().to_ascii_lowercase().into(),
    }
}

fn resource(place: &ResourcePath) -> ResourceAttributes<'_> {
    ResourceAttributes {
        group: (&place.group).into(),
        version: (&place.version).into(),
        namespace: (&place.namespace).into(),
        resource: (&place.resource).into(),
        subresource: (&place.subresource).into(),
        name: (&place.name).into(),
        ..ResourceAttributes::default()
    }
}

/// A collection may be narrowed to a part that somebody may see who may not see the whole; to one object, too, by name.
fn selection<'a>(verb: Verb, place: &'a ResourcePath, query: &'a Query) -> ResourceAttributes<'a> {
    let mut attributes = resource(place);
    if !matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
        return attributes;
    }
    attributes.field_selector = query.get("fieldSelector").unwrap_or_default().into();
    attributes.label_selector = query.get("labelSelector").unwrap_or_default().into();
    if place.name.is_empty() && verb != Verb::DeleteCollection {
        attributes.name = selected_name(&attributes.field_selector).unwrap_or_default().into();
    }
    attributes
}

/// The one object that a field selector leaves.
fn selected_name(selector: &str) -> Option<String> {
    if !selector.contains("metadata.name") {
        return None;
    }
    let selector: field::Selector = selector.parse().ok()?;
    let name = selector.required("metadata.name").filter(|name| !name.is_empty())?;
    names::path_segment(name).is_empty().then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// method, path and query, then: verb group/version namespace resource/subresource name, and the selectors.
    const CASES: &str = "\
GET /api/v1/secrets -> list /v1 - secrets/- - []
GET /api/v1/secrets?fieldSelector=metadata.name%3Da -> list /v1 - secrets/- a [metadata.name=a]
GET /api/v1/secrets?fieldSelector=metadata.name!%3Da -> list /v1 - secrets/- - [metadata.name!=a]
GET /api/v1/secrets?fieldSelector=metadata.name%3Da/b -> list /v1 - secrets/- - [metadata.name=a/b]
GET /api/v1/secrets?fieldSelector=metadata.name%3Da,nonsense -> list /v1 - secrets/- - [metadata.name=a,nonsense]
GET /api/v1/namespaces/x/pods?watch=1&fieldSelector=metadata.name%3Da,spec.nodeName%3Dn&labelSelector=l \
-> watch /v1 x pods/- a [metadata.name=a,spec.nodeName=n l]
DELETE /api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Da -> deletecollection /v1 x pods/- - [metadata.name=a]
GET /api/v1/namespaces/x/pods/p?fieldSelector=metadata.name%3Da -> get /v1 x pods/- p []
POST /api/v1/namespaces/x/pods/p/exec -> create /v1 x pods/exec p []
PUT /apis/apps/v1/namespaces/x/deployments/d/scale -> update apps/v1 x deployments/scale d []
OPTIONS /api/v1/pods ->  /v1 - pods/- - []
POST /healthz -> post /healthz
HEAD /a%20b -> head /a b
";

    fn describe(attributes: &Attributes<'_>) -> String {
        let place = match &attributes.target {
            Target::Path(path) => return format!("{} {path}", attributes.verb),
            Target::Resource(place) => place,
        };
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let [namespace, resource, subresource, name] =
            [&place.namespace, &place.resource, &place.subresource, &place.name].map(|text| or_dash(text));
        let (group, version) = (&place.group, &place.version);
        let selectors = format!("{} {}", place.field_selector, place.label_selector);
        let verb = &attributes.verb;
        format!("{verb} {group}/{version} {namespace} {resource}/{subresource} {name} [{}]", selectors.trim())
    }

    #[test]
    fn requests_are_described() {
        let user = User::anonymous();
        for line in CASES.lines() {
            let (request, expected) = line.split_once(" -> ").unwrap();
            let (method, uri) = request.split_once(' ').unwrap();
            let (path, query) = uri.trim().split_once('?').unwrap_or((uri, ""));
            let (method, query) = (method.parse().unwrap(), Query::parse(query));
            let info = RequestInfo::parse(&method, path, &query);
            assert_eq!(describe(&attributes(&user, &method, &info, &query)), expected, "{request}");
        }
    }
}
