//! Subnets in etcd, laid out as upstream does: `PREFIX/config`, and `PREFIX/subnets/10.5.1.0-24` on leases of a day.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use component::Daemon;
use component::backoff::Backoff;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, EventType, GetOptions, Identity, KeyValue, PutOptions,
    TlsOptions, Txn, TxnOp, WatchOptions,
};
use ipnet::Ipv4Net;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::allocate::{Choice, Wishes, choose};
use super::{Everybody, Subnets, Tell, publish};
use crate::config::{InvalidConfig, NetworkConfig};
use crate::flags::Flags;
use crate::lease::{Attributes, Lease, MAX_FAULTS, Told, from_key, key, quote};
use crate::peers::MAX_PEERS;

/// How long a subnet is a node's without its being heard of; upstream's value.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a question to etcd may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How many times a subnet is chosen anew because somebody else was faster.
const ATTEMPTS: usize = 32;
/// Leases are read in pages, because anybody's can be as long as etcd takes, which is 1.5 MB when nobody has told it otherwise.
const PAGE: i64 = 32;
/// A watch that went on for so long was a good one: the next begins at once.
const GOOD_WATCH: Duration = Duration::from_secs(10);
/// The longest page that is read.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// A subnet manager in etcd.
#[derive(Clone)]
pub struct EtcdSubnets {
    client: Client,
    prefix: String,
    renew_margin: Duration,
    /// Rung when this node's lease is seen to be gone.
    lost: Arc<Notify>,
}

/// What etcd has under the prefix, as of a revision.
#[derive(Default)]
struct Known {
    /// Leases, with the revision in which each was made.
    leases: BTreeMap<Ipv4Net, (i64, Attributes)>,
    /// What is wrong with the rest, by key.
    faults: BTreeMap<String, String>,
    revision: i64,
}

impl Known {
    /// Takes note of what is under a key, as long as there is room.
    fn put(&mut self, prefix: &str, pair: &KeyValue) {
        let key = String::from_utf8_lossy(pair.key());
        let shown = quote(key.strip_prefix(prefix).unwrap_or_default());
        let subnet = key.strip_prefix(prefix).and_then(from_key);
        let fault = match (subnet, Attributes::read(pair.value())) {
            (Some(subnet), Ok(attributes)) if self.leases.len() < MAX_PEERS || self.leases.contains_key(&subnet) => {
                self.leases.insert(subnet, (pair.create_revision(), attributes));
                self.faults.remove(&shown);
                return;
            }
            (Some(_), Ok(_)) => format!("there are more than {MAX_PEERS}"),
            (Some(subnet), Err(fault)) => {
                self.leases.remove(&subnet);
                fault
            }
            (None, _) => "its key is no subnet".to_owned(),
        };
        if self.faults.len() < MAX_FAULTS {
            self.faults.insert(shown, fault);
        }
    }

    fn remove(&mut self, prefix: &str, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        let key = key.strip_prefix(prefix).unwrap_or_default();
        from_key(key).map(|subnet| self.leases.remove(&subnet));
        self.faults.remove(&quote(key));
    }

    fn attributes(&self) -> BTreeMap<Ipv4Net, Attributes> {
        self.leases.iter().map(|(subnet, (_, attributes))| (*subnet, attributes.clone())).collect()
    }

    /// In the order in which they were made.
    fn told(&self) -> Told {
        let mut leases: Vec<_> = self.leases.iter().collect();
        leases.sort_by_key(|(_, (made, _))| *made);
        let lease = |(subnet, (_, attributes)): (&Ipv4Net, &(i64, Attributes))| Lease {
            subnet: *subnet,
            attributes: attributes.clone(),
        };
        Told {
            leases: leases.into_iter().map(lease).collect(),
            faults: self.faults.iter().map(|(key, fault)| format!("{key}: {fault}")).collect(),
        }
    }
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
        Ok(Self { client, prefix, renew_margin: margin, lost: Arc::default() })
    }

    fn subnet_key(&self, subnet: Ipv4Net) -> String {
        format!("{}/subnets/{}", self.prefix, key(subnet))
    }

    async fn read_config(&self) -> anyhow::Result<NetworkConfig> {
        let path = format!("{}/config", self.prefix);
        let answer = bounded(self.client.kv_client().get(path.as_str(), None)).await?;
        let pair = answer.kvs().first().ok_or(NoConfig(path))?;
        Ok(NetworkConfig::parse(&String::from_utf8_lossy(pair.value()))?)
    }

    /// All leases, as of one revision.
    async fn read(&self) -> anyhow::Result<Known> {
        let prefix = format!("{}/subnets/", self.prefix);
        // What comes after everything that begins with the prefix.
        let end = format!("{}/subnets0", self.prefix);
        let mut known = Known::default();
        let mut from = prefix.clone().into_bytes();
        loop {
            let options = GetOptions::new().with_range(end.as_str()).with_limit(PAGE).with_revision(known.revision);
            let mut kv = self.client.kv_client().max_decoding_message_size(MAX_PAGE_BYTES);
            let answer = bounded(kv.get(from, Some(options))).await?;
            if known.revision == 0 {
                known.revision = answer.header().context("an answer without a revision")?.revision();
            }
            answer.kvs().iter().for_each(|pair| known.put(&prefix, pair));
            match answer.kvs().last() {
                Some(last) if answer.more() => from = [last.key(), &[0]].concat(),
                _ => return Ok(known),
            }
        }
    }

    /// Puts this node's lease; `false` when somebody else has just claimed the subnet.
    async fn put(&self, choice: Choice, own: &Attributes) -> anyhow::Result<bool> {
        let mut leases = self.client.lease_client();
        let granted = bounded(leases.grant(DAY.as_secs().cast_signed(), None)).await?.id();
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
            let left = match self.keep_once(&path, own).await {
                Ok(left) => {
                    backoff.reset();
                    left.saturating_sub(self.renew_margin)
                }
                Err(error) if error.is::<Lost>() => return Err(error),
                Err(error) => {
                    tracing::warn!("keep the lease of {}: {error:#}", own.subnet);
                    Duration::ZERO
                }
            };
            // Not more often, whoever removes it again and again.
            sleep(backoff.next_delay()).await;
            tokio::select! {
                () = sleep(left) => {}
                () = self.lost.notified() => {}
            }
        }
    }

    /// Sees to it that this node has its lease: for how long it is good then.
    async fn keep_once(&self, path: &str, own: &Lease) -> anyhow::Result<Duration> {
        let Some(left) = self.time_left(path, own).await? else {
            // Somebody removed it. Nobody else has the subnet yet: pods have addresses of it.
            if self.put(Choice::Claim(own.subnet), &own.attributes).await? {
                tracing::warn!("somebody removed the lease of {}: it is claimed again", own.subnet);
                return Ok(DAY);
            }
            return Err(Lost(own.subnet).into());
        };
        if left <= self.renew_margin {
            self.renew(path).await?;
        }
        Ok(left)
    }

    /// For how long this node's lease is good; `None` when it is gone.
    async fn time_left(&self, path: &str, own: &Lease) -> anyhow::Result<Option<Duration>> {
        let answer = bounded(self.client.kv_client().get(path, None)).await?;
        let Some(pair) = answer.kvs().first() else { return Ok(None) };
        let theirs = Attributes::read(pair.value()).map_err(|_| Lost(own.subnet))?;
        if theirs.public_ip != own.attributes.public_ip {
            return Err(Lost(own.subnet).into());
        }
        // A reservation, without an end.
        if pair.lease() == 0 {
            return Ok(Some(Duration::MAX));
        }
        let answer = bounded(self.client.lease_client().time_to_live(pair.lease(), None)).await?;
        Ok(u64::try_from(answer.ttl()).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
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
    async fn follow(&self, config: &NetworkConfig, own: &Lease, tell: &Tell) -> anyhow::Result<()> {
        self.check_config(config).await?;
        let mut known = self.read().await?;
        self.tell(&known, own, tell);
        let options = WatchOptions::new().with_prefix().with_start_revision(known.revision + 1);
        let mut watcher = self.client.watch_client().max_decoding_message_size(MAX_PAGE_BYTES);
        let mut stream = bounded(watcher.watch(format!("{}/", self.prefix), Some(options))).await?;
        let prefix = format!("{}/subnets/", self.prefix);
        let config_key = format!("{}/config", self.prefix);
        while let Some(answer) = stream.message().await? {
            if answer.canceled() {
                bail!("etcd ended the watch: {}", answer.cancel_reason());
            }
            for event in answer.events() {
                let Some(pair) = event.kv() else { continue };
                if pair.key() == config_key.as_bytes() {
                    self.check_config(config).await?;
                } else if pair.key().starts_with(prefix.as_bytes()) {
                    match event.event_type() {
                        EventType::Put => known.put(&prefix, pair),
                        EventType::Delete => known.remove(&prefix, pair.key()),
                    }
                }
            }
            self.tell(&known, own, tell);
        }
        bail!("etcd ended the watch")
    }

    /// A configuration that is of no use changes nothing: what was in force stays so until there is one that is.
    async fn check_config(&self, config: &NetworkConfig) -> anyhow::Result<()> {
        match self.read_config().await {
            Ok(now) if now == *config => Ok(()),
            Ok(_) => Err(Changed.into()),
            Err(error) if error.is::<InvalidConfig>() || error.is::<NoConfig>() => {
                tracing::error!("{error:#}: the one before stays in force");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn tell(&self, known: &Known, own: &Lease, tell: &Tell) {
        let mine = known.leases.get(&own.subnet).map(|(_, attributes)| attributes.public_ip);
        if mine != Some(own.attributes.public_ip) {
            self.lost.notify_one();
        }
        publish(tell, known.told());
    }
}

/// This node's lease is gone, or somebody else's.
#[derive(Debug, thiserror::Error)]
#[error("the lease of {0} is not this node's any more")]
struct Lost(Ipv4Net);

/// Nobody has configured the network.
#[derive(Debug, thiserror::Error)]
#[error("there is no {0} in etcd")]
struct NoConfig(String);

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
        let is_mine =
            |theirs: &Attributes| theirs.public_ip == own.public_ip && theirs.backend_type == own.backend_type;
        let mine = known.leases.into_values().map(|(_, theirs)| theirs).find(is_mine);
        Ok(mine.map(|attributes| attributes.backend_data))
    }

    async fn acquire(&self, config: &NetworkConfig, own: &Attributes, wishes: Wishes) -> anyhow::Result<Lease> {
        for _ in 0..ATTEMPTS {
            let choice = choose(config, &self.read().await?.attributes(), own, wishes)?;
            let (Choice::Renew(subnet) | Choice::Claim(subnet)) = choice;
            if self.put(choice, own).await? {
                return Ok(Lease { subnet, attributes: own.clone() });
            }
        }
        bail!("others were faster {ATTEMPTS} times")
    }

    fn start(&self, config: NetworkConfig, own: Lease, daemon: &Daemon) -> Everybody {
        let (tell, everybody) = watch::channel(None);
        let (keeper, kept) = (self.clone(), own.clone());
        let stop = daemon.shutdown.clone();
        daemon.spawn_until_shutdown(async move {
            if let Err(error) = keeper.keep(&kept).await {
                tracing::error!("{error:#}: ending, to begin anew");
                stop.cancel();
            }
        });
        let follower = self.clone();
        let stop = daemon.shutdown.clone();
        daemon.spawn_until_shutdown(async move {
            let mut backoff = Backoff::reconnect();
            loop {
                let started = Instant::now();
                match follower.follow(&config, &own, &tell).await {
                    Err(error) if error.is::<Changed>() => {
                        tracing::error!("{error:#}: ending, to begin anew");
                        return stop.cancel();
                    }
                    Err(error) => tracing::warn!("watch of etcd interrupted: {error:#}"),
                    Ok(()) => {}
                }
                if started.elapsed() > GOOD_WATCH {
                    backoff.reset();
                }
                sleep(backoff.next_delay()).await;
            }
        });
        everybody
    }
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
