//! Settings of access, and putting it together.
//!
//! Without a word about it a kubelet serves nobody whom the API server does not vouch for: anonymous requests are
//! refused, tokens and every request's right are reviewed by the API server. These are upstream's defaults for a
//! `KubeletConfiguration`. Upstream's defaults without such a file are others, older ones (`--anonymous-auth=true`,
//! `--authentication-token-webhook=false`, `--authorization-mode=AlwaysAllow`): they let strangers in, and are not ours.
//! A kubelet without an API server has nobody to ask; there whoever has a certificate of the authority may do anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use component::auth::delegated::{AccessReviews, TokenReviews};
use component::auth::{
    AlwaysAllow, Anonymous, Authenticator, Authenticators, Authorizer, Bearer, Certificates, TokenAuthenticator,
};
use component::flags::duration;
use component::serve::tls::ClientAuthority;
use kube::Client;

use super::Access;
use crate::config_file::KubeletConfiguration;
use crate::flags::Flags;

/// Upstream's defaults.
const TOKEN: Duration = Duration::from_secs(120);
const ALLOWED: Duration = Duration::from_secs(300);
const DENIED: Duration = Duration::from_secs(30);

/// Who may use the kubelet's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// `--client-ca-file`; without one no certificate counts.
    pub client_ca: Option<PathBuf>,
    /// How long the API server's word about a token holds; `None` is a kubelet that takes no tokens.
    pub tokens: Option<Duration>,
    /// `--anonymous-auth`.
    pub anonymous: Anonymous,
    /// `--authorization-mode`.
    pub authorization: Authorization,
}

/// How long answers about access hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttls {
    /// A yes.
    pub allowed: Duration,
    /// A no.
    pub denied: Duration,
}

/// `--authorization-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// Whoever is let in may do anything.
    AlwaysAllow,
    /// The API server decides.
    Webhook(Ttls),
}

impl AccessConfig {
    /// Flags over file over defaults; `server` says whether there is an API server to ask. Mistakes are added to the
    /// list.
    pub fn new(flags: &Flags, file: &KubeletConfiguration, server: bool, mistakes: &mut Vec<String>) -> Self {
        let authentication = &file.authentication;
        let tokens = flags.authentication_token_webhook.or(authentication.webhook.enabled).unwrap_or(server);
        if tokens && !server {
            mistakes.push("no client provided, cannot use webhook authentication".to_owned());
        }
        let mut ttl = |flag: Option<Duration>, file: Option<&str>, default| match (flag, file) {
            (Some(given), _) => given,
            (None, Some(text)) => duration(text).map_err(|mistake| mistakes.push(mistake)).unwrap_or(default),
            (None, None) => default,
        };
        let token =
            ttl(flags.authentication_token_webhook_cache_ttl, authentication.webhook.cache_ttl.as_deref(), TOKEN);
        let webhook = &file.authorization.webhook;
        let allowed = webhook.cache_authorized_ttl.as_deref();
        let denied = webhook.cache_unauthorized_ttl.as_deref();
        let ttls = Ttls {
            allowed: ttl(flags.authorization_webhook_cache_authorized_ttl, allowed, ALLOWED),
            denied: ttl(flags.authorization_webhook_cache_unauthorized_ttl, denied, DENIED),
        };
        let anonymous = flags.anonymous_auth.or(authentication.anonymous.enabled).unwrap_or(false);
        Self {
            client_ca: flags.client_ca_file.clone().or(authentication.x509.client_ca_file.clone()),
            tokens: tokens.then_some(token),
            anonymous: if anonymous { Anonymous::Allowed } else { Anonymous::Refused },
            authorization: authorization(flags, file, server, ttls, mistakes),
        }
    }

    /// Everything that stands before the API of the node `node`.
    ///
    /// # Errors
    /// When the authority's file is no authority, or an API server is needed and there is none.
    pub fn build(&self, node: &str, client: Option<&Client>) -> anyhow::Result<Access> {
        let needed = || client.cloned().context("no client provided, cannot use a webhook");
        let mut authenticators: Vec<Arc<dyn Authenticator>> = Vec::new();
        if let Some(path) = &self.client_ca {
            authenticators.push(Arc::new(Certificates::new(Arc::new(ClientAuthority::from_file(path)?))));
        }
        if let Some(ttl) = self.tokens {
            let reviews: Arc<dyn TokenAuthenticator> = Arc::new(TokenReviews::new(needed()?, ttl));
            authenticators.push(Arc::new(Bearer::new(vec![reviews])));
        }
        let authorizer: Arc<dyn Authorizer> = match self.authorization {
            Authorization::AlwaysAllow => Arc::new(AlwaysAllow),
            Authorization::Webhook(Ttls { allowed, denied }) => {
                Arc::new(AccessReviews::new(needed()?, allowed, denied))
            }
        };
        let authenticator = Arc::new(Authenticators::new(authenticators, self.anonymous));
        Ok(Access { node: node.to_owned(), authenticator, authorizer })
    }
}

fn authorization(
    flags: &Flags,
    file: &KubeletConfiguration,
    server: bool,
    ttls: Ttls,
    mistakes: &mut Vec<String>,
) -> Authorization {
    let mode = flags.authorization_mode.as_deref().or(file.authorization.mode.as_deref());
    match mode.filter(|mode| !mode.is_empty()).unwrap_or(if server { "Webhook" } else { "AlwaysAllow" }) {
        "AlwaysAllow" => return Authorization::AlwaysAllow,
        "Webhook" if server => return Authorization::Webhook(ttls),
        "Webhook" => mistakes.push("no client provided, cannot use webhook authorization".to_owned()),
        unknown => mistakes.push(format!("unknown authorization mode {unknown}")),
    }
    Authorization::Webhook(ttls)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(words: &str, file: &str) -> Result<AccessConfig, Vec<String>> {
        let words = std::iter::once("kubelet").chain(words.split_whitespace()).map(Into::into);
        let flags: Flags = component::flags::parse(words, crate::flags::RETIRED).unwrap();
        let file = api_types::yaml::from_str(if file.is_empty() { "{}" } else { file }).unwrap();
        let file: KubeletConfiguration = serde_json::from_value(file).unwrap();
        let server = flags.client.master.is_some();
        let mut mistakes = Vec::new();
        let settings = AccessConfig::new(&flags, &file, server, &mut mistakes);
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    fn words(settings: &AccessConfig) -> String {
        let tokens = settings.tokens.map_or("no tokens".to_owned(), |ttl| format!("tokens {ttl:?}"));
        let mode = match settings.authorization {
            Authorization::AlwaysAllow => "AlwaysAllow".to_owned(),
            Authorization::Webhook(Ttls { allowed, denied }) => format!("Webhook {allowed:?} {denied:?}"),
        };
        format!("anonymous {:?}, {tokens}, {mode}", settings.anonymous)
    }

    #[test]
    fn nobody_is_let_in_by_default() {
        const SERVER: &str = "--api-servers=http://m:8080";
        let open =
            format!("{SERVER} --anonymous-auth --authentication-token-webhook=false --authorization-mode=AlwaysAllow");
        let authority = settings(SERVER, "authentication: {x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}").unwrap();
        assert_eq!(authority.client_ca.as_deref(), Some(Path::new("/etc/kubernetes/pki/ca.crt")));
        let file = "authentication: {anonymous: {enabled: true}, webhook: {enabled: false, cacheTTL: 1m0s}}\n\
            authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 2m0s, cacheUnauthorizedTTL: 3s}}";
        for (flags, file, expected) in [
            (SERVER, "", "anonymous Refused, tokens 120s, Webhook 300s 30s"),
            ("", "", "anonymous Refused, no tokens, AlwaysAllow"),
            (open.as_str(), "", "anonymous Allowed, no tokens, AlwaysAllow"),
            (SERVER, file, "anonymous Allowed, no tokens, Webhook 120s 3s"),
            (open.as_str(), "authorization: {mode: Webhook}", "anonymous Allowed, no tokens, AlwaysAllow"),
        ] {
            assert_eq!(words(&settings(flags, file).unwrap()), expected, "{flags} {file}");
        }
    }

    #[test]
    fn what_needs_an_api_server_is_not_silently_left_out() {
        let mistakes = settings("--authentication-token-webhook --authorization-mode=Webhook", "").unwrap_err();
        let expected = [
            "no client provided, cannot use webhook authentication",
            "no client provided, cannot use webhook authorization",
        ];
        assert_eq!(mistakes, expected);
        assert_eq!(settings("--authorization-mode=RBAC", "").unwrap_err(), ["unknown authorization mode RBAC"]);
    }
}
