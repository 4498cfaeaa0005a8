//! Subnets in etcd, laid out as upstream does: `PREFIX/config`, and `PREFIX/subnets/10.5.1.0-24` on leases of a day.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use component::Daemon;
use component::backoff::Backoff;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, EventType, GetOptions, Identity, PutOptions, TlsOptions,
    Txn, TxnOp, WatchOptions,
};
use ipnet::Ipv4Net;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::allocate::{Choice, choose};
use super::{Everybody, Subnets};
use crate::config::NetworkConfig;
use crate::flags::Flags;
use crate::lease::{Attributes, Lease, from_key, key};

/// How long a subnet is a node's without its being heard of, in seconds; upstream's value.
const DAY: i64 = 24 * 60 * 60;
/// How long a question to etcd may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How many times a subnet is chosen anew because somebody else was faster.
const ATTEMPTS: usize = 32;

/// A subnet manager in etcd.
pub struct EtcdSubnets {
    client: Client,
    prefix: String,
    renew_margin: Duration,
}

/// What etcd has under the prefix, as of a revision.
struct Known {
    leases: BTreeMap<Ipv4Net, Attributes>,
    revision: i64,
}

impl EtcdSubnets {
    /// A manager by what the flags say. It connects when it is first used: etcd need not be there yet.
    ///
    /// # Errors
    /// When the flags cannot be right: no URLs, files that cannot be read.
    pub async fn new(flags: &Flags) -> anyhow::Result<Self> {
        let mut options = ConnectOptions::new()
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(Duration::from_secs(3));
        if flags.etcd_endpoints.iter().any(|url| url.starts_with("https://")) {
            options = options.with_tls(tls(flags)?);
        }
        if !flags.etcd_username.is_empty() {
            options = options.with_user(&flags.etcd_username, &flags.etcd_password);
        }
        let client = Client::connect(&flags.etcd_endpoints, Some(options)).await.context("connecting to etcd")?;
        let prefix = format!("/{}", flags.etcd_prefix.trim_matches('/'));
        let margin = Duration::from_secs(u64::from(flags.subnet_lease_renew_margin) * 60);
        Ok(Self { client, prefix, renew_margin: margin })
    }

    fn subnet_key(&self, subnet: Ipv4Net) -> String {
        format!("{}/subnets/{}", self.prefix, key(subnet))
    }

    async fn read_config(&self) -> anyhow::Result<NetworkConfig> {
        let path = format!("{}/config", self.prefix);
        let answer = bounded(self.client.kv_client().get(path.as_str(), None)).await?;
        let Some(pair) = answer.kvs().first() else { bail!("there is no {path} in etcd") };
        Ok(NetworkConfig::parse(&String::from_utf8_lossy(pair.value()))?)
    }

    async fn read(&self) -> anyhow::Result<Known> {
        let prefix = format!("{}/subnets/", self.prefix);
        let answer =
            bounded(self.client.kv_client().get(prefix.as_str(), Some(GetOptions::new().with_prefix()))).await?;
        let revision = answer.header().context("an answer without a revision")?.revision();
        let leases = answer.kvs().iter().filter_map(|pair| read_pair(&prefix, pair.key(), pair.value())).collect();
        Ok(Known { leases, revision })
    }

    /// Puts this node's lease; `false` when somebody else has just claimed the subnet.
    async fn put(&self, choice: Choice, own: &Attributes) -> anyhow::Result<bool> {
        let mut leases = self.client.lease_client();
        let granted = bounded(leases.grant(DAY, None)).await?.id();
        let (Choice::Renew(subnet) | Choice::Claim(subnet)) = choice;
        let path = self.subnet_key(subnet);
        let mut kv = self.client.kv_client();
        let conditions = match choice {
            Choice::Claim(_) => vec![Compare::version(path.as_str(), CompareOp::Equal, 0)],
            Choice::Renew(_) => {
                // A key without an end is a reservation, and stays one.
                let answer = bounded(kv.get(path.as_str(), None)).await?;
                let Some(pair) = answer.kvs().first() else { return Ok(false) };
                let same = Compare::mod_revision(path.as_str(), CompareOp::Equal, pair.mod_revision());
                if pair.lease() == 0 {
                    let put = TxnOp::put(path.as_str(), serde_json::to_vec(own)?, None);
                    bounded(leases.revoke(granted)).await?;
                    return Ok(bounded(kv.txn(Txn::new().when([same]).and_then([put]))).await?.succeeded());
                }
                vec![same]
            }
        };
        let put = TxnOp::put(path.as_str(), serde_json::to_vec(own)?, Some(PutOptions::new().with_lease(granted)));
        let succeeded = bounded(kv.txn(Txn::new().when(conditions).and_then([put]))).await?.succeeded();
        if !succeeded {
            bounded(leases.revoke(granted)).await?;
        }
        Ok(succeeded)
    }

    /// Keeps the lease for as long as it can be kept.
    async fn keep(&self, own: &Lease) -> anyhow::Result<()> {
        let path = self.subnet_key(own.subnet);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            let left = match self.time_left(&path, own).await {
                Ok(Some(left)) => left,
                Ok(None) => return Ok(()),
                Err(error) if error.is::<Lost>() => return Err(error),
                Err(error) => {
                    tracing::warn!("renew the lease of {}: {error:#}", own.subnet);
                    sleep(backoff.next_delay()).await;
                    continue;
                }
            };
            backoff.reset();
            let wait = left.saturating_sub(self.renew_margin);
            if wait > Duration::from_secs(1) {
                sleep(wait).await;
                continue;
            }
            if let Err(error) = self.renew(&path).await {
                tracing::warn!("renew the lease of {}: {error:#}", own.subnet);
                sleep(backoff.next_delay()).await;
            } else {
                // A margin that is longer than the lease must not make a busy loop.
                sleep(backoff.next_delay()).await;
                backoff.reset();
            }
        }
    }

    /// For how long this node's lease is good; `None` when it is a reservation, without an end.
    async fn time_left(&self, path: &str, own: &Lease) -> anyhow::Result<Option<Duration>> {
        let answer = bounded(self.client.kv_client().get(path, None)).await?;
        let pair = answer.kvs().first().ok_or(Lost(own.subnet))?;
        let theirs: Attributes = serde_json::from_slice(pair.value()).map_err(|_| Lost(own.subnet))?;
        if theirs.public_ip != own.attributes.public_ip {
            return Err(Lost(own.subnet).into());
        }
        if pair.lease() == 0 {
            return Ok(None);
        }
        let answer = bounded(self.client.lease_client().time_to_live(pair.lease(), None)).await?;
        match u64::try_from(answer.ttl()) {
            Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(Lost(own.subnet).into()),
        }
    }

    async fn renew(&self, path: &str) -> anyhow::Result<()> {
        let answer = bounded(self.client.kv_client().get(path, None)).await?;
        let id = answer.kvs().first().map_or(0, etcd_client::KeyValue::lease);
        let (mut keeper, mut answers) = bounded(self.client.lease_client().keep_alive(id)).await?;
        keeper.keep_alive().await?;
        bounded(answers.message()).await?;
        Ok(())
    }

    /// Tells of everybody's leases, from a complete list on; returns when the watch breaks.
    async fn follow(
        &self,
        config: &NetworkConfig,
        tell: &watch::Sender<Option<Arc<Vec<Lease>>>>,
    ) -> anyhow::Result<()> {
        if self.read_config().await? != *config {
            return Err(Changed.into());
        }
        let mut known = self.read().await?;
        publish(&known, tell);
        let options = WatchOptions::new().with_prefix().with_start_revision(known.revision + 1);
        let mut stream = bounded(self.client.watch_client().watch(format!("{}/", self.prefix), Some(options))).await?;
        let prefix = format!("{}/subnets/", self.prefix);
        let config_key = format!("{}/config", self.prefix);
        while let Some(answer) = stream.message().await? {
            if answer.canceled() {
                bail!("etcd ended the watch: {}", answer.cancel_reason());
            }
            for event in answer.events() {
                let Some(pair) = event.kv() else { continue };
                if pair.key() == config_key.as_bytes() {
                    if self.read_config().await? != *config {
                        return Err(Changed.into());
                    }
                    continue;
                }
                match event.event_type() {
                    EventType::Put => known.leases.extend(read_pair(&prefix, pair.key(), pair.value())),
                    EventType::Delete => {
                        let gone = pair.key_str().ok().and_then(|key| from_key(key.strip_prefix(&prefix)?));
                        gone.map(|subnet| known.leases.remove(&subnet));
                    }
                }
            }
            publish(&known, tell);
        }
        bail!("etcd ended the watch")
    }
}

/// This node's lease is gone, or somebody else's.
#[derive(Debug, thiserror::Error)]
#[error("the lease of {0} is not this node's any more")]
struct Lost(Ipv4Net);

/// The network has another configuration.
#[derive(Debug, thiserror::Error)]
#[error("the network's configuration has changed")]
struct Changed;

#[async_trait]
impl Subnets for EtcdSubnets {
    async fn config(&self) -> anyhow::Result<NetworkConfig> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        loop {
            match self.read_config().await {
                Ok(config) => return Ok(config),
                Err(error) => tracing::error!("read the network's configuration: {error:#}"),
            }
            sleep(backoff.next_delay()).await;
        }
    }

    async fn backend_data(&self, own: &Attributes) -> anyhow::Result<Option<Value>> {
        let known = self.read().await?;
        let mine = known
            .leases
            .into_values()
            .find(|theirs| theirs.public_ip == own.public_ip && theirs.backend_type == own.backend_type);
        Ok(mine.map(|attributes| attributes.backend_data))
    }

    async fn acquire(
        &self,
        config: &NetworkConfig,
        own: &Attributes,
        before: Option<Ipv4Net>,
    ) -> anyhow::Result<Lease> {
        for _ in 0..ATTEMPTS {
            let choice = choose(config, &self.read().await?.leases, own, before)?;
            let (Choice::Renew(subnet) | Choice::Claim(subnet)) = choice;
            if self.put(choice, own).await? {
                return Ok(Lease { subnet, attributes: own.clone() });
            }
        }
        bail!("others were faster {ATTEMPTS} times")
    }

    fn start(&self, config: NetworkConfig, own: Lease, daemon: &Daemon) -> Everybody {
        let (tell, everybody) = watch::channel(None);
        let keeper = self.clone();
        let stop = daemon.shutdown.clone();
        daemon.spawn_until_shutdown(async move {
            if let Err(error) = keeper.keep(&own).await {
                tracing::error!("{error:#}: ending, to begin anew");
                stop.cancel();
            }
        });
        let follower = self.clone();
        let stop = daemon.shutdown.clone();
        daemon.spawn_until_shutdown(async move {
            let mut backoff = Backoff::reconnect();
            loop {
                match follower.follow(&config, &tell).await {
                    Err(error) if error.is::<Changed>() => {
                        tracing::error!("{error:#}: ending, to begin anew");
                        return stop.cancel();
                    }
                    Err(error) => tracing::warn!("watch of etcd interrupted: {error:#}"),
                    Ok(()) => backoff.reset(),
                }
                sleep(backoff.next_delay()).await;
            }
        });
        everybody
    }
}

impl Clone for EtcdSubnets {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), prefix: self.prefix.clone(), renew_margin: self.renew_margin }
    }
}

fn read_pair(prefix: &str, key: &[u8], value: &[u8]) -> Option<(Ipv4Net, Attributes)> {
    let subnet = std::str::from_utf8(key).ok().and_then(|key| from_key(key.strip_prefix(prefix)?));
    let attributes = serde_json::from_slice(value);
    match (subnet, attributes) {
        (Some(subnet), Ok(attributes)) => Some((subnet, attributes)),
        (_, Err(error)) => {
            tracing::warn!(key = %String::from_utf8_lossy(key), "a lease that cannot be read is passed over: {error}");
            None
        }
        (None, _) => {
            tracing::warn!(key = %String::from_utf8_lossy(key), "a key that is no subnet is passed over");
            None
        }
    }
}

fn publish(known: &Known, tell: &watch::Sender<Option<Arc<Vec<Lease>>>>) {
    let leases = known.leases.iter();
    let leases = leases.map(|(subnet, attributes)| Lease { subnet: *subnet, attributes: attributes.clone() }).collect();
    tell.send_replace(Some(Arc::new(leases)));
}

async fn bounded<T>(question: impl Future<Output = Result<T, etcd_client::Error>>) -> anyhow::Result<T> {
    Ok(timeout(TIME_LIMIT, question).await.with_context(|| format!("etcd did not answer within {TIME_LIMIT:?}"))??)
}

fn tls(flags: &Flags) -> anyhow::Result<TlsOptions> {
    let read = |path: &str| std::fs::read(path).with_context(|| format!("reading {path}"));
    if flags.etcd_cafile.is_empty() {
        bail!("etcd by https needs --etcd-cafile");
    }
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&flags.etcd_cafile)?));
    if !flags.etcd_certfile.is_empty() {
        tls = tls.identity(Identity::from_pem(read(&flags.etcd_certfile)?, read(&flags.etcd_keyfile)?));
    }
    Ok(tls)
}
