//! What can be done with a store that no server has open.

use std::io::Write;

use anyhow::Context;
use redb::{Database, ReadableDatabase};

use super::{EmbeddedOptions, open_database, snapshot};

/// Writes everything that is stored.
///
/// # Errors
/// When the store is open elsewhere or cannot be read, or `to` not be written.
pub fn write_snapshot(options: &EmbeddedOptions, to: impl Write) -> anyhow::Result<()> {
    snapshot::write(&open(options)?.begin_read()?, to)
}

/// Makes the file as small as it can be.
///
/// # Errors
/// When the store is open elsewhere, or the new file cannot be written.
pub fn defragment(options: &EmbeddedOptions) -> anyhow::Result<()> {
    let database = open(options)?;
    snapshot::remake(&database.begin_read()?, options)
}

fn open(options: &EmbeddedOptions) -> anyhow::Result<Database> {
    open_database(options).with_context(|| format!("opening {}", options.path.display()))
}
