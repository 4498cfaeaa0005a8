//! Access over authenticators and authorizers in memory.

use std::collections::BTreeSet;
use std::future::ready;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use component::auth::{Anonymous, Authenticators, Bearer, Found, Rules, TokenAuthenticator, Verdict};
use futures::future::BoxFuture;

use super::*;

/// Knows the token `good`.
struct Known;

impl TokenAuthenticator for Known {
    fn find<'a>(&'a self, token: &'a str, _: &'a [String]) -> BoxFuture<'a, Found> {
        let jane = (token == "good").then(|| User::authenticated("jane", "", Vec::new()).into());
        Box::pin(ready(Ok(jane)))
    }
}

/// Allows these subresources, and fails for `broken`.
struct Allows(BTreeSet<&'static str>);

impl Authorizer for Allows {
    fn authorize<'a>(&'a self, attributes: &'a auth::Attributes<'a>) -> BoxFuture<'a, Verdict> {
        let Target::Resource(place) = &attributes.target else { return Box::pin(ready(Verdict::deny("a path"))) };
        assert_eq!((&*place.resource, &*place.name), ("nodes", "n"));
        let verdict = match self.0.contains("broken") {
            true => Verdict::failed("the server is away"),
            false if self.0.contains(&*place.subresource) => Verdict::allow(),
            false => Verdict::no_opinion("not listed"),
        };
        Box::pin(ready(verdict))
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(ready(Rules::default()))
    }
}

async fn ask(token: Option<&str>, anonymous: Anonymous, allowed: &[&'static str], path: &str) -> String {
    let tokens: Vec<Arc<dyn TokenAuthenticator>> = vec![Arc::new(Known)];
    let authenticator = Authenticators::new(vec![Arc::new(Bearer::new(tokens))], anonymous);
    let authorizer = Arc::new(Allows(allowed.iter().copied().collect()));
    let access = Access { node: "n".into(), authenticator: Arc::new(authenticator), authorizer };
    let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    let headers: HeaderMap = token.into_iter().map(|token| (header::AUTHORIZATION, token)).collect();
    let presented = Presented { headers: &headers, peer: None, audiences: &[] };
    let Some(user) = access.user(presented).await else { return "401".to_owned() };
    match access.decide(&user, &Attributes::of(&Method::GET, path)).await {
        Ok(()) => user.name,
        Err((code, text)) => format!("{} {text}", code.as_u16()),
    }
}

#[tokio::test]
async fn the_first_who_knows_decides_and_one_right_is_enough() {
    use Anonymous::{Allowed, Refused};
    let good = Some("good");
    let cases: [(_, _, &[&'static str], _, _); 9] = [
        (good, Refused, &["proxy"], "/pods", "jane"),
        (good, Refused, &["pods"], "/pods", "jane"),
        (
            good,
            Refused,
            &["pods"],
            "/exec/a/b/c",
            "403 Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[proxy])\n",
        ),
        (
            good,
            Refused,
            &["stats"],
            "/pods",
            "403 Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[pods proxy])\n",
        ),
        (
            good,
            Refused,
            &["broken"],
            "/stats/summary",
            "500 Authorization error (user=jane, verb=get, resource=nodes, subresource=stats)",
        ),
        (None, Refused, &["proxy"], "/pods", "401"),
        (None, Allowed, &["healthz"], "/healthz", "system:anonymous"),
        (
            None,
            Allowed,
            &[],
            "/healthz",
            "403 Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n",
        ),
        (Some("bad"), Allowed, &["healthz"], "/healthz", "401"),
    ];
    for (token, anonymous, allowed, path, expected) in cases {
        assert_eq!(ask(token, anonymous, allowed, path).await, expected, "{token:?} {path}");
    }
}
