//! Keeps a certificate current: asks for one when there is none, and for another before it runs out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::jiff::Timestamp;
use component::Daemon;
use component::backoff::Backoff;
use component::client;
use component::flags::ClientFlags;
use kube::Client;

use super::files::{CertificateFiles, Held};
use super::request::{self, Template};

/// Upstream's first and longest wait after a failure.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_AT_MOST: Duration = Duration::from_secs(32);
/// How long to sleep at most: others may have put another certificate there, and clocks are set.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Which credentials a certificate is asked for with.
pub struct Credentials {
    /// The kubelet's own.
    pub own: Client,
    /// `--bootstrap-kubeconfig`: those to begin with.
    pub bootstrap: Option<PathBuf>,
}

/// When a certificate that is good is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// After most of its life.
    BeforeItEnds,
    /// When it has run out.
    Never,
}

/// Keeps one certificate current.
pub struct Keeper {
    /// Where it is kept.
    pub files: Arc<CertificateFiles>,
    /// What is asked for.
    pub template: Template,
    /// When it is replaced.
    pub renewal: Renewal,
    /// As whom it is asked for.
    pub credentials: Credentials,
    /// Watches end with it.
    pub daemon: Daemon,
}

impl Keeper {
    /// Starts keeping, until shutdown.
    pub fn spawn(self) {
        let daemon = self.daemon.clone();
        daemon.spawn_until_shutdown(self.run());
    }

    async fn run(self) {
        let mut backoff = Backoff::new(RETRY, RETRY_AT_MOST);
        let mut spread = rand::random::<f64>();
        loop {
            let held = self.files.read().ok().filter(|held| fits(held, &self.template));
            let due = held.as_ref().map_or(0, |held| due(held, self.renewal, spread));
            let left = u64::try_from(due - Timestamp::now().as_second()).unwrap_or(0);
            if left > 0 {
                backoff.reset();
                tokio::time::sleep(Duration::from_secs(left).min(LOOK_AGAIN)).await;
                continue;
            }
            match self.renew(held.as_ref()).await {
                Ok(()) => spread = rand::random::<f64>(),
                Err(error) => tracing::warn!(signer = self.template.signer, "no new certificate: {error:#}"),
            }
            // Nor is a signer whose certificates have run out when they come asked without end.
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn renew(&self, held: Option<&Held>) -> anyhow::Result<()> {
        let client = self.client(held).await?;
        let issued = request::issue(&client, &self.template, &self.daemon).await?;
        self.files.keep(&issued.chain, &issued.key, Timestamp::now())?;
        tracing::info!(file = %self.files.current().display(), "a new certificate is in use");
        Ok(())
    }

    /// Who is not known yet, or no more, begins again.
    async fn client(&self, held: Option<&Held>) -> anyhow::Result<Client> {
        let is_known = self.template.is_for_server() || held.is_some_and(Held::is_good);
        match &self.credentials.bootstrap {
            Some(path) if !is_known && path.exists() => {
                Ok(client::connect(&ClientFlags { master: None, kubeconfig: Some(path.clone()) }).await?)
            }
            _ => Ok(self.credentials.own.clone()),
        }
    }
}

impl Template {
    /// Servers ask as the client that they are.
    fn is_for_server(&self) -> bool {
        self.usages.contains(&"server auth")
    }
}

/// Whether a certificate is what would be asked for.
fn fits(held: &Held, template: &Template) -> bool {
    let has_names = template.hosts.names.iter().all(|name| held.hosts.names.contains(name));
    let has_addresses = template.hosts.addresses.iter().all(|address| held.hosts.addresses.contains(address));
    held.common_name == template.user && has_names && has_addresses
}

/// When a certificate is due to be replaced, in seconds since 1970: after 70 to 91 % of its life, as upstream, so that
/// kubelets that were started together do not ask together.
fn due(held: &Held, renewal: Renewal, spread: f64) -> i64 {
    if renewal == Renewal::Never {
        return held.not_after;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a share of a life")]
    let share = ((held.not_after.saturating_sub(held.not_before)) as f64 * 0.7 * (1.0 + 0.3 * spread)) as i64;
    held.not_before.saturating_add(share)
}

#[cfg(test)]
mod tests {
    use super::super::Hosts;
    use super::*;

    #[test]
    fn certificates_are_replaced_after_most_of_their_life() {
        let held = Held { not_before: 1000, not_after: 2000, ..Held::default() };
        let due = |renewal, spread| due(&held, renewal, spread);
        assert_eq!((due(Renewal::BeforeItEnds, 0.0), due(Renewal::BeforeItEnds, 1.0)), (1700, 1910));
        assert_eq!(due(Renewal::Never, 0.5), 2000);
    }

    #[test]
    fn a_certificate_fits_when_it_has_the_name_and_all_hosts() {
        let hosts =
            |names: &[&str]| Hosts { names: names.iter().map(ToString::to_string).collect(), addresses: Vec::new() };
        let held = Held { common_name: "system:node:n".to_owned(), hosts: hosts(&["a", "b"]), ..Held::default() };
        for (user, names, expected) in
            [("system:node:n", &["a"][..], true), ("system:node:m", &["a"], false), ("system:node:n", &["c"], false)]
        {
            assert_eq!(fits(&held, &Template::serving(user, &hosts(names))), expected, "{user} {names:?}");
        }
    }
}
