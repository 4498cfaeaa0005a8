//! Where subnets come from, and where nodes tell each other of them.

pub mod allocate;
pub mod etcd;
pub mod nodes;

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use component::Daemon;
use serde_json::Value;
use tokio::sync::watch;

use crate::config::NetworkConfig;
use crate::lease::{Attributes, Lease, Told};

use allocate::Wishes;

/// Everybody's leases, this node's own among them; `None` before they are known.
pub type Everybody = watch::Receiver<Option<Arc<Told>>>;
/// Who tells of them.
type Tell = watch::Sender<Option<Arc<Told>>>;

/// Tells of what is news.
fn publish(tell: &Tell, told: Told) {
    tell.send_if_modified(|last| {
        let is_news = last.as_deref() != Some(&told);
        if is_news {
            *last = Some(Arc::new(told));
        }
        is_news
    });
}

/// A subnet manager.
#[async_trait]
pub trait Subnets: Send + Sync + 'static {
    /// The network's configuration. Waits until there is one.
    async fn config(&self) -> anyhow::Result<NetworkConfig>;

    /// What the backend of this node left behind in an earlier life, so that it can be the same again.
    async fn backend_data(&self, own: &Attributes) -> anyhow::Result<Option<Value>>;

    /// Where the other nodes find this one, if somebody who knows better than its interface has said so.
    async fn public_ip(&self) -> anyhow::Result<Option<Ipv4Addr>> {
        Ok(None)
    }

    /// A subnet for this node: the one that it had, if it can have it again. Waits until there is one.
    ///
    /// # Errors
    /// When there is none to be had.
    async fn acquire(&self, config: &NetworkConfig, own: &Attributes, wishes: Wishes) -> anyhow::Result<Lease>;

    /// Keeps this node's lease, and tells of everybody's, until shutdown. When the lease cannot be kept, or the
    /// configuration has changed, the daemon is told to end: started again, it begins anew.
    fn start(&self, config: NetworkConfig, own: Lease, daemon: &Daemon) -> Everybody;
}
