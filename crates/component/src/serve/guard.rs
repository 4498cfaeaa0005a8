//! Who may use a daemon's own port: some paths are everybody's, the rest is for those who may.

use std::{path::PathBuf, sync::Arc, time::Duration};

use api_types::StatusError;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use clap::Args;
use futures::future::BoxFuture;

use super::{Peer, tls::ClientAuthority};
use crate::{
    auth::{
        Anonymous, Attributes, Authenticator, Authenticators, Authorizer, Authorizers, Bearer, Certificates, Decision,
        Masters, Presented, Rules, Target, TokenAuthenticator, User, Verdict,
        bearer::remove_tokens,
        delegated::{AccessReviews, TokenReviews},
    },
    client,
    flags::{ClientFlags, duration},
};

/// Upstream's flags about who may use the secure port.
#[derive(Args, Clone, Debug)]
pub struct GuardFlags {
    /// Certificates that may have signed clients'
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Paths that are answered without asking who may; a trailing * is for all that begin so
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez", value_name = "PATHS")]
    pub authorization_always_allow_paths: Vec<String>,
    /// Kubeconfig for asking the API server whose token it is; without it tokens are refused
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig for asking the API server what users may do; without it only system:masters may use what is not always allowed
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// How long the API server's answers about tokens are remembered
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// How long a permission is remembered
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long a refusal is remembered
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}

/// Asks who somebody is and whether they may.
#[derive(Clone)]
pub struct Guard {
    authenticator: Arc<dyn Authenticator>,
    authorizer: Arc<dyn Authorizer>,
}

impl Guard {
    /// A guard as the flags want it. It asks the API server only where the flags say how.
    ///
    /// # Errors
    /// When a file that the flags name cannot be read.
    pub async fn new(flags: &GuardFlags) -> anyhow::Result<Self> {
        let mut authenticators: Vec<Arc<dyn Authenticator>> = Vec::new();
        if let Some(path) = &flags.client_ca_file {
            let authority = ClientAuthority::from_file(path)?;
            authenticators.push(Arc::new(Certificates::new(Arc::new(authority))));
        }
        let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
        if let Some(client) = connect(flags.authentication_kubeconfig.as_ref()).await? {
            tokens.push(Arc::new(TokenReviews::new(client, flags.authentication_token_webhook_cache_ttl)));
        }
        authenticators.push(Arc::new(Bearer::new(tokens)));
        let open = OpenPaths(flags.authorization_always_allow_paths.clone());
        let mut authorizers: Vec<Arc<dyn Authorizer>> = vec![Arc::new(open), Arc::new(Masters)];
        if let Some(client) = connect(flags.authorization_kubeconfig.as_ref()).await? {
            let allowed = flags.authorization_webhook_cache_authorized_ttl;
            let refused = flags.authorization_webhook_cache_unauthorized_ttl;
            authorizers.push(Arc::new(AccessReviews::new(client, allowed, refused)));
        }
        Ok(Self {
            authenticator: Arc::new(Authenticators::new(authenticators, Anonymous::Allowed)),
            authorizer: Arc::new(Authorizers::new(authorizers)),
        })
    }

    /// The same routes, behind the guard.
    pub fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, guard))
    }

    async fn admit(&self, request: &mut Request) -> Result<(), StatusError> {
        let peer = request.extensions().get::<Peer>();
        let presented = Presented { headers: request.headers(), peer, audiences: &[] };
        let identity = self.authenticator.authenticate(presented).await.unwrap_or_else(|error| {
            tracing::info!(path = request.uri().path(), "unable to authenticate the request: {error:#}");
            None
        });
        let user = identity.ok_or_else(StatusError::unauthorized)?.user;
        let verb = request.method().as_str().to_ascii_lowercase();
        let path = request.uri().path();
        let attributes = Attributes { user: &user, verb: verb.into(), target: Target::Path(path.into()) };
        let verdict = self.authorizer.authorize(&attributes).await;
        match verdict {
            Verdict { decision: Decision::Allow, .. } => {}
            Verdict { error, .. } if !error.is_empty() => return Err(StatusError::internal(error)),
            Verdict { reason, .. } => return Err(attributes.forbidden(&reason)),
        }
        remove_tokens(request.headers_mut());
        Ok(())
    }
}

async fn connect(kubeconfig: Option<&PathBuf>) -> anyhow::Result<Option<kube::Client>> {
    let Some(path) = kubeconfig else { return Ok(None) };
    let flags = ClientFlags { master: None, kubeconfig: Some(path.clone()) };
    Ok(Some(client::connect(&flags).await?))
}

async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.admit(&mut request).await {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let refusal = (code, [(header::CONTENT_TYPE, "application/json")], error.encode()).into_response();
            nothing_to_guess(refusal).await
        }
    }
}

/// The same answer; no browser takes it for something else than it says it is.
pub async fn nothing_to_guess(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Allows some paths to everybody.
struct OpenPaths(Vec<String>);

impl Authorizer for OpenPaths {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        let open = match &attributes.target {
            Target::Path(path) => self.0.iter().any(|open| match open.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => path == open,
            }),
            Target::Resource(_) => false,
        };
        Box::pin(std::future::ready(if open { Verdict::allow() } else { Verdict::default() }))
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(std::future::ready(Rules::default()))
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use clap::Parser;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        guard: GuardFlags,
    }

    async fn ask(flags: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let words = std::iter::once("test").chain(flags.split_whitespace());
        let guard = Guard::new(&Test::parse_from(words).guard).await.unwrap();
        let routes = Router::new().route("/healthz", get(|| async { "ok" })).route("/metrics", get(|| async { "1" }));
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = guard.protect(routes).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn strangers_get_what_is_open() {
        assert_eq!(ask("", "/healthz", None).await.0, 200);
        let (code, body) = ask("", "/metrics", None).await;
        assert_eq!(code, 403);
        assert!(body.contains(r#"forbidden: User \"system:anonymous\" cannot get path \"/metrics\""#), "{body}");
        assert_eq!(ask("", "/nope", None).await.0, 403, "what is there is nobody's business");
        assert_eq!(ask("", "/healthz", Some("bad")).await.0, 401);
        assert_eq!(ask("--authorization-always-allow-paths=/met*", "/metrics", None).await.0, 200);
        assert_eq!(ask("--authorization-always-allow-paths=/met*", "/healthz", None).await.0, 403);
    }
}
