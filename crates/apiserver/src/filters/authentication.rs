//! Who clients are.

use std::{sync::Arc, time::Instant};

use api_types::status::StatusError;
use component::auth::{Authenticator, Presented, User, bearer::remove_tokens};
use futures::future::BoxFuture;
use http::header;

use super::{Filter, Next};
use crate::{
    audit::{Audit, Record, ResponseStatus, Stage},
    authentication::front_proxy::Headers,
    authorization::attributes,
    catalogue::Request,
    metrics::Access,
    serving::{Response, respond},
};

pub(super) struct Authenticate {
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) audit: Option<Audit>,
    /// Where attempts are counted.
    pub(super) metrics: Arc<Access>,
    /// What names users, besides tokens: nobody behind needs it, and a request that is passed on must not carry it.
    pub(super) naming: Vec<Headers>,
}

impl Authenticate {
    async fn refuse(&self, request: &Request) -> Response {
        if let Some(audit) = &self.audit {
            let nobody = User::default();
            let attributes = attributes(&nobody, request.method(), &request.info, &request.query);
            if let Some(record) = Record::begin(audit, &request.id, &request.http, &attributes) {
                let status = ResponseStatus { message: Some(attempts(request)), ..ResponseStatus::new(401, &[]) };
                record.write(Stage::ResponseStarted, Some(status), None).kept().await;
            }
        }
        respond::error(&StatusError::unauthorized())
    }
}

/// What a client tried that nobody knows.
fn attempts(request: &Request) -> String {
    let scheme =
        request.header(&header::AUTHORIZATION).and_then(|value| value.trim().split_once(' ')).map(|(scheme, _)| scheme);
    let is = |wanted: &str| scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(wanted));
    let certificate = request.peer().is_some_and(|peer| !peer.certificates.is_empty());
    let tried: Vec<&str> = [("basic", is("basic")), ("bearer", is("bearer")), ("x509", certificate)]
        .into_iter()
        .filter_map(|(name, tried)| tried.then_some(name))
        .collect();
    match tried.as_slice() {
        [] => "Authentication failed, no credentials provided".to_owned(),
        tried => format!("Authentication failed, attempted: {}", tried.join(", ")),
    }
}

impl Filter for Authenticate {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let peer = request.http.extensions().get();
            let presented = Presented { headers: request.http.headers(), peer, audiences: &[] };
            let begun = Instant::now();
            match self.authenticator.authenticate(presented).await {
                Ok(Some(identity)) => {
                    self.metrics.known(&identity.user.name, begun);
                    request.user = identity.user;
                    remove_tokens(request.http.headers_mut());
                    self.naming.iter().for_each(|headers| headers.remove(request.http.headers_mut()));
                    next.run(request).await
                }
                Ok(None) => {
                    self.metrics.unknown(begun);
                    self.refuse(&request).await
                }
                Err(error) => {
                    self.metrics.failed(begun);
                    tracing::info!(path = request.info.path, "unable to authenticate the request: {error:#}");
                    self.refuse(&request).await
                }
            }
        })
    }
}
