//! A client that shows everything of an answer.

use apiserver::{
    Config,
    registry::admission::{Handle, Plugin},
    testing::TestServer,
};
use component::auth::User;
use futures::StreamExt;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;

/// Its client is nobody's master.
pub fn crowded(config: &mut Config) {
    config.authentication.plain = User::authenticated("jane", "", Vec::new());
}

pub struct Api {
    pub server: TestServer,
    client: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The answer when it is a success, which it has to be.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{}: {}", self.code, String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Code, reason and message of a `Status`.
    pub fn failure(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{status}");
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        (self.code, text("reason"), text("message"))
    }
}

/// The lines of a watch.
pub struct Lines {
    chunks: std::pin::Pin<Box<dyn futures::Stream<Item = Vec<u8>> + Send>>,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next event; `None` when the watch has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.buffer.extend(self.chunks.next().await?);
        }
    }

    /// Type and name of the next event.
    pub async fn event(&mut self) -> (String, String) {
        let event = self.next().await.expect("the watch goes on");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(flags: &[&str]) -> Self {
        Self::of(TestServer::start_with(flags).await)
    }

    /// A server to whom the client is somebody who may be refused for lack of room, unlike its masters.
    pub async fn start_crowded(flags: &[&str]) -> Self {
        Self::start_configured(flags, crowded).await
    }

    /// A server with a configuration that no flag can give.
    pub async fn start_configured(flags: &[&str], configure: impl FnOnce(&mut Config)) -> Self {
        Self::of(TestServer::start_configured(flags, configure).await)
    }

    fn of(server: TestServer) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { server, client }
    }

    /// The server started anew with what it had stored.
    pub async fn restart(self) -> Self {
        Self::of(self.server.restart().await)
    }

    /// A server with one more admission plugin, to whom the client is nobody's master.
    pub async fn start_admitting(
        flags: &[&str],
        plugin: impl FnOnce(Handle) -> Box<dyn Plugin> + Send + 'static,
    ) -> Self {
        let add = |config: &mut Config| {
            crowded(config);
            config.admission.more.push(Box::new(plugin));
        };
        Self::start_configured(flags, add).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.request(request.body(Full::from(body)).unwrap()).await.unwrap()
    }

    pub async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let response = self.send(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { code: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    async fn with_body(&self, method: Method, path: &str, media_type: &str, body: &Value) -> Reply {
        self.raw(method, path, &[("content-type", media_type)], body.to_string().into_bytes()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.raw(Method::GET, path, &[], Vec::new()).await
    }

    pub async fn accept(&self, path: &str, accept: &str) -> Reply {
        self.raw(Method::GET, path, &[("accept", accept)], Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.with_body(Method::POST, path, "application/json", body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.with_body(Method::PUT, path, "application/json", body).await
    }

    pub async fn patch(&self, path: &str, media_type: &str, body: &Value) -> Reply {
        self.with_body(Method::PATCH, path, media_type, body).await
    }

    pub async fn merge(&self, path: &str, body: &Value) -> Reply {
        self.patch(path, "application/merge-patch+json", body).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.raw(Method::DELETE, path, &[], Vec::new()).await
    }

    pub async fn delete_with(&self, path: &str, options: &Value) -> Reply {
        self.with_body(Method::DELETE, path, "application/json", options).await
    }

    pub async fn watch(&self, path: &str) -> Lines {
        let response = self.send(Method::GET, path, &[], Vec::new()).await;
        assert_eq!(response.status(), 200);
        let chunks = BodyStream::new(response.into_body())
            .filter_map(|frame| async { frame.ok()?.into_data().ok().map(|data| data.to_vec()) });
        Lines { chunks: Box::pin(chunks), buffer: Vec::new() }
    }
}
