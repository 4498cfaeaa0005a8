//! Objects that say who is asked about requests, read once a version, as the watch cache tells of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use api_types::{Resource, StatusError};
use tokio::sync::watch;

use crate::{
    registry::{
        Review, Storage,
        admission::Handle,
        following::{Gvr, Mirror, Mirrored},
    },
    storage::Revision,
};

/// How long a request waits until it is known who is asked; upstream's.
const PATIENCE: Duration = Duration::from_secs(10);

/// All objects of a row by their names, each as what it was read as.
pub(in crate::admission) type All<T> = Arc<BTreeMap<String, Arc<T>>>;

/// Reads an object's JSON, given what it was before; `None` when it cannot be read.
pub(in crate::admission) type Read<T> = Box<dyn Fn(&str, &[u8], Option<&T>) -> Option<T> + Send + Sync>;

/// The objects of a row at cluster scope. Who has been told that one is written finds it.
pub(in crate::admission) struct Followed<T> {
    handle: Handle,
    gvr: Gvr,
    storage: OnceLock<Arc<Storage>>,
    kept: Arc<Kept<T>>,
}

struct Kept<T> {
    read: Read<T>,
    state: watch::Sender<State<T>>,
}

struct State<T> {
    /// How far the cache has told; nothing before everything was told that there was at first.
    reached: Option<Revision>,
    all: All<T>,
}

impl<T: Send + Sync + 'static> Followed<T> {
    pub(in crate::admission) fn new(handle: &Handle, row: &'static Resource, read: Read<T>) -> Self {
        let state = watch::Sender::new(State { reached: None, all: All::default() });
        let gvr = (&*row.group, &*row.version, &*row.plural);
        Self { handle: handle.clone(), gvr, storage: OnceLock::new(), kept: Arc::new(Kept { read, state }) }
    }

    /// What has to be told of the objects.
    pub(in crate::admission) fn mirrored(&self) -> Mirrored {
        Mirrored::new(self.gvr, self.kept.clone())
    }

    /// Whether it is certain that there is none.
    pub(in crate::admission) fn is_empty(&self) -> bool {
        let Some(wanted) = self.wanted() else { return true };
        let state = self.kept.state.borrow();
        state.all.is_empty() && state.reached >= Some(wanted)
    }

    /// All of them.
    ///
    /// # Errors
    /// 403 when they are not known in time.
    pub(in crate::admission) async fn all(&self, review: &Review<'_>) -> Result<All<T>, StatusError> {
        let Some(wanted) = self.wanted() else { return Ok(All::default()) };
        {
            let state = self.kept.state.borrow();
            if state.reached >= Some(wanted) {
                return Ok(state.all.clone());
            }
        }
        let mut told = self.kept.state.subscribe();
        let known = tokio::time::timeout(PATIENCE, told.wait_for(|state| state.reached >= Some(wanted))).await;
        match known {
            Ok(Ok(state)) => Ok(state.all.clone()),
            Ok(Err(_)) | Err(_) => Err(review.forbidden("not yet ready to handle request")),
        }
    }

    /// What has to be known; `None` where nothing of the sort is served.
    fn wanted(&self) -> Option<Revision> {
        let storage = match self.storage.get() {
            Some(storage) => storage,
            None => {
                let (group, version, plural) = self.gvr;
                let rest = self.handle.registry().ok()?.find(group, version, plural)?;
                self.storage.get_or_init(|| rest.storage.clone())
            }
        };
        Some(storage.last_write())
    }
}

impl<T: Send + Sync + 'static> Mirror for Kept<T> {
    fn put(&self, _namespace: &str, name: &str, json: &[u8]) {
        let before = self.state.borrow().all.get(name).cloned();
        let read = (self.read)(name, json, before.as_deref());
        self.state.send_modify(|state| {
            let all = Arc::make_mut(&mut state.all);
            match read {
                Some(read) => all.insert(name.to_owned(), Arc::new(read)),
                None => all.remove(name),
            };
        });
    }

    fn remove(&self, _namespace: &str, name: &str) {
        self.state.send_modify(|state| {
            Arc::make_mut(&mut state.all).remove(name);
        });
    }

    fn reached(&self, revision: Revision) {
        self.state.send_modify(|state| state.reached = Some(revision));
    }
}
