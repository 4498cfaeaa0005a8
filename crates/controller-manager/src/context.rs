//! What a controller is given.

use std::sync::Arc;

use component::{
    Daemon,
    informer::{Informer, Informers, Item},
    recorder::Recorder,
};
use kube::Client;

use crate::{options::Config, pod_control::PodControl, slim};

/// What a controller is given to register its handlers and to run.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Ends with the leadership.
    pub daemon: Daemon,
    /// The flags' meaning.
    pub config: Arc<Config>,
    informers: Informers,
}

impl Context {
    /// A context without informers yet, except for the pods with their indexes.
    #[must_use]
    pub fn new(client: Client, daemon: Daemon, config: Arc<Config>) -> Self {
        let informers = Informers::new();
        let mut pods = informers.of::<slim::Pod>();
        for (name, index) in slim::POD_INDEXES {
            pods = pods.with_index(name, *index);
        }
        drop(pods);
        Self { client, daemon, config, informers }
    }

    /// The informer of `T`, shared by all controllers.
    #[must_use]
    pub fn informer<T: Item<DynamicType = ()>>(&self) -> Informer<T> {
        self.informers.of()
    }

    /// A recorder of events whose source is `component`.
    #[must_use]
    pub fn recorder(&self, component: &str) -> Recorder {
        Recorder::new(self.client.clone(), component, "", &self.daemon)
    }

    /// What creates and deletes pods, with events whose source is `component`.
    #[must_use]
    pub fn pod_control(&self, component: &str) -> PodControl {
        PodControl { client: self.client.clone(), recorder: self.recorder(component) }
    }

    /// Starts the informers that controllers have asked for and waits for their first lists.
    pub async fn start_informers(&self) {
        self.informers.start(&self.client, &self.daemon);
        self.informers.synced().await;
    }
}
