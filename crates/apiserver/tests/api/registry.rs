//! The registry over a store of the test's own, without the server around it.

use std::sync::Arc;

use apiserver::{
    catalogue::Served,
    config::{Config, Flags},
    handlers::KubeletClient,
    registry::{Registry, admission::Admission},
    resources::{self, Means, service::Pools},
    reviews::Reviewer,
    storage::Store,
};
use clap::Parser;
use component::{CancellationToken, Daemon};

/// A registry of the whole table, in which no namespace is needed, and the pools of its services.
pub fn over(store: &Arc<dyn Store>) -> (Arc<Registry>, Pools) {
    component::daemon::install_crypto_provider();
    let config = Config::new(Flags::parse_from(["kube-apiserver", "--advertise-address=192.0.2.1"])).unwrap();
    let pools = resources::pools(store, &config.resources, config.services);
    let kubelet = KubeletClient::new(config.kubelet, config.kubelet_address_types, Daemon::new()).unwrap();
    let authorizer = config.authorization.authorizer;
    let reviewer = Reviewer { authenticator: config.authenticator, authorizer: authorizer.clone() };
    let means = Means { pools: pools.clone(), kubelet: Arc::new(kubelet), reviewer };
    let served = Arc::new(Served::new("192.0.2.1:6443", CancellationToken::new()));
    served.change(|draft| resources::serve(draft, store, &config.resources, &means)).unwrap();
    (Registry::new(store.clone(), served, authorizer, |_| Admission::default()), pools)
}
