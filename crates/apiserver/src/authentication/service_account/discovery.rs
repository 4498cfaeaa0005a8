//! What others have to know in order to verify tokens: OpenID Connect's discovery.

use anyhow::ensure;
use component::jwt::key_set;
use http::Uri;
use serde_json::json;

use super::Issuing;

/// Where the keys are.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// Where the configuration is.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// A document that is published.
pub struct Document {
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub json: Vec<u8>,
}

impl Issuing {
    /// The document at a path; `None` when there is none.
    #[must_use]
    pub fn document(&self, path: &str, server: &str) -> Option<Document> {
        if self.check_url().is_err() {
            return None;
        }
        match path {
            CONFIGURATION_PATH => Some(Document { media_type: "application/json", json: self.configuration(server) }),
            KEYS_PATH => {
                let json = key_set(&self.verifying().verifying).ok()?;
                Some(Document { media_type: "application/jwk-set+json", json })
            }
            _ => None,
        }
    }

    /// Whether the issuer's URL is one that discovery can have.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_url(&self) -> anyhow::Result<()> {
        let issuer = self.issuers.first().map(String::as_str).unwrap_or_default();
        let url: Uri = issuer.parse()?;
        let scheme = url.scheme_str().unwrap_or_default();
        ensure!(scheme == "https", "issuer URL must use https scheme, got: {issuer}");
        ensure!(url.query().is_none(), "issuer URL may not include a query, got: {issuer}");
        ensure!(!issuer.contains('#'), "issuer URL may not include a fragment, got: {issuer}");
        Ok(())
    }

    fn configuration(&self, server: &str) -> Vec<u8> {
        let keys = self.verifying();
        let mut algorithms: Vec<&str> = keys.verifying.iter().map(|key| key.algorithm().name()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let own = || format!("https://{server}{KEYS_PATH}");
        let configuration = json!({
            "issuer": self.issuers.first(),
            "jwks_uri": if self.keys_url.is_empty() { own() } else { self.keys_url.clone() },
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        });
        configuration.to_string().into_bytes()
    }
}
