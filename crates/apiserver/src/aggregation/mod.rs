//! Other servers behind this one. An API service says which server answers for a version of a group; it is followed as the
//! watch cache tells of it, so that it does not matter which API server wrote it.
//!
//! Each step takes up what has changed, and changes what is served once for all of it. Whether a server can be asked is
//! found out by a task for each ([`watching`]), and said in the status of its API service ([`availability`]).

mod availability;
mod identity;
mod metrics;
mod own;
mod remote;
mod watching;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use api_types::{
    StatusError,
    apiregistration::{APIService, APIServiceSpec},
    rows,
};
use component::{CancellationToken, Daemon, backoff::Backoff};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub use metrics::Unavailable;
pub use own::keep as keep_own;
pub use remote::Means;

use self::{
    availability::Verdict,
    remote::{Remote, Settings as Where},
    watching::Watching,
};
use crate::{
    catalogue::{ChangeError, Draft, Forward, Served},
    discovery::Priority,
    registry::{
        Registry, Rest, Target,
        following::{Changed, Gvr, Mirror, Mirrored, follow},
    },
    webhook::Belief,
};

/// The longest pause before what failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const API_SERVICES: Gvr = ("apiregistration.k8s.io", "v1", "apiservices");

/// What has to be known of the server.
pub struct Settings {
    /// What is served, which API services change.
    pub served: Arc<Served>,
    /// Where API services and services are.
    pub registry: Arc<Registry>,
    /// How other servers are reached.
    pub means: Means,
    /// Where it is counted which of them cannot be.
    pub metrics: Unavailable,
}

/// A server that answers for a version of a group.
struct Known {
    group: String,
    version: String,
    remote: Arc<Remote>,
    told: Arc<Notify>,
    /// Ends the task that watches it.
    end: CancellationToken,
}

/// Tells whoever watches a server when something happens to services or endpoints of its namespace.
#[derive(Default)]
struct Nudges(Mutex<HashMap<String, Vec<Arc<Notify>>>>);

impl Nudges {
    fn add(&self, namespace: &str, told: &Arc<Notify>) {
        self.0.lock().entry(namespace.to_owned()).or_default().push(told.clone());
    }

    fn remove(&self, namespace: &str, told: &Arc<Notify>) {
        let mut all = self.0.lock();
        if let Some(of_namespace) = all.get_mut(namespace) {
            of_namespace.retain(|other| !Arc::ptr_eq(other, told));
            if of_namespace.is_empty() {
                all.remove(namespace);
            }
        }
    }

    fn tell(&self, namespace: &str) {
        self.0.lock().get(namespace).into_iter().flatten().for_each(|told| told.notify_one());
    }
}

impl Mirror for Nudges {
    fn put(&self, namespace: &str, _: &str, _: &[u8]) {
        self.tell(namespace);
    }

    fn remove(&self, namespace: &str, _: &str) {
        self.tell(namespace);
    }
}

/// Follows API services as long as the daemon runs. What is given back becomes true when those are taken up that were
/// there at the start.
pub fn keep(settings: Settings, daemon: &Daemon) -> watch::Receiver<bool> {
    let (ready, receiver) = watch::channel(false);
    let own = daemon.clone();
    daemon.spawn_until_shutdown(async move {
        let (changed, nudges) = (Arc::new(Changed::default()), Arc::new(Nudges::default()));
        let mirrors = vec![
            Mirrored::new(API_SERVICES, changed.clone()),
            Mirrored::new(("", "v1", "services"), nudges.clone()),
            Mirrored::new(("discovery.k8s.io", "v1", "endpointslices"), nudges.clone()),
        ];
        for mut synced in follow(mirrors, &settings.registry, &own) {
            // A task that has ended has ended with the daemon.
            let _ = synced.wait_for(|synced| *synced).await;
        }
        let mut aggregator = Aggregator { settings, changed, nudges, known: BTreeMap::new(), daemon: own };
        let mut backoff = Backoff::reconnect();
        loop {
            let failed = aggregator.step().await;
            ready.send_replace(true);
            if failed {
                tokio::time::sleep(backoff.next_delay().min(LONGEST_PAUSE)).await;
            } else {
                backoff.reset();
            }
            aggregator.changed.wait().await;
        }
    });
    receiver
}

struct Aggregator {
    settings: Settings,
    changed: Arc<Changed>,
    nudges: Arc<Nudges>,
    /// By the names of API services.
    known: BTreeMap<String, Known>,
    daemon: Daemon,
}

/// What becomes of one API service.
struct Turn {
    name: String,
    group: String,
    version: String,
    /// What it says of priorities; none when it is gone.
    priority: Option<Priority>,
    /// Where its server is; none when that is this one.
    place: Option<Where>,
    /// Whether its server could be asked, as it says.
    available: bool,
    /// What is to be said in its status.
    verdict: Option<Verdict>,
}

/// A change of what is served.
type Step = Box<dyn FnOnce(&mut Draft)>;

impl Aggregator {
    /// Takes up what has changed. Tells whether some of it has to be tried again.
    async fn step(&mut self) -> bool {
        let mut failed = Vec::new();
        let mut turns = Vec::new();
        for name in self.changed.take() {
            match read(&self.settings.registry, &name).await {
                Ok(service) => turns.extend(turn(name, service)),
                Err(error) => {
                    tracing::warn!("API service {name} cannot be taken up: {error}");
                    failed.push(name);
                }
            }
        }
        self.serve(&turns);
        for turn in turns {
            let Some(verdict) = &turn.verdict else { continue };
            if let Err(error) = availability::write(&self.settings.registry, &turn.name, verdict).await {
                tracing::warn!("status of API service {}: {error}", turn.name);
                failed.push(turn.name);
            }
        }
        let again = !failed.is_empty();
        self.changed.add(failed);
        again
    }

    /// Makes what is served what it is to be, at once for all.
    fn serve(&mut self, turns: &[Turn]) {
        let mut changes: Vec<Step> = Vec::new();
        for turn in turns {
            let Turn { group, version, priority, .. } = turn;
            let (group, version, priority) = (group.clone(), version.clone(), *priority);
            changes.push(Box::new(move |draft| draft.prefer(&group, &version, priority)));
            changes.extend(self.lead(turn));
        }
        let served = self.settings.served.clone();
        let changed: Result<(), ChangeError> = served.change(|draft| {
            changes.into_iter().for_each(|change| change(draft));
            Ok(())
        });
        if let Err(error) = changed {
            tracing::error!("what is served could not be changed: {error}");
        }
    }

    /// Which change leads requests where they belong from now on; none where they go there already.
    fn lead(&mut self, turn: &Turn) -> Option<Step> {
        let before = self.known.get(&turn.name).map(|known| known.remote.settings());
        if before == turn.place.as_ref() {
            return None;
        }
        let (group, version) = (turn.group.clone(), turn.version.clone());
        self.forget(&turn.name);
        let Some(place) = &turn.place else {
            return Some(Box::new(move |draft| draft.take_back(&group, &version)));
        };
        let remote = self.watch(turn, place);
        Some(Box::new(move |draft| draft.forward(forward(&group, &version, remote))))
    }

    /// Begins to watch a server.
    fn watch(&mut self, turn: &Turn, place: &Where) -> Arc<Remote> {
        let Settings { registry, served, means, metrics } = &self.settings;
        let remote = Arc::new(Remote::new(place.clone(), means, &registry.handle(), &self.daemon));
        remote.set_available(turn.available);
        let (told, end) = (Arc::new(Notify::new()), self.daemon.shutdown.child_token());
        self.nudges.add(&place.namespace, &told);
        let watching = Watching {
            name: turn.name.clone(),
            forward: forward(&turn.group, &turn.version, remote.clone()),
            remote: remote.clone(),
            registry: registry.clone(),
            served: served.clone(),
            metrics: metrics.clone(),
            told: told.clone(),
        };
        let ended = end.clone();
        self.daemon.spawn(async move {
            let _ = ended.run_until_cancelled(watching.run()).await;
        });
        let (group, version) = (turn.group.clone(), turn.version.clone());
        self.known.insert(turn.name.clone(), Known { group, version, remote: remote.clone(), told, end });
        remote
    }

    fn forget(&mut self, name: &str) {
        if let Some(known) = self.known.remove(name) {
            known.end.cancel();
            self.nudges.remove(&known.remote.settings().namespace, &known.told);
            self.settings.metrics.forget(name);
            tracing::info!("{}/{} is no longer answered by {}", known.group, known.version, known.remote.url(""));
        }
    }
}

fn forward(group: &str, version: &str, server: Arc<Remote>) -> Forward {
    Forward { group: group.to_owned().into(), version: version.to_owned().into(), server, foreign: Arc::default() }
}

/// An API service as the cache has it.
async fn read(registry: &Registry, name: &str) -> Result<Option<APIService>, StatusError> {
    let rest = api_services(registry)?;
    let entry = match registry.get_cached(&rest, Target { namespace: "", name }).await {
        Ok(entry) => entry,
        Err(error) if error.code() == 404 => return Ok(None),
        Err(error) => return Err(error),
    };
    let object = rest.decode(entry.item()).await?;
    Ok(Some(object.expect_ref::<APIService>("APIService")?.clone()))
}

fn api_services(registry: &Registry) -> Result<Arc<Rest>, StatusError> {
    let (group, version, plural) = API_SERVICES;
    let rest = registry.find(group, version, plural);
    rest.ok_or_else(|| StatusError::internal("API services are not served"))
}

/// What has to happen about an API service; nothing where its name says nothing.
fn turn(name: String, service: Option<APIService>) -> Option<Turn> {
    let (version, group) = name.split_once('.')?;
    let (version, group) = (version.to_owned(), group.to_owned());
    let Some(service) = service else {
        return Some(Turn { name, group, version, priority: None, place: None, available: false, verdict: None });
    };
    let spec = service.spec.clone().unwrap_or_default();
    let priority = Some(Priority { group: spec.group_priority_minimum, version: spec.version_priority });
    let place = place(&spec).filter(|_| group != rows::API_SERVICES.group);
    let local = Verdict::local();
    let verdict = (spec.service.is_none() && !availability::says(&service, &local)).then_some(local);
    let available = availability::was_available(&service);
    Some(Turn { name, group, version, priority, place, available, verdict })
}

/// Where the server is that answers. This server cannot let another one say which servers there are.
fn place(spec: &APIServiceSpec) -> Option<Where> {
    let service = spec.service.as_ref()?;
    let belief = match spec.insecure_skip_tls_verify {
        Some(true) => Belief::Anybody,
        _ => Belief::In(spec.ca_bundle.clone().map(|bundle| bundle.0).unwrap_or_default()),
    };
    Some(Where {
        namespace: service.namespace.clone().unwrap_or_default(),
        name: service.name.clone().unwrap_or_default(),
        port: service.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
        belief,
    })
}
