//! Leases for values with a time to live. A lease costs etcd more than a key, so values with the same time to live that
//! are written shortly after each other share one, as upstream does.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use etcd_client::LeaseClient;
use tokio::{sync::Mutex, time::timeout};

use super::call::{Repeat, call};
use crate::storage::{Result, StoreError, Ttl};

/// A lease is granted for longer than the time to live by this part of it, within which it is shared; upstream's value.
const SHARED_PART: u32 = 20;

/// But for no longer than so many seconds; upstream's value.
const SHARED_AT_MOST: u32 = 60;

/// The most keys on one lease; upstream's value. etcd deletes them all at once.
const MAX_KEYS: u32 = 1000;

/// The leases that can be shared.
pub struct Leases {
    client: LeaseClient,
    limit: Duration,
    by_ttl: Mutex<HashMap<Ttl, Lease>>,
}

struct Lease {
    id: i64,
    ends: Instant,
    keys: u32,
}

impl Leases {
    /// No leases yet; `limit` is how long granting one may take.
    pub fn new(client: LeaseClient, limit: Duration) -> Self {
        Self { client, limit, by_ttl: Mutex::default() }
    }

    /// A lease that lives at least as long as asked.
    pub async fn for_ttl(&self, ttl: Ttl) -> Result<i64> {
        // While etcd does not answer, those who wait must not wait for each other's time-outs.
        let locked = timeout(self.limit, self.by_ttl.lock()).await;
        let mut by_ttl = locked.map_err(|elapsed| StoreError::unavailable("grant lease", elapsed))?;
        let now = Instant::now();
        let needed = now + Duration::from_secs(ttl.as_seconds().into());
        by_ttl.retain(|_, lease| lease.ends > now);
        if let Some(lease) = by_ttl.get_mut(&ttl)
            && lease.ends >= needed
            && lease.keys < MAX_KEYS
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        let shared = (ttl.as_seconds() / SHARED_PART).min(SHARED_AT_MOST);
        let granted = i64::from(ttl.as_seconds()) + i64::from(shared);
        let grant = || {
            let mut client = self.client.clone();
            async move { client.grant(granted, None).await }
        };
        let answer = call("grant lease", Repeat::Always, self.limit, grant).await;
        let answer = answer.map_err(|failure| failure.into_error("grant lease"))?;
        let ends = now + Duration::from_secs(granted.unsigned_abs());
        by_ttl.insert(ttl, Lease { id: answer.id(), ends, keys: 1 });
        Ok(answer.id())
    }

    /// Forgets a lease that etcd does not know any more.
    pub async fn forget(&self, id: i64) {
        self.by_ttl.lock().await.retain(|_, lease| lease.id != id);
    }
}
