//! OpenAPI: what kubectl validates, explains and completes by. Documents are built from the rows
//! when a client first asks, and kept compressed; nothing of the build stays.

mod brought;
mod dialect;
mod general;
mod paths;
mod protobuf;
mod schemas;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{Arc, OnceLock},
};

use api_types::Resource;
use bytes::Bytes;
use dialect::Dialect;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, header};
use paths::Paths;
use schemas::Schemas;
use serde_json::{Map, Value, json};

use crate::discovery::{Document, JSON, Reply, etag};

/// The media type of Swagger 2.0 in protocol buffers.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// How clients ask for it: `@` is no legal character of a media type, so answers have a dot.
const V2_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The OpenAPI documents of one set of rows. Make a new one when the rows change.
#[derive(Debug)]
pub struct OpenApi {
    rows: Vec<Arc<Resource>>,
    /// Told as `info.version`.
    version: String,
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3: OnceLock<BTreeMap<String, Document>>,
}

impl OpenApi {
    /// Documents for these rows, of a server of this version (such as `v1.36.2`). Builds nothing yet.
    #[must_use]
    pub fn new(rows: Vec<Arc<Resource>>, version: &str) -> Self {
        Self {
            rows,
            version: version.to_owned(),
            v2: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
            v3: OnceLock::new(),
        }
    }

    /// The answer to a GET of `path`, if it is one of OpenAPI's: `/openapi/v2`, `/openapi/v3` and
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/<group>/<version>`, `/openapi/v3/version`. The first request for a dialect
    /// builds its documents, which takes some ten milliseconds.
    #[must_use]
    pub fn serve(&self, path: &str, headers: &HeaderMap) -> Option<Reply> {
        let document = match path.strip_prefix("/openapi/")? {
            "v2" if wants_protobuf(headers) => {
                self.v2_protobuf.get_or_init(|| compressed(V2_PROTOBUF, protobuf::encode(&self.build_v2())))
            }
            "v2" => self.v2.get_or_init(|| compressed_json(&self.build_v2())),
            "v3" | "v3/" => self.v3().get("")?,
            path => self.v3().get(path.strip_prefix("v3/")?)?,
        };
        let reply = document.reply(headers);
        Some(if accepts_gzip(headers) { reply } else { Reply { document: decompressed(&reply.document)?, ..reply } })
    }

    /// By path below `/openapi/v3/`; the empty path is the index.
    fn v3(&self) -> &BTreeMap<String, Document> {
        self.v3.get_or_init(|| {
            let schemas = Schemas::new(&self.rows, Dialect::V3);
            let mut groups: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
            let paths = Paths { dialect: Dialect::V3, schemas: &schemas };
            for row in &self.rows {
                let root = if row.group.is_empty() { "api" } else { "apis" };
                groups.entry(format!("{root}/{}", row.api_version())).or_default().extend(paths.of(row));
            }
            for general in general::paths(&self.rows) {
                let document = groups.entry(general.document().to_owned()).or_default();
                document.insert(general.path.clone(), general.operations(Dialect::V3));
            }
            let build = |(path, paths)| (path, compressed_json(&self.build_v3(&Value::Object(paths), &schemas)));
            let mut documents: BTreeMap<_, _> = groups.into_iter().map(build).collect();
            documents.insert(String::new(), index(&documents));
            documents
        })
    }

    fn build_v3(&self, paths: &Value, schemas: &Schemas) -> Value {
        json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self.version},
            "paths": paths,
            "components": {
                "schemas": schemas.closure(paths),
                "securitySchemes": {"BearerToken": bearer()},
            },
        })
    }

    fn build_v2(&self) -> Value {
        let schemas = Schemas::new(&self.rows, Dialect::V2);
        let paths = Paths { dialect: Dialect::V2, schemas: &schemas };
        let general = general::operations(&general::paths(&self.rows), Dialect::V2);
        let paths: Map<_, _> = self.rows.iter().flat_map(|row| paths.of(row)).chain(general).collect();
        json!({
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self.version},
            "paths": paths,
            "definitions": schemas.all(),
            "securityDefinitions": {"BearerToken": bearer()},
            "security": [{"BearerToken": []}],
        })
    }
}

fn bearer() -> Value {
    json!({"type": "apiKey", "description": "Bearer token", "name": "authorization", "in": "header"})
}

/// `/openapi/v3`: where each document is, with a hash by which clients cache it.
fn index(documents: &BTreeMap<String, Document>) -> Document {
    let paths: Map<_, _> = documents
        .iter()
        .map(|(path, document)| {
            let hash = document.etag.to_str().unwrap_or_default().trim_matches('"');
            (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
        })
        .collect();
    compressed_json(&json!({"paths": paths}))
}

fn compressed_json(document: &Value) -> Document {
    compressed(JSON, document.to_string().into_bytes())
}

fn compressed(content_type: &'static str, content: Vec<u8>) -> Document {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    match encoder.write_all(&content).and_then(|()| encoder.finish()) {
        Ok(body) => Document { content_type, etag: etag(&content), encoding: Some("gzip"), body: body.into() },
        Err(_) => Document::plain(content_type, content),
    }
}

fn decompressed(document: &Document) -> Option<Document> {
    let mut body = Vec::new();
    GzDecoder::new(document.body.as_ref()).read_to_end(&mut body).ok()?;
    Some(Document { encoding: None, body: Bytes::from(body), ..document.clone() })
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    names(headers, header::ACCEPT_ENCODING).any(|coding| coding.starts_with("gzip") && !coding.ends_with("q=0"))
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    names(headers, header::ACCEPT).next().is_some_and(|media| media == V2_PROTOBUF_ASKED || media == V2_PROTOBUF)
}

fn names(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod surface_tests;
#[cfg(test)]
mod tests;
