//! What tokens of service accounts claim besides what every token claims.

use component::jwt::{Claims, Seconds};
use serde::{Deserialize, Deserializer, Serialize};

/// All that a token claims.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AllClaims {
    #[serde(flatten)]
    pub public: Claims,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Binding,
}

/// To what a token is bound: it is good as long as that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Binding {
    /// The account's namespace, and that of pod and secret.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub namespace: String,
    /// The node on which the pod is, or for which the token was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<ClaimedObject>,
    /// The pod for which it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<ClaimedObject>,
    /// The secret for which it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ClaimedObject>,
    /// The account.
    #[serde(rename = "serviceaccount")]
    pub account: ClaimedObject,
    /// From when on its use is noted: it should have been renewed.
    #[serde(rename = "warnafter", skip_serializing_if = "Option::is_none")]
    pub warn_after: Option<Seconds>,
}

/// An object that a token names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimedObject {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub name: String,
    /// Its uid; empty for a node that was not there.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub uid: String,
}

/// Go reads `null` as if it were not there.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
