//! Which objects a list, watch or delete of a collection means, and as of when.

use std::num::{IntErrorKind, ParseIntError};

use api_types::{
    StatusError,
    selector::{self, Labels},
};

use crate::{
    registry::{Rest, Target},
    request::Query,
    storage::cache::{Entry, Requirement, Selector},
};

/// The labels of a cached object.
pub(super) struct EntryLabels<'a>(pub &'a Entry);

impl Labels for EntryLabels<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        self.0.label(key)
    }
}

/// What a field selector compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Name,
    Namespace,
    /// The place in the extractor's list.
    Field(usize),
}

/// The objects that a request about a namespace (all when empty) selects; `None` when it selects all.
///
/// # Errors
/// 400 when a selector cannot be understood.
pub(super) fn selector(
    rest: &Rest,
    query: &Query,
    Target { namespace, name }: Target<'_>,
) -> Result<Option<Selector>, StatusError> {
    let labels = match query.get("labelSelector") {
        None => None,
        Some(text) => {
            Some(text.parse::<selector::label::Selector>().map_err(|e| StatusError::bad_request(e.to_string()))?)
        }
    };
    let labels = labels.filter(|labels| !labels.is_everything());
    let fields = fields(rest, query, name)?;
    if labels.is_none() && fields.is_empty() {
        return Ok(None);
    }
    let requirements = requirements(rest, namespace, &fields);
    let prefix = rest.cache().prefix().clone();
    let selector = Selector::new(move |entry: &Entry| {
        let key = entry.key().as_str().strip_prefix(prefix.as_str()).unwrap_or_default();
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let field = |source| match source {
            Source::Name => name,
            Source::Namespace => namespace,
            Source::Field(index) => entry.field(index),
        };
        fields.iter().all(|(source, equal, value)| (field(*source) == value) == *equal)
            && labels.as_ref().is_none_or(|labels| labels.matches(&EntryLabels(entry)))
    });
    Ok(Some(selector.requiring(requirements)))
}

/// What the objects that match these terms have in common.
fn requirements(rest: &Rest, namespace: &str, terms: &[Term]) -> Vec<Requirement> {
    let equal = terms.iter().filter(|(_, equal, _)| *equal);
    let named = equal.clone().find_map(|(source, _, value)| (*source == Source::Namespace).then_some(value.as_str()));
    let namespace = if namespace.is_empty() { named.unwrap_or_default() } else { namespace };
    let requirement = |(source, _, value): &Term| match source {
        Source::Name if namespace.is_empty() && rest.row.namespaced() => Some(Requirement::Name(value.clone())),
        Source::Name => Some(Requirement::Key(rest.key(namespace, value))),
        Source::Namespace => None,
        Source::Field(index) => Some(Requirement::Field(*index, value.clone())),
    };
    equal.filter_map(requirement).collect()
}

/// Where to look, whether it must be equal, and to what.
type Term = (Source, bool, String);

fn fields(rest: &Rest, query: &Query, name: &str) -> Result<Vec<Term>, StatusError> {
    let bad = |error: selector::field::Error| StatusError::bad_request(error.to_string());
    let mut terms = Vec::new();
    if !name.is_empty() {
        terms.push((Source::Name, true, name.to_owned()));
    }
    let Some(text) = query.get("fieldSelector") else { return Ok(terms) };
    let selector: selector::field::Selector = text.parse().map_err(bad)?;
    selector.check(rest.row.ops.selectable(), rest.row.scope).map_err(bad)?;
    for term in selector.terms() {
        let equal = term.operator == selector::field::Operator::Equals;
        terms.push((source(rest, &term.field), equal, term.value.clone()));
    }
    Ok(terms)
}

fn source(rest: &Rest, field: &str) -> Source {
    match field {
        "metadata.name" => Source::Name,
        "metadata.namespace" => Source::Namespace,
        // A field beyond the extractor's list counts as empty.
        field => Source::Field(rest.field(field).unwrap_or(usize::MAX)),
    }
}

/// A number in the query, as Go reads it.
///
/// # Errors
/// 400 when it is no number, or one beyond 64 bits.
pub(super) fn integer(query: &Query, name: &str) -> Result<Option<i64>, StatusError> {
    query.first(name).map(number).transpose()
}

/// A number in Go's words when it is none.
pub(super) fn number(text: &str) -> Result<i64, StatusError> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        StatusError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}
