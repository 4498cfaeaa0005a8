//! What every request passes through before a handler sees it.

mod audit;
mod authentication;
mod authorization;
mod deadline;
mod impersonation;
mod inflight;
mod negotiation;
mod observation;
mod panics;
mod presentation;
mod room;

use std::{sync::Arc, time::Duration};

use component::auth::{Authenticator, Authorizer};
use futures::future::BoxFuture;

pub use deadline::EndsAt;
pub use inflight::{LONGEST_BODY, Limits, Place};
pub use room::Taken;

use crate::{
    audit::Audit, authentication::front_proxy::Headers, catalogue::Request, metrics::Metrics, serving::Response,
};

/// One step that every request takes. It may answer by itself, or change the request on its way in or the response on
/// its way out.
pub trait Filter: Send + Sync + 'static {
    /// Treats a request; `next` is the rest of the way.
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response>;
}

/// What answers the requests that passed all filters.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response>;
}

/// The rest of a request's way.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    filters: &'a [Box<dyn Filter>],
    handler: &'a Arc<dyn Handler>,
}

impl<'a> Next<'a> {
    /// Goes that way.
    #[must_use]
    pub fn run(self, request: Request) -> BoxFuture<'a, Response> {
        match self.filters.split_first() {
            Some((filter, rest)) => filter.apply(request, Next { filters: rest, handler: self.handler }),
            None => self.handler.clone().handle(request),
        }
    }
}

/// All filters in order, and the handler behind them.
pub struct Chain {
    filters: Vec<Box<dyn Filter>>,
    handler: Arc<dyn Handler>,
}

/// What the filters need to know.
pub struct Settings {
    /// Who clients are.
    pub authenticator: Arc<dyn Authenticator>,
    /// In which headers a proxy names users, if there is one.
    pub naming: Option<Headers>,
    /// What they may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// What is recorded of what they do, if anything is.
    pub audit: Option<Audit>,
    /// How many requests may run at once.
    pub limits: Limits,
    /// The deadline of requests that are not long-running.
    pub timeout: Duration,
    /// Where requests are counted.
    pub metrics: Metrics,
}

impl Chain {
    /// The filters in their order, outermost first.
    pub fn new(settings: Settings, handler: impl Handler) -> Self {
        let Metrics { requests, access, .. } = settings.metrics;
        let filters: Vec<Option<Box<dyn Filter>>> = vec![
            // Sees every answer, those of the other filters too.
            always(observation::Observation::new(requests.clone())),
            // Whatever is answered, by filters too, is laid out and compressed as the client wants it.
            always(presentation::Present),
            // Whatever goes wrong behind it is told in the client's own encoding.
            always(negotiation::EncodeErrors),
            // A bug in one request must not end the connection that carries others.
            always(panics::CatchPanics),
            // Before anything that costs time.
            always(authentication::Authenticate {
                authenticator: settings.authenticator,
                audit: settings.audit.clone(),
                naming: settings.naming.into_iter().chain([Headers::usual()]).collect(),
                metrics: access.clone(),
            }),
            // Needs to know who it is; sees what becomes of everything after it.
            settings.audit.map(|audit| -> Box<dyn Filter> { Box::new(audit::Auditing::new(audit)) }),
            // After authentication, so that strangers cannot use up the places of others.
            always(inflight::InFlight::new(settings.limits, &requests)),
            // Covers everything that may wait for the store, a webhook or an admission plugin.
            always(deadline::Deadline::new(settings.timeout)),
            // Needs to know who asks. What follows sees only whom they act as.
            always(impersonation::Impersonate::new(settings.authorizer.clone())),
            always(authorization::Authorize { authorizer: settings.authorizer, metrics: access }),
            // Last: only those who may ask learn what the server can produce.
            always(negotiation::Negotiate),
        ];
        let filters = filters.into_iter().flatten().collect();
        Self { filters, handler: Arc::new(handler) }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request) -> Response {
        Next { filters: &self.filters, handler: &self.handler }.run(request).await
    }
}

/// A filter that is there whatever the settings say.
fn always(filter: impl Filter) -> Option<Box<dyn Filter>> {
    Some(Box::new(filter))
}
