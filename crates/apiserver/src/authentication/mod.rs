//! Who clients are: what recognises them, besides what all daemons share.

mod audience;
mod basic;
mod bootstrap_token;
mod constant_time;
pub mod front_proxy;
pub mod oidc;
mod plain_port;
mod remembered;
pub mod service_account;
mod token_file;
pub mod webhook;

use std::sync::Arc;

use component::auth::{Anonymous, Authenticator, Authenticators, Bearer, Certificates, TokenAuthenticator, User};

pub use self::{
    audience::{ForThisServer, OfThisServer},
    basic::{Basic, Passwords, parse as passwords},
    bootstrap_token::BootstrapTokens,
    front_proxy::FrontProxy,
    oidc::Oidc,
    plain_port::PlainPort,
    remembered::Remembered,
    service_account::Issuing,
    token_file::{TokenFile, TokenFileError, Tokens},
    webhook::TokenWebhook,
};
use crate::registry::admission::Handle;

/// What the authenticators are made of.
pub struct Settings {
    /// Who clients of the plain port are.
    pub plain: User,
    /// Who this server is to tokens.
    pub audiences: Vec<String>,
    /// A proxy that says for whom it asks, if there is one.
    pub front_proxy: Option<FrontProxy>,
    /// Client certificates, if they are taken.
    pub certificates: Option<Certificates>,
    /// Passwords, if they are taken.
    pub basic: Option<Basic>,
    /// Static tokens, if there are any.
    pub token_file: Option<TokenFile>,
    /// Whether nodes may introduce themselves.
    pub bootstrap_tokens: Option<NewNodes>,
    /// Tokens of service accounts.
    pub issuing: Arc<Issuing>,
    /// Tokens of others, if they are taken.
    pub oidc: Option<Oidc>,
    /// Another server that knows tokens, if there is one.
    pub webhook: Option<TokenWebhook>,
    /// What becomes of requests that present nothing.
    pub anonymous: Anonymous,
}

/// Nodes may introduce themselves by the tokens of secrets.
#[derive(Clone, Copy, Debug)]
pub struct NewNodes;

impl Settings {
    /// The authenticators in upstream's order.
    #[must_use]
    pub fn build(self, registry: &Handle) -> Arc<dyn Authenticator> {
        let mut members: Vec<Arc<dyn Authenticator>> = vec![Arc::new(PlainPort::new(self.plain))];
        if let Some(front_proxy) = self.front_proxy {
            members.push(Arc::new(front_proxy));
        }
        if let Some(certificates) = self.certificates {
            members.push(Arc::new(certificates));
        }
        if let Some(basic) = self.basic {
            members.push(Arc::new(basic));
        }
        let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
        if let Some(file) = self.token_file {
            tokens.push(Arc::new(OfThisServer::new(self.audiences.clone(), file)));
        }
        tokens.push(Arc::new(service_account::Legacy::new(self.issuing.clone(), registry.clone())));
        tokens.push(Arc::new(service_account::Bound::new(self.issuing, registry.clone())));
        if let Some(NewNodes) = self.bootstrap_tokens {
            let members = BootstrapTokens { registry: registry.clone() };
            tokens.push(Arc::new(OfThisServer::new(self.audiences.clone(), members)));
        }
        if let Some(oidc) = self.oidc {
            tokens.push(Arc::new(OfThisServer::new(self.audiences.clone(), oidc)));
        }
        if let Some(webhook) = self.webhook {
            tokens.push(Arc::new(webhook));
        }
        let tokens = tokens.into_iter().map(|member| Arc::new(Remembered::new(member)) as Arc<dyn TokenAuthenticator>);
        members.push(Arc::new(Bearer::new(tokens.collect())));
        let all = Authenticators::new(members, self.anonymous);
        Arc::new(ForThisServer::new(self.audiences, Arc::new(all)))
    }
}
