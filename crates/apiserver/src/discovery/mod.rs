//! Discovery: which groups, versions and resources this server and those behind it have. Every document is rendered
//! once; a request only picks one.

mod document;
mod foreign;
mod groups;
mod render;

use std::collections::HashMap;

pub use document::{Document, JSON, Reply, etag, hash};
pub use foreign::{Foreign, Freshness};
pub use groups::{Contents, Group, Priorities, Priority, Version, group};
use http::{HeaderMap, header};
use serde::Serialize;

/// Media type of aggregated discovery.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// All discovery documents. Build new ones when what is served changes.
#[derive(Debug)]
pub struct Discovery {
    /// By path without a trailing slash; `/api` and `/apis` have several forms.
    documents: HashMap<String, Vec<Document>>,
}

impl Discovery {
    /// Renders every document. `server_address` is the `host:port` that `/api` tells.
    #[must_use]
    pub fn new(contents: &Contents<'_>, server_address: &str) -> Self {
        let groups = group(contents);
        let (core, named): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.name.is_empty());
        let mut documents = HashMap::new();
        documents.insert("/api".to_owned(), forms(&render::api_versions(core.first().copied(), server_address), &core));
        documents.insert("/apis".to_owned(), forms(&render::api_group_list(&groups), &named));
        for group in &groups {
            let base = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
            // Other servers tell of their resources themselves.
            for version in group.versions.iter().filter(|version| version.foreign.is_none()) {
                let list = json(JSON, &render::api_resource_list(group, version));
                documents.insert(format!("{base}/{}", version.name), vec![list]);
            }
            documents.entry(base).or_insert_with(|| vec![json(JSON, &render::api_group_document(group))]);
        }
        Self { documents }
    }

    /// The answer to a GET of `path`, if it is one of discovery's. Looks at `Accept` and
    /// `If-None-Match`.
    #[must_use]
    pub fn serve(&self, path: &str, headers: &HeaderMap) -> Option<Reply> {
        let forms = self.documents.get(path.strip_suffix('/').unwrap_or(path))?;
        Some(choose(forms, headers)?.reply(headers))
    }

    /// Whether something is told about this path.
    #[must_use]
    pub fn knows(&self, path: &str) -> bool {
        self.documents.contains_key(path)
    }

    /// Whether a document is the aggregated one, which clients may keep.
    #[must_use]
    pub fn is_aggregated(document: &Document) -> bool {
        document.content_type == AGGREGATED
    }

    /// Every path that [`Discovery::serve`] answers, in no order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.documents.keys().map(String::as_str)
    }
}

/// The plain document and the aggregated ones over the same groups.
fn forms(plain: &impl Serialize, groups: &[&Group<'_>]) -> Vec<Document> {
    vec![json(JSON, plain), json(AGGREGATED, &render::aggregated(groups.iter().copied()))]
}

fn json(content_type: &'static str, value: &impl Serialize) -> Document {
    Document::plain(content_type, serde_json::to_vec(value).expect("discovery has string keys only"))
}

/// The first form that `Accept` names, else the plain one. Quality values are ignored, as upstream
/// ignores them: clients list what they prefer first.
fn choose<'a>(forms: &'a [Document], headers: &HeaderMap) -> Option<&'a Document> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|wanted| forms.iter().find(|form| same_media(wanted, form.content_type)))
        .or(forms.first())
}

/// Whether a clause of `Accept` names the media type; parameters of content negotiation
/// (`g`, `v`, `as`) must agree, others do not matter.
fn same_media(clause: &str, media: &str) -> bool {
    let parse = |text: &str| {
        let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
        let name = parts.next();
        let mut parameters: Vec<_> =
            parts.filter(|part| ["g=", "v=", "as="].iter().any(|key| part.starts_with(key))).collect();
        parameters.sort();
        (name, parameters)
    };
    parse(clause) == parse(media)
}

#[cfg(test)]
mod tests;
