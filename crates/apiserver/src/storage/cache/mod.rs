//! The watch cache: the objects of one resource in memory, as the bytes that clients read, kept equal to the store by a
//! watch. Reads are answered from it without decoding anything.
//!
//! A cache fills when it is first used and again whenever the store's history was lost to it. It is never the truth:
//! a consistent read first asks the store for its revision, and waits until the cache has seen that.

mod audience;
mod body;
mod change;
mod counts;
mod decorator;
mod driver;
mod entry;
mod extract;
mod objects;
mod recall;
mod select;
mod state;
mod watcher;

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

pub use body::ListBody;
pub use change::{Bookmark, Change, ChangeKind, Mark};
pub use counts::{Count, Counts};
pub use entry::{Entry, Header, Separator, Splice, Text, write_number, write_spliced};
pub use extract::{Extractor, SelectableField, Settle, find_splice};
pub use select::{Requirement, Selector};
pub use state::{Limits, Listing};
pub use watcher::{Bookmarks, Delivery, Watcher};

use super::{Item, Key, ListQuery, Prefix, ProgressRequest, Result, Revision, Store, StoreError};
use audience::Audience;
use state::{Span, State};
use watcher::View;

/// So long a read waits for the cache to see a revision; upstream's limit.
const CATCH_UP: Duration = Duration::from_secs(3);

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Whatever the cache holds (`resourceVersion=0`).
    Any,
    /// Not older than this revision.
    AtLeast(Revision),
    /// Everything that was acknowledged before the read began (no `resourceVersion`).
    Consistent,
}

/// As of when to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest state that is as fresh as this.
    Newest(Freshness),
    /// Exactly this revision (`resourceVersionMatch=Exact`, or a `continue` token).
    Exactly(Revision),
}

/// What to list.
#[derive(Clone)]
pub struct ListRequest {
    /// The resource's prefix, or a namespace below it.
    pub scope: Prefix,
    /// Only these objects; all when `None`, which is faster than a selector that selects all.
    pub selector: Option<Selector>,
    /// Only objects with greater keys.
    pub start_after: Option<Key>,
    /// At most so many.
    pub limit: Option<NonZeroUsize>,
    /// As of when.
    pub at: At,
}

impl ListRequest {
    /// Everything in a scope, as fresh as this.
    #[must_use]
    pub fn all(scope: Prefix, freshness: Freshness) -> Self {
        Self { scope, selector: None, start_after: None, limit: None, at: At::Newest(freshness) }
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the changes after this revision.
    After(Revision),
    /// With the changes after a state that is as fresh as this.
    Now(Freshness),
    /// With the objects of a state that is as fresh as this, each as `ADDED`.
    State(Freshness),
    /// The same, and a bookmark that marks the end of them (`sendInitialEvents=true`).
    StateThenBookmark(Freshness),
}

/// What to watch.
#[derive(Clone)]
pub struct WatchRequest {
    /// The resource's prefix, or a namespace below it.
    pub scope: Prefix,
    /// Only these objects; all when `None`.
    pub selector: Option<Selector>,
    /// Where to begin.
    pub start: Start,
    /// Whether to tell progress.
    pub bookmarks: Bookmarks,
    /// When the watch ends by itself.
    pub timeout: Option<Duration>,
}

/// The cache of one resource.
pub struct Cache {
    shared: Arc<Shared>,
    /// The task that follows the store, once somebody has asked for something.
    driver: OnceLock<AbortOnDropHandle<()>>,
}

/// What the task, the readers and the watchers share.
struct Shared {
    store: Arc<dyn Store>,
    prefix: Prefix,
    extractor: Extractor,
    state: RwLock<State>,
    /// The watchers.
    audience: Arc<Audience>,
    /// Moves with the cache's revision; readers wait for it.
    progress: watch::Sender<Progress>,
    /// Asks the running watch how far it is.
    request: Mutex<ProgressRequest>,
    /// Who reads from the store what came before the cache's history, and from where on that is in vain.
    recall: tokio::sync::Mutex<Revision>,
    counts: Counts,
}

/// How much a cache holds.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// Objects.
    pub objects: usize,
    /// As of which revision.
    pub revision: Revision,
    /// The greatest number of changes that are remembered.
    pub changes: usize,
}

/// How far the cache is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Everything up to here has been seen; `None` until the cache has filled.
    revision: Option<Revision>,
    /// Why the store could not be read the last time.
    failure: Option<StoreError>,
}

impl Cache {
    /// An empty cache of everything below `prefix`. It does nothing until it is first used, which must be on a tokio
    /// runtime.
    pub fn new(store: Arc<dyn Store>, prefix: Prefix, extractor: Extractor, limits: Limits) -> Self {
        let shared = Shared {
            store,
            audience: Arc::new(Audience::new(prefix.clone())),
            prefix,
            extractor,
            state: RwLock::new(State::new(limits)),
            progress: watch::Sender::new(Progress::default()),
            request: Mutex::default(),
            recall: tokio::sync::Mutex::default(),
            counts: Counts::default(),
        };
        Self { shared: Arc::new(shared), driver: OnceLock::new() }
    }

    /// The store below, for writes.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// What is counted of it.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// What it holds; `None` until it has filled, which is when somebody has asked for something.
    pub fn holding(&self) -> Option<Holding> {
        let state = self.shared.state.read();
        let (objects, revision, changes) = (state.objects().entries().len(), state.revision(), state.limits().changes);
        (revision > Revision::ZERO).then_some(Holding { objects, revision, changes })
    }

    /// The folder that is cached.
    pub fn prefix(&self) -> &Prefix {
        &self.shared.prefix
    }

    /// The form in which the cache would hold a value, for answering a write.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the value is not a JSON object with `metadata`.
    pub fn entry(&self, item: Item) -> Result<Entry> {
        self.shared.extractor.entry(item)
    }

    /// One object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unreadable`]; [`StoreError::FutureRevision`] when the revision asked for
    /// does not come about.
    pub async fn get(&self, key: &Key, freshness: Freshness) -> Result<Arc<Entry>> {
        match freshness {
            Freshness::Consistent => self.consistent(key).await,
            Freshness::Any => self.cached(key, Revision::ZERO).await,
            Freshness::AtLeast(revision) => self.cached(key, revision).await,
        }
    }

    /// From the cache when it is known to be up to date, else from the store: what waiting would cost is not known.
    async fn consistent(&self, key: &Key) -> Result<Arc<Entry>> {
        let shared = &self.shared;
        let current = shared.store.revision_at_hand();
        if current.is_some_and(|revision| shared.progress.borrow().has_seen(revision)) {
            match self.lookup(key) {
                // What the store itself has passed over is not known here.
                Err(StoreError::NotFound { .. }) if shared.store.unreadable().count() > 0 => {}
                found => return found,
            }
        }
        let item = shared.store.get(key).await?;
        let known =
            shared.state.read().objects().get(key).ok().filter(|entry| entry.revision() == item.revision).cloned();
        known.map_or_else(|| shared.readable(item).map(Arc::new), Ok)
    }

    fn lookup(&self, key: &Key) -> Result<Arc<Entry>> {
        self.shared.state.read().objects().get(key).cloned()
    }

    async fn cached(&self, key: &Key, revision: Revision) -> Result<Arc<Entry>> {
        self.caught_up(revision).await?;
        self.lookup(key)
    }

    /// Objects in the order of their keys.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when an exact revision is no longer known, [`StoreError::FutureRevision`] when a
    /// revision asked for does not come about.
    pub async fn list(&self, request: &ListRequest) -> Result<Listing> {
        let span = Span {
            scope: &request.scope,
            start_after: request.start_after.as_ref(),
            limit: request.limit,
            selector: request.selector.as_ref(),
        };
        match request.at {
            At::Exactly(revision) => self.list_exactly(&span, revision).await,
            At::Newest(freshness) => {
                self.fresh(freshness).await?;
                let listing = self.shared.state.read().list(&span);
                Ok(self.listed(listing))
            }
        }
    }

    async fn list_exactly(&self, span: &Span<'_>, revision: Revision) -> Result<Listing> {
        self.caught_up(revision).await?;
        let known = self.shared.state.read().list_at(span, revision);
        match known {
            Some(listing) => Ok(self.listed(listing)),
            None => self.list_from_store(span, revision).await,
        }
    }

    /// Counts a list that the cache answers.
    fn listed(&self, listing: Listing) -> Listing {
        let counts = self.counts();
        counts.lists.add(1);
        counts.examined.add(listing.examined);
        counts.returned.add(listing.entries.len());
        listing
    }

    /// A list as of a revision before the cache's history.
    async fn list_from_store(&self, span: &Span<'_>, revision: Revision) -> Result<Listing> {
        let wanted = span.limit.map_or(usize::MAX, NonZeroUsize::get);
        let mut query = ListQuery {
            prefix: span.scope.clone(),
            start_after: span.start_after.cloned(),
            limit: span.limit,
            revision: Some(revision),
        };
        let mut entries = Vec::new();
        let mut examined = 0;
        self.counts().stored_lists.add(1);
        loop {
            let page = self.shared.store.list(&query).await?;
            examined += page.items.len();
            query.start_after = page.items.last().map(|item| item.key.clone());
            let mut remaining = page.remaining;
            let mut items = page.items.into_iter();
            for item in items.by_ref() {
                let Ok(entry) = self.shared.readable(item).map(Arc::new) else { continue };
                if span.selector.is_none_or(|selector| selector.matches(&entry)) {
                    entries.push(entry);
                }
                if entries.len() == wanted {
                    break;
                }
            }
            remaining += items.len() as u64;
            if remaining == 0 || entries.len() == wanted {
                let next = entries.last().filter(|_| remaining > 0).map(|entry| entry.key().clone());
                let remaining = (remaining == 0 || span.selector.is_none()).then_some(remaining);
                self.counts().stored_returned.add(entries.len());
                return Ok(Listing { entries, revision, next, remaining, examined });
            }
        }
    }

    /// A watch.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when neither the cache's history nor the store's reaches back to where the watch is to
    /// begin, [`StoreError::FutureRevision`] when it does not get there.
    pub async fn watch(&self, request: WatchRequest) -> Result<Watcher> {
        let WatchRequest { scope, selector, start, bookmarks, timeout } = request;
        let view = View { scope, selector, bookmarks, timeout };
        match start {
            Start::After(revision) => {
                self.caught_up(Revision::ZERO).await?;
                self.shared.recall(revision).await;
                let watcher = Watcher::new(self.shared.clone(), view, revision);
                watcher.check_start().map(|()| watcher)
            }
            Start::Now(freshness) => {
                self.fresh(freshness).await?;
                let revision = self.shared.state.read().revision();
                Ok(Watcher::new(self.shared.clone(), view, revision))
            }
            Start::State(freshness) => {
                self.fresh(freshness).await?;
                let state = self.snapshot(&view);
                Ok(Watcher::new(self.shared.clone(), view, state.revision).starting_with(state.entries, None))
            }
            Start::StateThenBookmark(freshness) => {
                self.fresh(freshness).await?;
                let state = self.snapshot(&view);
                let end = Bookmark { revision: state.revision, mark: Mark::InitialEventsEnd };
                Ok(Watcher::new(self.shared.clone(), view, state.revision).starting_with(state.entries, Some(end)))
            }
        }
    }

    fn snapshot(&self, view: &View) -> Listing {
        let span = Span { scope: &view.scope, start_after: None, limit: None, selector: view.selector.as_ref() };
        self.shared.state.read().list(&span)
    }

    /// Waits until the cache is this fresh.
    async fn fresh(&self, freshness: Freshness) -> Result<()> {
        let (counts, begun) = (self.counts(), Instant::now());
        match freshness {
            Freshness::Any => return self.caught_up(Revision::ZERO).await,
            Freshness::AtLeast(revision) => self.caught_up(revision).await?,
            Freshness::Consistent => {
                let revision = self.shared.store.current_revision().await?;
                let caught_up = self.caught_up(revision).await;
                if caught_up.is_ok() {
                    counts.consistent.add(1);
                } else {
                    counts.stale.add(1);
                }
                caught_up?;
            }
        }
        counts.waits.observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Waits until the cache has filled and has seen this revision.
    async fn caught_up(&self, revision: Revision) -> Result<()> {
        let shared = &self.shared;
        self.driver.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(driver::run(shared.clone()))));
        if shared.progress.borrow().has_seen(revision) {
            return Ok(());
        }
        shared.request_progress(revision);
        let mut progress = shared.progress.subscribe();
        let seen = timeout(CATCH_UP, progress.wait_for(|progress| progress.has_seen(revision))).await;
        match seen {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(shared.progress.borrow().why_not(revision)),
        }
    }
}

impl Progress {
    fn has_seen(&self, revision: Revision) -> bool {
        self.revision.is_some_and(|seen| seen >= revision)
    }

    /// Why the cache has not got to a revision.
    fn why_not(&self, requested: Revision) -> StoreError {
        match (&self.revision, &self.failure) {
            (_, Some(failure)) => failure.clone(),
            (Some(current), None) => StoreError::FutureRevision { requested, current: *current },
            (None, None) => StoreError::unavailable("fill watch cache", "the store has not answered yet"),
        }
    }
}

impl Shared {
    /// The cached form of a value; one that has none is named.
    fn readable(&self, item: Item) -> Result<Entry> {
        let (key, revision) = (item.key.clone(), item.revision);
        self.extractor.entry(item).inspect_err(|error| {
            self.store.unreadable().pass_over(key.as_str(), revision, error);
        })
    }

    /// The cache has seen everything up to here.
    fn progressed(&self, revision: Revision) {
        self.progress.send_replace(Progress { revision: Some(revision), failure: None });
    }

    fn failed(&self, error: StoreError) {
        self.progress.send_modify(|progress| progress.failure = Some(error));
    }

    /// Asks the watch to tell when it has seen this revision.
    fn request_progress(&self, up_to: Revision) {
        self.request.lock().send(up_to);
    }

    /// Another watch runs now; what the one before was asked for is asked again.
    fn follow_progress(&self, request: ProgressRequest) {
        let mut current = self.request.lock();
        request.send(current.wanted());
        *current = request;
    }
}
