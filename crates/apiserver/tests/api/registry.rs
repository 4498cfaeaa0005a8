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
    let kubelet = KubeletClient::new(config.kubelet, config.kubelet_address_types, Daemon::new()).unwrap();
    let served = Arc::new(Served::new("192.0.2.1:6443", CancellationToken::new()));
    let authorizer = config.authorization.authorizer;
    let registry = Registry::new(store.clone(), served.clone(), authorizer.clone(), |_| Admission::default());
    let pools = resources::pools(store, registry.handle(), &config.resources, config.services);
    let issuing = config.authentication.issuing.clone();
    let authenticator = config.authentication.build(&registry.handle());
    let reviewer = Reviewer { authenticator, authorizer };
    let means = Means { pools: pools.clone(), kubelet: Arc::new(kubelet), reviewer, issuing };
    served.change(|draft| resources::serve(draft, store, &config.resources, &means)).unwrap();
    (registry, pools)
}
