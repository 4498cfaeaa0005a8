//! `ctl auth`: what somebody may do, who they are, and roles as files have them.

mod can_i;
mod reconcile;
mod whoami;

use clap::{Args, Subcommand};

use crate::{api::Api, connection::GlobalFlags, error::Result};

/// What to ask.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Check whether an action is allowed
    CanI(can_i::Flags),
    /// Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects
    Reconcile(reconcile::Flags),
    /// Experimental: Check self subject attributes
    Whoami(whoami::Flags),
}

/// Runs the command.
///
/// # Errors
/// When the server refuses, or the answer is no.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    match &flags.verb {
        Verb::CanI(flags) => can_i::run(api, flags).await,
        Verb::Reconcile(flags) => reconcile::run(api, global, flags).await,
        Verb::Whoami(flags) => whoami::run(api, flags).await,
    }
}
