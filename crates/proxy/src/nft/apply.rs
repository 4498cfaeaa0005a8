//! Brings one address family's services into force, with nftables.

use std::time::{Duration, Instant};

use iptables::Family;
use netfilter::{Nft, NftError, Transaction};

use super::state::{Leftovers, State};
use super::{skeleton, table};
use crate::apply::Applied;
use crate::service::ServiceMap;
use crate::settings::Settings;
use crate::table::{Change, ServiceTable};

/// How often the whole table is written although nothing hints that it is not as it should be; as upstream.
const REWRITE_PERIOD: Duration = Duration::from_secs(3600);

/// The table of one address family. A change costs one transaction of the elements that differ.
#[derive(Debug)]
pub struct FamilyTable {
    family: Family,
    /// What is in the table; `None` when that is not known.
    state: Option<State>,
    /// When the whole table was last written.
    written: Instant,
}

impl FamilyTable {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self { family, state: None, written: Instant::now() }
    }

    /// Forgets what is believed to be in the table: others may have changed it.
    pub fn distrust(&mut self) {
        self.state = None;
    }

    /// Whether what is in the table is known.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.state.is_some()
    }

    /// Whether the table is gone, or has not been looked at for long.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn is_doubtful(&self) -> Result<bool, NftError> {
        if self.written.elapsed() > REWRITE_PERIOD {
            return Ok(true);
        }
        let there = Nft.chains(table(self.family)).await?;
        let wanted = skeleton::chains(&Settings::default(), self.family);
        Ok(!wanted.iter().all(|chain| there.contains(&chain.name)))
    }

    /// Brings all services into force: what has changed since the last time, or everything if that is not known.
    ///
    /// # Errors
    /// When the rules cannot be written. Nothing has changed then, and the next call writes everything.
    pub async fn apply(
        &mut self,
        services: &ServiceTable,
        changes: &[Change],
        settings: &Settings,
    ) -> Result<Applied, NftError> {
        let (state, written, left_over) = match self.state.take() {
            Some(mut state) if state.settings() == settings => {
                let (transaction, left) = state.change(changes);
                if !transaction.is_empty() {
                    Nft.run(&transaction.to_string()).await?;
                }
                let left_over = !self.sweep(&left).await;
                (state, transaction.elements(), left_over)
            }
            _ => self.rewrite(services.ports(), settings).await?,
        };
        self.state = Some(state);
        Ok(Applied { nat_rules: services.ports().len(), filter_rules: 0, written, left_over })
    }

    /// Writes the whole table into the one that is there, if that can be: clients that are remembered stay so.
    async fn rewrite(&mut self, services: &ServiceMap, settings: &Settings) -> Result<(State, usize, bool), NftError> {
        let mut left_over = false;
        let there = Nft.chains(table(self.family)).await?;
        let (state, transaction, left) = State::whole(self.family, settings, services, &there);
        if let Err(error) = Nft.run(&transaction.to_string()).await {
            tracing::info!(family = %self.family, "the table is made anew, since it cannot be mended: {error}");
            Nft.run(&format!("{}{transaction}", removal(self.family))).await?;
        } else {
            left_over = !self.sweep(&left).await;
        }
        self.written = Instant::now();
        Ok((state, transaction.elements(), left_over))
    }

    /// Whether all was deleted. What cannot be deleted is empty and nothing leads there; it is tried again when the
    /// table is rewritten.
    async fn sweep(&self, left: &Leftovers) -> bool {
        let transaction = left.deletion(self.family);
        if transaction.is_empty() {
            return true;
        }
        let result = Nft.run(&transaction.to_string()).await;
        if let Err(error) = &result {
            tracing::debug!(family = %self.family, "chains that are no longer needed stay: {error}");
        }
        result.is_ok()
    }

    /// Removes the table.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn clean_up(&mut self) -> Result<(), NftError> {
        self.distrust();
        Nft.run(&removal(self.family).to_string()).await
    }
}

/// Removes the table, whether or not it is there.
fn removal(family: Family) -> Transaction {
    let mut transaction = Transaction::new(table(family));
    transaction.add_table();
    transaction.delete_table();
    transaction
}

/// Whether program and kernel can do all that is needed; nothing is changed.
///
/// # Errors
/// When they cannot, with what is missing.
pub async fn probe(families: &[Family]) -> Result<(), NftError> {
    for family in families {
        let (_, transaction, _) =
            State::whole(*family, &Settings::default(), &ServiceMap::new(), &std::collections::BTreeSet::new());
        let mut script = format!("{}{transaction}", removal(*family));
        script.push_str(&super::face::probe(*family));
        Nft.check(&script).await?;
    }
    Ok(())
}
