//! The store in etcd 3.4 or later, laid out as upstream lays it out, so that several API servers can share it.

mod call;
mod follow;
mod lease;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, GetResponse, Identity, KeyValue, KvClient,
    PutOptions, TlsOptions, Txn, TxnOp, TxnOpResponse, TxnResponse, WatchClient,
};
use futures::{FutureExt, future::BoxFuture};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::{
    Item, Key, ListQuery, Page, Prefix, Result, Revision, Store, StoreError, Ttl, Unreadable, Watch,
    embedded::MAX_VALUE, feed::Feed,
};
use call::{Failure, Repeat, call, is_full, is_lease_gone, is_out_of_range, is_too_large};
use follow::revision;
use lease::Leases;

/// The greatest message that is accepted from etcd, in bytes; upstream's limit. gRPC's own of 4 MiB is less than a page
/// of large objects.
const MAX_MESSAGE: usize = i32::MAX as usize;

/// A silent connection is probed so often, and given up when the probe is not answered in time.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach etcd.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// URLs of the servers, of one cluster.
    pub endpoints: Vec<String>,
    /// For `https` URLs.
    pub tls: Option<EtcdTls>,
    /// How long an operation may take before it fails.
    pub timeout: Duration,
    /// How long the history reaches back at least (`--etcd-compaction-interval`); `None` when somebody else compacts.
    pub history: Option<Duration>,
}

/// Certificates in PEM.
#[derive(Clone, Debug, Default)]
pub struct EtcdTls {
    /// Who may have signed etcd's certificate (`--etcd-cafile`).
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and its key (`--etcd-certfile`, `--etcd-keyfile`).
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl EtcdOptions {
    /// Servers without TLS, compacted every five minutes as upstream does it.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, tls: None, timeout: Duration::from_secs(5), history: Some(Duration::from_secs(300)) }
    }

    fn connect_options(&self) -> ConnectOptions {
        let options = ConnectOptions::new()
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_require_leader(true);
        let Some(tls) = &self.tls else { return options };
        let mut config = TlsOptions::new();
        if let Some(ca) = &tls.ca {
            config = config.ca_certificate(Certificate::from_pem(ca));
        }
        if let Some((certificate, key)) = &tls.identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        options.with_tls(config)
    }
}

/// The store in etcd.
pub struct EtcdStore {
    reads: Arc<Reads>,
    leases: Leases,
    feed: Arc<Feed>,
    _follow: AbortOnDropHandle<()>,
    /// Compaction. Several API servers may each do it: none forgets what is younger than the window.
    _compact: Option<AbortOnDropHandle<()>>,
}

/// What needs no leases, shared with running watches.
struct Reads {
    kv: KvClient,
    watch: WatchClient,
    limit: Duration,
    unreadable: Unreadable,
}

/// What a key has to hold for a write to happen.
#[derive(Clone, Copy)]
enum Expected {
    /// No value.
    Nothing,
    /// The version of this revision.
    Version(Revision),
}

impl EtcdStore {
    /// A store at these servers. It connects when it is first used: etcd need not be there yet.
    ///
    /// # Errors
    /// When the options cannot be right: no endpoints, not URLs, certificates that are none.
    pub async fn connect(options: &EtcdOptions) -> Result<Self> {
        let client = Client::connect(&options.endpoints, Some(options.connect_options()));
        let client = client.await.map_err(|error| StoreError::unavailable("connect to etcd", error))?;
        let reads = Arc::new(Reads {
            kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE),
            watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE),
            limit: options.timeout,
            unreadable: Unreadable::default(),
        });
        let leases = Leases::new(client.lease_client(), options.timeout);
        let feed = Arc::new(Feed::default());
        let follow = AbortOnDropHandle::new(tokio::spawn(follow::run(reads.clone(), feed.clone())));
        let compact =
            options.history.map(|window| AbortOnDropHandle::new(tokio::spawn(compact(reads.clone(), window))));
        Ok(Self { reads, leases, feed, _follow: follow, _compact: compact })
    }

    /// A write if the key is as expected; else the current value is asked for.
    async fn write(
        &self,
        operation: &'static str,
        key: &Key,
        expected: Expected,
        write: TxnOp,
    ) -> Result<TxnResponse, Failure> {
        let expected = match expected {
            Expected::Nothing => 0,
            Expected::Version(revision) => i64::try_from(revision.0.max(1)).unwrap_or(i64::MAX),
        };
        let txn = Txn::new()
            .when([Compare::mod_revision(key.as_str(), CompareOp::Equal, expected)])
            .and_then([write])
            .or_else([TxnOp::get(key.as_str(), None)]);
        let attempt = || {
            let (mut kv, txn) = (self.reads.kv.clone(), txn.clone());
            async move { kv.txn(txn).await }
        };
        call(operation, Repeat::IfNotSent, self.reads.limit, attempt).await
    }

    async fn put(
        &self,
        operation: &'static str,
        key: &Key,
        expected: Expected,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> Result<TxnResponse> {
        let lease = match ttl {
            Some(ttl) => Some(self.leases.for_ttl(ttl).await?),
            None => None,
        };
        let failure = match self.write(operation, key, expected, put(key, &value, lease)).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        match (failure, lease, ttl) {
            (Failure::Refused(error), Some(lost), Some(ttl)) if is_lease_gone(&error) => {
                self.leases.forget(lost).await;
                let lease = self.leases.for_ttl(ttl).await?;
                let again = self.write(operation, key, expected, put(key, &value, Some(lease))).await;
                again.map_err(|failure| failure.into_error(operation))
            }
            (Failure::Refused(error), ..) if is_too_large(&error) => {
                Err(StoreError::TooLarge { key: key.clone(), size: value.len(), limit: MAX_VALUE })
            }
            (Failure::Refused(error), ..) if is_full(&error) => Err(StoreError::full(error)),
            (failure, ..) => Err(failure.into_error(operation)),
        }
    }
}

/// Forgets what is older than `window`, and does so once in that time.
async fn compact(reads: Arc<Reads>, window: Duration) {
    let mut ticks = interval(window);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        if let Some(before) = before
            && let Err(error) = reads.compact(before).await
        {
            warn!(%error, "cannot compact etcd's history");
        }
        before = reads.current_revision().await.ok();
    }
}

fn put(key: &Key, value: &Bytes, lease: Option<i64>) -> TxnOp {
    let options = lease.map(|lease| PutOptions::new().with_lease(lease));
    TxnOp::put(key.as_str(), value.as_ref(), options)
}

/// The revision of a write, or why the key was not as expected.
fn outcome(operation: &'static str, key: &Key, expected: Revision, response: &TxnResponse) -> Result<Revision> {
    if response.succeeded() {
        return header_revision(operation, response.header());
    }
    for answer in response.op_responses() {
        if let TxnOpResponse::Get(mut answer) = answer
            && let Some(kv) = answer.take_kvs().into_iter().next()
        {
            return Err(StoreError::Conflict { expected, current: Box::new(item(key.clone(), kv)) });
        }
    }
    Err(StoreError::NotFound { key: key.clone() })
}

fn header_revision(operation: &'static str, header: Option<&etcd_client::ResponseHeader>) -> Result<Revision> {
    let header = header.ok_or_else(|| StoreError::corrupt(operation, "an answer without a revision"))?;
    Ok(revision(header.revision()))
}

/// What was found at a key.
fn item(key: Key, kv: KeyValue) -> Item {
    let (written, created) = (revision(kv.mod_revision()), revision(kv.create_revision()));
    Item { key, value: kv.into_key_value().1.into(), revision: written, created }
}

impl Reads {
    async fn range(&self, operation: &'static str, key: &[u8], options: GetOptions) -> Result<GetResponse, Failure> {
        let attempt = || {
            let (mut kv, options) = (self.kv.clone(), options.clone());
            async move { kv.get(key, Some(options)).await }
        };
        call(operation, Repeat::Always, self.limit, attempt).await
    }

    async fn get(&self, key: &Key) -> Result<Item> {
        let answer = self.range("get", key.as_str().as_bytes(), GetOptions::new()).await;
        let kvs = answer.map_err(|failure| failure.into_error("get"))?.take_kvs();
        let found = kvs.into_iter().next().map(|kv| item(key.clone(), kv));
        found.ok_or_else(|| StoreError::NotFound { key: key.clone() })
    }

    /// As many readable values as were asked for, although etcd counts the others too.
    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let start = match &query.start_after {
            Some(key) if key.as_str() >= query.prefix.as_str() => format!("{key}\0"),
            _ => query.prefix.as_str().to_owned(),
        };
        if start > query.prefix.end() {
            let revision = self.current_revision().await?;
            return Ok(Page { items: Vec::new(), revision: query.revision.unwrap_or(revision), remaining: 0 });
        }
        let (mut items, mut start, mut at) = (Vec::new(), start.into_bytes(), query.revision);
        loop {
            let wanted = query.limit.map_or(0, |limit| limit.get() - items.len());
            let mut answer = self.part(&start, &query.prefix, wanted, at).await?;
            let revision = at.map_or_else(|| header_revision("list", answer.header()), Ok)?;
            let kvs = answer.take_kvs();
            let remaining = answer.count().unsigned_abs().saturating_sub(kvs.len() as u64);
            start = kvs.last().map(|last| [last.key(), b"\0"].concat()).unwrap_or_default();
            items.extend(kvs.into_iter().filter_map(|kv| self.readable(kv)));
            if remaining == 0 || start.is_empty() || query.limit.is_some_and(|limit| items.len() >= limit.get()) {
                return Ok(Page { items, revision, remaining });
            }
            at = Some(revision);
        }
    }

    /// What etcd has from a key on up to the end of a folder, at most so many unless that is zero.
    async fn part(&self, start: &[u8], prefix: &Prefix, limit: usize, at: Option<Revision>) -> Result<GetResponse> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut options = GetOptions::new().with_range(prefix.end()).with_limit(limit);
        if let Some(revision) = at {
            options = options.with_revision(i64::try_from(revision.0).unwrap_or(i64::MAX));
        }
        match (self.range("list", start, options).await, at) {
            (Ok(answer), _) => Ok(answer),
            (Err(Failure::Refused(error)), Some(requested)) if is_out_of_range(&error) => {
                Err(self.out_of_range(requested).await)
            }
            (Err(failure), _) => Err(failure.into_error("list")),
        }
    }

    /// An item, unless its key is no text.
    fn readable(&self, kv: KeyValue) -> Option<Item> {
        self.readable_key(&kv).map(|key| item(key, kv))
    }

    /// A key, unless it is no text.
    fn readable_key(&self, kv: &KeyValue) -> Option<Key> {
        match kv.key_str() {
            Ok(text) => Some(Key::from(text)),
            Err(error) => {
                let name = kv.key().escape_ascii().to_string();
                self.unreadable.pass_over(&name, revision(kv.mod_revision()), &error);
                None
            }
        }
    }

    /// What is wrong with a revision that etcd does not serve.
    async fn out_of_range(&self, requested: Revision) -> StoreError {
        match self.current_revision().await {
            Ok(current) if requested > current => StoreError::FutureRevision { requested, current },
            Ok(current) => StoreError::Compacted { requested, oldest: current },
            Err(error) => error,
        }
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let target = i64::try_from(revision.0).unwrap_or(i64::MAX);
        let attempt = || {
            let mut kv = self.kv.clone();
            async move { kv.compact(target, None).await }
        };
        match call("compact", Repeat::Always, self.limit, attempt).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(error)) if is_out_of_range(&error) => match self.out_of_range(revision).await {
                StoreError::Compacted { .. } => Ok(()),
                error => Err(error),
            },
            Err(failure) => Err(failure.into_error("compact")),
        }
    }

    async fn current_revision(&self) -> Result<Revision> {
        let options = GetOptions::new().with_limit(1).with_count_only();
        let answer = self.range("read revision", b"\0", options).await;
        let answer = answer.map_err(|failure| failure.into_error("read revision"))?;
        header_revision("read revision", answer.header())
    }
}

impl Store for EtcdStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        self.reads.get(key).boxed()
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        self.reads.list(query).boxed()
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>> {
        async move {
            let response = self.put("create", key, Expected::Nothing, value, ttl).await?;
            match outcome("create", key, Revision::ZERO, &response) {
                Err(StoreError::Conflict { .. }) => Err(StoreError::Exists { key: key.clone() }),
                other => other,
            }
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        async move {
            let response = self.put("update", key, Expected::Version(expected), value, ttl).await?;
            outcome("update", key, expected, &response)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        async move {
            let delete = TxnOp::delete(key.as_str(), None);
            let response = self.write("delete", key, Expected::Version(expected), delete).await;
            outcome("delete", key, expected, &response.map_err(|failure| failure.into_error("delete"))?)
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        async move { Ok(self.feed.watch(self.reads.clone(), prefix.clone(), after)) }.boxed()
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.reads.current_revision().boxed()
    }

    fn unreadable(&self) -> &Unreadable {
        &self.reads.unreadable
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.reads.compact(revision).boxed()
    }
}
