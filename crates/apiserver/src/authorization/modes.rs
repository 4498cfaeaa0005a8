//! The modes of `--authorization-mode`.

use std::{future::ready, path::Path, sync::Arc};

use anyhow::Context;
use component::auth::{AlwaysAllow, Attributes, Authorizer, Rules, User, Verdict};
use futures::future::BoxFuture;

use super::{
    Authorization,
    abac::Abac,
    node::Nodes,
    rbac::Rbac,
    webhook::{self, Webhook},
};

/// What modes are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// `--authorization-policy-file`.
    pub policy_file: Option<&'a Path>,
    /// `--authorization-webhook-config-file` and what goes with it.
    pub webhook: Option<&'a webhook::Settings>,
}

/// A mode: its name, and what makes its authorizer.
pub type Mode = (&'static str, fn(Inputs<'_>) -> anyhow::Result<Authorization>);

/// What `--authorization-mode` may list.
pub const MODES: &[Mode] = &[
    (AlwaysAllow::NAME, |_| Ok(AlwaysAllow.into())),
    (AlwaysDeny::NAME, |_| Ok(AlwaysDeny.into())),
    (Abac::NAME, |inputs| {
        let path = inputs.policy_file.context("authorization-mode ABAC's authorization policy file not passed")?;
        Ok(Abac::read(path)?.into())
    }),
    (Webhook::NAME, |inputs| {
        let settings = inputs.webhook.context("authorization-mode Webhook's authorization config file not passed")?;
        Ok(Webhook::new(settings.clone())?.into())
    }),
    (Nodes::NAME, |_| {
        let nodes = Arc::new(Nodes::default());
        Ok(Authorization { mirrors: nodes.mirrors(), authorizer: nodes })
    }),
    (Rbac::NAME, |_| {
        let rbac = Arc::new(Rbac::default());
        Ok(Authorization { mirrors: rbac.mirrors(), authorizer: rbac })
    }),
];

/// Allows nothing; with other modes, nothing more than they do.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysDeny;

impl AlwaysDeny {
    /// The mode's name.
    pub const NAME: &str = "AlwaysDeny";
}

impl Authorizer for AlwaysDeny {
    fn authorize<'a>(&'a self, _: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(Verdict::no_opinion("Everything is forbidden.")))
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(ready(Rules::default()))
    }
}
