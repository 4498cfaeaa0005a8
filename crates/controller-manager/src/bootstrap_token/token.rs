//! What the secret of a token says.

use std::time::Duration;

use api_types::{core::Secret, jiff::Timestamp};

const PREFIX: &str = "bootstrap-token-";
/// Length of an id.
const ID: usize = 6;

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    /// No longer.
    Over,
    /// For so long.
    Left(Duration),
    /// Until somebody deletes it.
    Unlimited,
}

/// What a secret says under a key, if it is text; else nothing.
fn text<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.and_then(|value| std::str::from_utf8(&value.0).ok()).unwrap_or_default()
}

/// How long it is good from now on. What cannot be read counts as past, as upstream.
pub(super) fn life(secret: &Secret, now: Timestamp) -> Life {
    let ends = text(secret, "expiration");
    if ends.is_empty() {
        return Life::Unlimited;
    }
    let left = ends.parse::<Timestamp>().ok().and_then(|ends| Duration::try_from(ends.duration_since(now)).ok());
    left.filter(|left| !left.is_zero()).map_or(Life::Over, Life::Left)
}

/// Id and secret of a token that signs, whether or not it is still good.
pub(super) fn signing(secret: &Secret) -> Option<(&str, &[u8])> {
    let id = secret.metadata.name.as_deref()?.strip_prefix(PREFIX)?;
    let sound = id.len() == ID && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let key =
        secret.data.as_ref()?.get("token-secret").map(|value| value.0.as_slice()).filter(|key| !key.is_empty())?;
    let signs = text(secret, "usage-bootstrap-signing") == "true";
    (sound && signs && text(secret, "token-id") == id).then_some((id, key))
}

#[cfg(test)]
pub(super) mod tests {
    use api_types::k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    /// The secret of the token `abc123.0123456789abcdef`, with changes.
    pub(in super::super) fn secret(changes: &[(&str, &str)]) -> Secret {
        let own = [
            ("token-id", "abc123"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
            ("expiration", "2026-01-01T00:00:10Z"),
        ];
        let data = own.iter().chain(changes).map(|(key, value)| ((*key).to_owned(), ByteString((*value).into())));
        let secret = json!({"metadata": {"name": "bootstrap-token-abc123"}, "type": super::super::TYPE});
        let secret: Secret = serde_json::from_value(secret).unwrap();
        Secret { data: Some(data.collect()), ..secret }
    }

    #[test]
    fn secrets_say_what_their_tokens_are_good_for() {
        assert_eq!(signing(&secret(&[])), Some(("abc123", b"0123456789abcdef".as_slice())));
        for change in
            [("token-id", "abc124"), ("token-secret", ""), ("usage-bootstrap-signing", "yes"), ("token-id", "")]
        {
            assert_eq!(signing(&secret(&[change])), None, "{change:?}");
        }
        let mut misnamed = secret(&[("token-id", "ABC123")]);
        misnamed.metadata.name = Some("bootstrap-token-ABC123".to_owned());
        assert_eq!(signing(&misnamed), None);
    }

    #[test]
    fn tokens_end() {
        let at = |now: &str, expiration: &str| life(&secret(&[("expiration", expiration)]), now.parse().unwrap());
        let end = "2026-01-01T00:00:10Z";
        assert_eq!(at("2026-01-01T00:00:00Z", end), Life::Left(Duration::from_secs(10)));
        assert_eq!(at(end, end), Life::Over);
        assert_eq!(at(end, "tomorrow"), Life::Over);
        assert_eq!(at(end, ""), Life::Unlimited);
        assert!(Life::Over < Life::Left(Duration::MAX) && Life::Left(Duration::MAX) < Life::Unlimited);
    }
}
