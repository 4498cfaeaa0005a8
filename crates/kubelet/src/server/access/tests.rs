//! Access over authenticators and authorizers in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::*;

/// Knows the token `good`.
struct Known;

#[async_trait]
impl Authenticator for Known {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> anyhow::Result<Option<User>> {
        match credentials.token {
            None => Ok(None),
            Some("good") => Ok(Some(User { name: "jane".into(), ..User::default() })),
            Some(_) => Err(anyhow::anyhow!("never heard of it")),
        }
    }
}

/// Allows these subresources, and fails for `broken`.
struct Allows(BTreeSet<&'static str>);

#[async_trait]
impl Authorizer for Allows {
    async fn authorize(&self, _: &User, node: &str, _: &str, subresource: &str) -> anyhow::Result<Decision> {
        assert_eq!(node, "n");
        anyhow::ensure!(!self.0.contains("broken"), "the server is away");
        Ok(if self.0.contains(subresource) { Decision::Allowed } else { Decision::Denied })
    }
}

async fn ask(token: Option<&str>, anonymous: Anonymous, allowed: &[&'static str], path: &str) -> String {
    let access = Access {
        node: "n".into(),
        authenticators: vec![Box::new(Known)],
        anonymous,
        authorizer: Box::new(Allows(allowed.iter().copied().collect())),
    };
    let Some(user) = access.user(&Credentials { peer: None, token }).await else { return "401".to_owned() };
    match access.decide(&user, &Attributes::of(&axum::http::Method::GET, path)).await {
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
