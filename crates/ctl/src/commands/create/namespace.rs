//! `create namespace` and `create serviceaccount`: a name, and nothing else.

use clap::Args;

use super::{Generated, named};
use crate::{commands::writing::Creating, error::Result, program::one_name};

/// `create namespace`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    creating: Creating,
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        Ok((named("v1", "Namespace", one_name(&self.names, "create namespace")?), &self.creating))
    }
}

/// `create serviceaccount`.
#[derive(Args, Clone, Debug)]
pub struct ServiceAccount {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    creating: Creating,
}

impl ServiceAccount {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        Ok((named("v1", "ServiceAccount", one_name(&self.names, "create serviceaccount")?), &self.creating))
    }
}
