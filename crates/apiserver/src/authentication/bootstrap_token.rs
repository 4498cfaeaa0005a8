//! Tokens by which new nodes introduce themselves: each is a secret in `kube-system`.

use api_types::{core::Secret, jiff::Timestamp};
use component::auth::{Found, TokenAuthenticator, User};
use futures::future::BoxFuture;

use super::constant_time::same;
use crate::registry::{Target, admission::Handle};

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const USER: &str = "system:bootstrap:";
const GROUP: &str = "system:bootstrappers";
const ID: usize = 6;
const SECRET: usize = 16;

/// Recognises the tokens of secrets.
pub struct BootstrapTokens {
    /// Where the secrets are.
    pub registry: Handle,
}

impl BootstrapTokens {
    async fn look(&self, token: &str) -> Found {
        let Some((id, secret)) = parts(token) else { return Ok(None) };
        let registry = self.registry.registry()?;
        let name = format!("bootstrap-token-{id}");
        let target = Target { namespace: NAMESPACE, name: &name };
        let found = match registry.get_object(&*registry.core("secrets")?, target).await {
            Err(error) if error.reason() == "NotFound" => return Ok(None),
            found => found?,
        };
        let kept: &Secret = found.expect_ref("Secret")?;
        match user(kept, id, secret, Timestamp::now()) {
            Ok(user) => Ok(Some(user.into())),
            Err(why) => {
                tracing::info!(secret = name, "a bootstrap token is not good: {why}");
                Ok(None)
            }
        }
    }
}

impl TokenAuthenticator for BootstrapTokens {
    fn find<'a>(&'a self, token: &'a str, _: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(self.look(token))
    }
}

/// Id and secret of a token; `None` when it is no bootstrap token.
fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let sound = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (sound(id, ID) && sound(secret, SECRET)).then_some((id, secret))
}

/// Who presents a token, given the secret of that id.
fn user(kept: &Secret, id: &str, secret: &str, now: Timestamp) -> Result<User, &'static str> {
    let text = |key: &str| {
        let value = kept.data.as_ref().and_then(|data| data.get(key));
        value.and_then(|value| std::str::from_utf8(&value.0).ok()).unwrap_or_default()
    };
    if kept.metadata.deletion_timestamp.is_some() {
        return Err("it is being deleted");
    }
    if kept.type_.as_deref() != Some(TYPE) {
        return Err("the secret is of another type");
    }
    if !same(text("token-secret").as_bytes(), secret.as_bytes()) {
        return Err("the token-secret is another one");
    }
    if text("token-id") != id {
        return Err("the token-id is another one");
    }
    // What cannot be read counts as past, as upstream.
    let ends = text("expiration");
    if !ends.is_empty() && !ends.parse::<Timestamp>().is_ok_and(|ends| ends > now) {
        return Err("it has expired");
    }
    if text("usage-bootstrap-authentication") != "true" {
        return Err("it is not for authentication");
    }
    let groups = groups(text("auth-extra-groups"))?;
    Ok(User::authenticated(format!("{USER}{id}"), "", groups))
}

/// The groups in their order, the one of all bootstrap tokens among them.
fn groups(more: &str) -> Result<Vec<String>, &'static str> {
    let mut groups = vec![GROUP.to_owned()];
    for group in more.split(',').filter(|_| !more.is_empty()) {
        let rest = group.strip_prefix("system:bootstrappers:").unwrap_or_default();
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b':' || byte == b'-';
        let ends = rest.bytes().last().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !ends || rest.len() > 256 || !rest.bytes().all(sound) {
            return Err("a group in auth-extra-groups is not one of bootstrappers");
        }
        groups.push(group.to_owned());
    }
    groups.sort();
    groups.dedup();
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use api_types::k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_told_apart() {
        assert_eq!(parts("abc123.0123456789abcdef"), Some(("abc123", "0123456789abcdef")));
        for other in ["", "abc123", "Abc123.0123456789abcdef", "abc123.0123456789abcde", "abc123.0123456789abcdef.x"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_says_what_its_token_is_good_for() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |changes: &[(&str, &str)]| {
            let mut data = vec![
                ("token-id", "abc123"),
                ("token-secret", "0123456789abcdef"),
                ("usage-bootstrap-authentication", "true"),
                ("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a"),
                ("expiration", "2026-01-01T00:00:01Z"),
            ];
            data.extend(changes);
            let secret = json!({"metadata": {"name": "s"}, "type": TYPE});
            let mut secret: Secret = serde_json::from_value(secret).unwrap();
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
            secret.data = Some(data.collect());
            user(&secret, "abc123", "0123456789abcdef", now).map(|user| (user.name, user.groups))
        };
        let groups =
            ["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b", "system:authenticated"];
        assert_eq!(check(&[]), Ok(("system:bootstrap:abc123".to_owned(), groups.map(str::to_owned).into())));
        assert!(check(&[("expiration", "")]).is_ok());
        for wrong in [
            ("expiration", "2026-01-01T00:00:00Z"),
            ("expiration", "soon"),
            ("token-secret", "0123456789abcdee"),
            ("token-id", "abc124"),
            ("usage-bootstrap-authentication", "True"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:"),
        ] {
            assert!(check(&[wrong]).is_err(), "{wrong:?}");
        }
    }
}
