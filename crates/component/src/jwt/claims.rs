//! What every token claims.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// So far two clocks may be apart, in seconds; upstream's.
pub const LEEWAY: i64 = 60;

/// The claims that RFC 7519 registers. What is absent is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// For whom it was made.
    #[serde(rename = "aud", skip_serializing_if = "Vec::is_empty", deserialize_with = "audiences")]
    pub audiences: Vec<String>,
    /// When it ends.
    #[serde(rename = "exp", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Seconds>,
    /// When it was made.
    #[serde(rename = "iat", skip_serializing_if = "Option::is_none")]
    pub issued: Option<Seconds>,
    /// Who made it.
    #[serde(rename = "iss", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub issuer: String,
    /// Which one it is.
    #[serde(rename = "jti", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub id: String,
    /// Before when it is not good.
    #[serde(rename = "nbf", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Seconds>,
    /// Of whom it speaks.
    #[serde(rename = "sub", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub subject: String,
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub i64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    /// A fraction of a second does not matter; a number beyond all times is as good as the last.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
        let float = || number.as_f64().map(|float| float as i64);
        number.as_i64().or_else(float).map(Self).ok_or_else(|| serde::de::Error::custom("no time"))
    }
}

/// Go reads `null` as if it were not there.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// One audience may stand for itself.
fn audiences<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audiences {
        Several(Vec<String>),
        One(String),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Audiences::One(audience)) => vec![audience],
        Some(Audiences::Several(audiences)) => audiences,
    })
}

/// A token is not good now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untimely {
    /// It has ended.
    #[error("token has expired")]
    Expired,
    /// It has not begun.
    #[error("token is not valid yet")]
    NotYet,
    /// It was made in the future.
    #[error("token is issued in the future")]
    FromTheFuture,
}

impl Claims {
    /// Checks that the token is good now.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_time(&self, now: Seconds) -> Result<(), Untimely> {
        let late = Seconds(now.0.saturating_add(LEEWAY));
        if self.not_before.is_some_and(|begins| late < begins) {
            return Err(Untimely::NotYet);
        }
        if self.expires.is_some_and(|ends| Seconds(now.0.saturating_sub(LEEWAY)) > ends) {
            return Err(Untimely::Expired);
        }
        if self.issued.is_some_and(|issued| late < issued) {
            return Err(Untimely::FromTheFuture);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_read_as_go_reads_them() {
        let read = |json| serde_json::from_value::<Claims>(json).ok();
        let claims = read(json!({"aud": "a", "exp": 1.9, "iss": null, "other": {}})).unwrap();
        assert_eq!(
            (claims.audiences, claims.expires, claims.issuer),
            (vec!["a".to_owned()], Some(Seconds(1)), "".into())
        );
        assert_eq!(read(json!({"aud": ["a", "b"], "exp": 1e300})).unwrap().expires, Some(Seconds(i64::MAX)));
        for wrong in [json!({"exp": "1"}), json!({"aud": [1]}), json!({"aud": {}}), json!({"sub": 1})] {
            assert!(read(wrong.clone()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let claims = Claims { expires: Some(Seconds(200)), not_before: Some(Seconds(100)), ..Claims::default() };
        let cases = [(39, Err(Untimely::NotYet)), (40, Ok(())), (260, Ok(())), (261, Err(Untimely::Expired))];
        for (now, expected) in cases {
            assert_eq!(claims.check_time(Seconds(now)), expected, "{now}");
        }
        let early = Claims { issued: Some(Seconds(200)), ..Claims::default() };
        assert_eq!(early.check_time(Seconds(100)), Err(Untimely::FromTheFuture));
        assert_eq!(early.check_time(Seconds(i64::MAX)), Ok(()));
    }
}
