//! Requests that this process makes of API servers.

use std::{
    sync::LazyLock,
    task::{Context, Poll},
    time::Instant,
};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tower::{Layer, Service};

/// Upstream's buckets, in seconds.
const DURATIONS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

static REQUESTS: LazyLock<Family<Answered, Counter>> = LazyLock::new(Family::default);
static TIMES: LazyLock<Family<Asked, Histogram>> =
    LazyLock::new(|| Family::new_with_constructor(|| Histogram::new(DURATIONS)));

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: String,
    host: String,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    host: String,
    verb: String,
}

pub(super) fn register(registry: &mut Registry) {
    registry.register("rest_client_requests", "Requests by status code, method and host", REQUESTS.clone());
    registry.register("rest_client_request_duration_seconds", "Time until the answer begins", TIMES.clone());
}

/// Counts the requests of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountRequests;

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted(inner)
    }
}

/// A client's service whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S>(S);

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send,
    B: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let (method, begun) = (request.method().clone(), Instant::now());
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            // Upstream's word for requests that were not answered.
            let code =
                answer.as_ref().map_or_else(|_| "<error>".to_owned(), |answer| answer.status().as_str().to_owned());
            count(host, &method, code, begun);
            answer
        })
    }
}

fn count(host: String, method: &Method, code: String, begun: Instant) {
    let asked = Asked { host: host.clone(), verb: method.to_string() };
    TIMES.get_or_create(&asked).observe(begun.elapsed().as_secs_f64());
    REQUESTS.get_or_create(&Answered { code, host, method: method.to_string() }).inc();
}
