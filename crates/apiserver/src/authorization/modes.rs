//! The modes of `--authorization-mode`.

use std::{future::ready, sync::Arc};

use component::auth::{AlwaysAllow, Attributes, Authorizer, Rules, User, Verdict};
use futures::future::BoxFuture;

use super::{Authorization, node::Nodes, rbac::Rbac};

/// A mode: its name, and what makes its authorizer.
pub type Mode = (&'static str, fn() -> Authorization);

/// What `--authorization-mode` may list.
pub const MODES: &[Mode] = &[
    (AlwaysAllow::NAME, || AlwaysAllow.into()),
    (AlwaysDeny::NAME, || AlwaysDeny.into()),
    (Nodes::NAME, || {
        let nodes = Arc::new(Nodes::default());
        Authorization { mirrors: nodes.mirrors(), authorizer: nodes }
    }),
    (Rbac::NAME, || {
        let rbac = Arc::new(Rbac::default());
        Authorization { mirrors: rbac.mirrors(), authorizer: rbac }
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
