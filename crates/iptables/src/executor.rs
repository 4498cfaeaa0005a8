//! The seam to the kernel.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::names::{ChainName, Family, Table};
use crate::ruleset::{Rejection, Ruleset};
use crate::script::{ParseError, Script};

/// Reads and changes packet rules.
///
/// Implementations guarantee that a script changes each table as a whole or not at all.
pub trait Iptables: Send + Sync + 'static {
    /// Reads every table of the family.
    ///
    /// # Errors
    /// When the rules cannot be read; never an empty answer instead.
    fn save(&self, family: Family) -> impl Future<Output = Result<Ruleset, Error>> + Send;

    /// Whether the chain is there.
    ///
    /// # Errors
    /// When that cannot be told.
    fn has_chain(
        &self,
        family: Family,
        table: Table,
        chain: &ChainName,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        async move { Ok(self.save(family).await?.chain(table, chain).is_some()) }
    }

    /// Applies the script on top of what is there (`--noflush`).
    ///
    /// # Errors
    /// When it was not applied completely; tables committed before the failing one are changed.
    fn restore(&self, family: Family, script: &Script) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Rules could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started or talked to.
    #[error("run {program}")]
    Run {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program reported a failure.
    #[error("{program} failed: {message}")]
    Failed {
        /// Its name.
        program: String,
        /// What it printed, and the line that it complained about.
        message: String,
    },
    /// The program did not finish.
    #[error("{program} did not finish within {limit:?}")]
    TimedOut {
        /// Its name.
        program: String,
        /// For how long it was allowed to run.
        limit: Duration,
    },
    /// What `iptables-save` printed is not understood.
    #[error("read the output of {program}")]
    Unreadable {
        /// Its name.
        program: String,
        /// Where.
        #[source]
        source: ParseError,
    },
    /// A line of the script is not acceptable.
    #[error("apply the rules")]
    Rejected(#[from] Rejection),
}
