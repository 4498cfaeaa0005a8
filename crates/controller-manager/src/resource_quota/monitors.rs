//! Informers of what quotas count. One is started when the first quota wants to know: a cluster without quotas pays
//! nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::{
    core::{PersistentVolumeClaim, Pod, ResourceQuota, Service},
    quota::{Counted, Subject},
};
use component::{
    Daemon,
    informer::{Event, Informer, Scope},
};
use futures::future::BoxFuture;
use kube::Client;
use parking_lot::Mutex;

use super::{
    counted::{Used, Uses},
    plan,
};
use crate::{
    discovery::{DeletableResource, discover},
    garbage_collector::tracked::Tracked,
};

/// Told of the namespace in which something is used no longer, or otherwise.
type Notify = Arc<dyn Fn(&str) + Send + Sync>;
/// Group and plural.
type Name = (String, String);

/// The objects of a resource as quotas count them.
trait Monitor: Send + Sync {
    fn subjects(&self, namespace: &str) -> Vec<Subject>;
    fn synced(&self) -> BoxFuture<'_, ()>;
}

impl<T: Uses> Monitor for Informer<Used<T>> {
    fn subjects(&self, namespace: &str) -> Vec<Subject> {
        self.store().list_namespace(namespace).iter().map(|object| object.subject.clone()).collect()
    }

    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(Informer::synced(self))
    }
}

/// Objects of which only the number counts.
struct Numbered {
    informer: Informer<Tracked>,
    subject: Subject,
}

impl Monitor for Numbered {
    fn subjects(&self, namespace: &str) -> Vec<Subject> {
        vec![self.subject.clone(); self.informer.store().list_namespace(namespace).len()]
    }

    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.informer.synced())
    }
}

/// How long a first list may take: a quota whose objects cannot be listed must not keep others waiting.
const SYNC: Duration = Duration::from_secs(30);

/// All of them.
pub(super) struct Monitors {
    client: Client,
    daemon: Daemon,
    notify: Notify,
    by_resource: Mutex<HashMap<Name, Arc<dyn Monitor>>>,
}

/// What a quota counts.
pub(super) struct OfQuota(Vec<(Counted, Arc<dyn Monitor>)>);

impl OfQuota {
    /// What there is in a namespace.
    pub(super) fn subjects(&self, namespace: &str) -> Vec<(&Counted, Vec<Subject>)> {
        self.0.iter().map(|(counted, monitor)| (counted, monitor.subjects(namespace))).collect()
    }
}

impl Monitors {
    pub(super) fn new(client: Client, daemon: &Daemon, notify: Notify) -> Self {
        Self { client, daemon: daemon.clone(), notify, by_resource: Mutex::default() }
    }

    /// What a quota counts, as soon as it is all known. What is not served is not counted.
    pub(super) async fn of(&self, quota: &ResourceQuota) -> Result<OfQuota, kube::Error> {
        let mut of_quota = Vec::new();
        let mut served: Option<Vec<DeletableResource>> = None;
        for (name, counted) in plan::counted(quota) {
            let known = self.by_resource.lock().get(&name).cloned();
            let monitor = match known {
                Some(monitor) => Some(monitor),
                None => {
                    if served.is_none() && matches!(counted, Counted::Number { .. }) {
                        served = Some(discover(&self.client).await?.resources);
                    }
                    self.start(&name, &counted, served.as_deref().unwrap_or_default())
                }
            };
            if let Some(monitor) = monitor {
                let synced = tokio::time::timeout(SYNC, monitor.synced()).await;
                synced.map_err(|late| kube::Error::Service(late.into()))?;
                of_quota.push((counted, monitor));
            }
        }
        Ok(OfQuota(of_quota))
    }

    fn start(&self, name: &Name, counted: &Counted, served: &[DeletableResource]) -> Option<Arc<dyn Monitor>> {
        let mut all = self.by_resource.lock();
        if let Some(monitor) = all.get(name) {
            return Some(monitor.clone());
        }
        let monitor: Arc<dyn Monitor> = match counted {
            Counted::Pods => Arc::new(self.used::<Pod>()),
            Counted::Services => Arc::new(self.used::<Service>()),
            Counted::Claims => Arc::new(self.used::<PersistentVolumeClaim>()),
            Counted::Number { .. } => {
                let is_it = |own: &&DeletableResource| own.group == name.0 && own.plural == name.1;
                let resource = served.iter().find(is_it).filter(|own| own.watchable && own.namespaced)?;
                Arc::new(Numbered { informer: self.numbered(resource), subject: counted.number() })
            }
        };
        all.insert(name.clone(), monitor.clone());
        Some(monitor)
    }

    fn used<T: Uses>(&self) -> Informer<Used<T>> {
        let informer = Informer::<Used<T>>::new(&(), &Scope::default());
        let notify = self.notify.clone();
        informer.on_event(move |event| match event {
            Event::Updated { old, new } if old.subject != new.subject => notify(new.namespace()),
            Event::Deleted(object) => notify(object.namespace()),
            Event::Added(_) | Event::Updated { .. } => {}
        });
        informer.start(self.client.clone(), &self.daemon);
        informer
    }

    fn numbered(&self, resource: &DeletableResource) -> Informer<Tracked> {
        let informer = Informer::<Tracked>::new(resource, &Scope::default());
        let notify = self.notify.clone();
        informer.on_event(move |event| {
            if let Event::Deleted(object) = event {
                notify(object.namespace());
            }
        });
        informer.start(self.client.clone(), &self.daemon);
        informer
    }
}
