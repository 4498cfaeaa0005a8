//! One server that an object names: it is asked over HTTPS, and connections to it are kept.

use std::{error::Error, sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::Semaphore;

use super::{Belief, Otherwise, Place, answer::refusal, connector::Connector, trust};
use crate::registry::admission::Handle;

/// So many questions are asked at once at most; others wait, within their time.
const AT_ONCE: usize = 128;
/// So many connections are kept when nobody is asking, and for so long.
const KEPT: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(90);
/// How much is read of an answer's head, in bytes.
const HEAD_MAX: usize = 64 << 10;
/// How much is read of an answer, in bytes: more than any object has, in Base64.
const ANSWER_MAX: usize = 16 << 20;

/// Which server, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// Who signs its certificate, in PEM; when this is empty, whoever this machine trusts.
    pub authorities: Vec<u8>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// In words for people, upstream's where there are some.
    pub message: String,
    /// The status of the answer, if there was one.
    pub code: Option<u16>,
}

impl From<String> for CallError {
    fn from(message: String) -> Self {
        Self { message, code: None }
    }
}

/// One server. Connections are made when they are needed and kept for a while; those who drop this close them.
pub struct Server {
    settings: Settings,
    registry: Handle,
    /// Made for the first question.
    client: OnceLock<Result<Client<Connector, Full<Bytes>>, String>>,
    room: Semaphore,
}

impl Server {
    /// A server; nothing is connected yet. Services are looked up in the registry.
    #[must_use]
    pub fn new(settings: Settings, registry: &Handle) -> Self {
        Self { settings, registry: registry.clone(), client: OnceLock::new(), room: Semaphore::new(AT_ONCE) }
    }

    /// Which server it is.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Posts JSON, and gives back the body of the answer, within this time. Nobody is followed elsewhere.
    ///
    /// # Errors
    /// When there is no answer, or it is no success.
    pub async fn post(&self, json: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        let uri = self.settings.place.uri(timeout)?;
        let exchange = tokio::time::timeout(timeout, self.exchange(uri.clone(), json)).await;
        match exchange {
            Ok(Ok((status, body))) if status.is_success() => Ok(body),
            Ok(Ok((status, body))) => Err(CallError { message: refusal(status, &body), code: Some(status.as_u16()) }),
            Ok(Err(why)) => Err(format!("Post {:?}: {why}", uri.to_string()).into()),
            Err(_) => Err(format!("Post {:?}: context deadline exceeded", uri.to_string()).into()),
        }
    }

    async fn exchange(&self, uri: Uri, json: Bytes) -> Result<(StatusCode, Bytes), String> {
        let client = self.client.get_or_init(|| self.client()).as_ref().map_err(Clone::clone)?;
        let _place = self.room.acquire().await.map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(json))
            .map_err(|error| error.to_string())?;
        let response = client.request(request).await.map_err(|error| innermost(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("the answer has more than {ANSWER_MAX} bytes")
            } else {
                innermost(&*error)
            }
        })?;
        Ok((parts.status, body.to_bytes()))
    }

    fn client(&self) -> Result<Client<Connector, Full<Bytes>>, String> {
        let tls = trust::tls(&Belief::In(self.settings.authorities.clone()), None)?;
        let connector = Connector::new(&self.settings.place, tls, &self.registry, Otherwise::OwnAddress)?;
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT_FOR).pool_max_idle_per_host(KEPT);
        Ok(builder.http1_max_buf_size(HEAD_MAX).build(connector))
    }
}

/// The cause that tells the most; what it is wrapped in only tells where it came up.
#[must_use]
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
