//! Who clients are.

use std::{path::Path, sync::Arc};

use component::{
    auth::{Certificates, delegated::ReviewVersion},
    files::FromFiles,
    serve::tls::ClientAuthority,
};

use super::{Flags, Mistakes, anonymous, oidc, service_accounts};
use crate::authentication::{
    Basic, FrontProxy, NewNodes, PlainPort, Settings, TokenFile, TokenWebhook, Tokens, front_proxy::Headers, passwords,
    webhook,
};
use crate::bootstrap::authentication_trust::{ALLOWED_NAMES, Trust};
use crate::webhook::Connection;

/// What authenticators are made of; `None` when it cannot be said what that is.
pub(super) fn settings(flags: &Flags, mistakes: &mut Mistakes) -> Option<Settings> {
    let authority = flags.client_ca_file.as_deref().and_then(|path| authority("client-ca-file", path, mistakes));
    let front_proxy = front_proxy(flags, mistakes);
    let token_file = flags.token_auth_file.as_ref().and_then(|path| {
        let file = path.clone();
        let read = FromFiles::new("--token-auth-file", vec![path.clone()], move || Ok(Tokens::read(&file)?));
        mistakes.take("token-auth-file", read.map_err(|error| format!("{error:#}")))
    });
    let basic = basic(flags, mistakes);
    let external = oidc::external(flags, mistakes);
    let issuing = Arc::new(service_accounts::issuing(flags, mistakes)?);
    let webhook = webhook(flags, &issuing.audiences, mistakes);
    Some(Settings {
        plain: PlainPort::master(),
        audiences: issuing.audiences.clone(),
        front_proxy,
        certificates: authority.map(Certificates::new),
        basic,
        token_file: token_file.map(|tokens| TokenFile(Arc::new(tokens))),
        bootstrap_tokens: flags.enable_bootstrap_token_auth.then_some(NewNodes),
        issuing,
        oidc: external.oidc,
        webhook,
        anonymous: anonymous(flags, external.anonymous),
    })
}

/// What others are told of whom this server believes.
pub(super) fn trust(flags: &Flags) -> Trust {
    Trust {
        client_ca: flags.client_ca_file.clone(),
        proxy_ca: flags.requestheader_client_ca_file.clone(),
        proxies: vec![
            (ALLOWED_NAMES, flags.requestheader_allowed_names.clone()),
            ("requestheader-username-headers", flags.requestheader_username_headers.clone()),
            ("requestheader-uid-headers", flags.requestheader_uid_headers.clone()),
            ("requestheader-group-headers", flags.requestheader_group_headers.clone()),
            ("requestheader-extra-headers-prefix", flags.requestheader_extra_headers_prefix.clone()),
        ],
    }
}

fn authority(flag: &str, path: &Path, mistakes: &mut Mistakes) -> Option<Arc<FromFiles<ClientAuthority>>> {
    let read = ClientAuthority::from_file(path).map_err(|error| format!("{error:#}"));
    mistakes.take(flag, read).map(Arc::new)
}

fn front_proxy(flags: &Flags, mistakes: &mut Mistakes) -> Option<FrontProxy> {
    let path = flags.requestheader_client_ca_file.as_deref()?;
    let authority = authority("requestheader-client-ca-file", path, mistakes);
    let lower = |names: &[String]| names.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let headers = Headers {
        user: lower(&flags.requestheader_username_headers),
        uid: lower(&flags.requestheader_uid_headers),
        groups: lower(&flags.requestheader_group_headers),
        extra: lower(&flags.requestheader_extra_headers_prefix),
    };
    if flags.requestheader_allowed_names.is_empty() && flags.client_ca_file.as_deref() == Some(path) {
        let danger = "the same authority as --client-ca-file's, and no --requestheader-allowed-names: every client could name anybody";
        mistakes.0.push(format!("--requestheader-client-ca-file: {danger}"));
    }
    Some(FrontProxy { authority: authority?, allowed: flags.requestheader_allowed_names.clone(), headers })
}

fn webhook(flags: &Flags, audiences: &[String], mistakes: &mut Mistakes) -> Option<TokenWebhook> {
    let path = flags.authentication_token_webhook_config_file.clone()?;
    let version = review_version(&flags.authentication_token_webhook_version);
    let settings = webhook::Settings {
        connection: Connection::Kubeconfig(path),
        version: mistakes.take("authentication-token-webhook-version", version)?,
        ttl: flags.authentication_token_webhook_cache_ttl,
        audiences: audiences.to_vec(),
    };
    let made = TokenWebhook::new(settings).map_err(|error| format!("{error:#}"));
    mistakes.take("authentication-token-webhook-config-file", made)
}

/// The version in which a webhook is sent reviews.
pub(super) fn review_version(name: &str) -> Result<ReviewVersion, String> {
    ReviewVersion::named(name).ok_or_else(|| format!("{name:?} is neither v1 nor v1beta1"))
}

fn basic(flags: &Flags, mistakes: &mut Mistakes) -> Option<Basic> {
    let path = flags.basic_auth_file.as_ref()?;
    tracing::warn!(
        "--basic-auth-file: passwords are sent with every request, and never change; use certificates or tokens"
    );
    let file = path.clone();
    let read =
        FromFiles::new("--basic-auth-file", vec![path.clone()], move || passwords(&std::fs::read_to_string(&file)?));
    mistakes.take("basic-auth-file", read.map_err(|error| format!("{error:#}"))).map(|known| Basic(Arc::new(known)))
}
