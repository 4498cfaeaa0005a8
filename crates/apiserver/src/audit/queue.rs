//! Events that are written by a task of their own, many at a time.
//!
//! What waits is bounded, in number and in bytes, and so is what is being written. Beyond that, whoever waits for an
//! event waits for room, and other events are lost. An event that is queued is written, whether somebody waits or not:
//! a client that goes away takes nothing with it.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use component::{CancellationToken, Daemon};
use futures::future::BoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Metrics,
    output::{Batching, Target, Throttle},
};

/// How many bytes of events wait or are being written.
const ROOM: usize = 64 << 20;

/// Events that wait.
pub struct Queue {
    events: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    name: &'static str,
    metrics: Metrics,
}

struct Queued {
    event: Bytes,
    room: OwnedSemaphorePermit,
    /// Who waits to be told that it is written.
    told: Option<Told>,
}

impl Queue {
    /// Starts the task that writes what is queued. It ends when the queue is dropped and everything is written.
    pub fn start(target: Target, batching: Batching, batch_bytes: usize, metrics: Metrics, daemon: &Daemon) -> Self {
        let (events, queued) = mpsc::channel(batching.buffer.clamp(1, Semaphore::MAX_PERMITS));
        let bucket = batching.throttle.map(Bucket::full);
        let (name, shutdown) = (target.name(), daemon.shutdown.clone());
        let queue = Self { events, room: Arc::new(Semaphore::new(ROOM)), name, metrics: metrics.clone() };
        let worker = Worker { queued, carried: None, target, batching, batch_bytes, bucket, metrics, shutdown };
        daemon.spawn(worker.run());
        queue
    }

    /// Queues an event; false when there is no room.
    pub fn push(&self, event: Bytes) -> bool {
        self.try_push(event, None).is_ok()
    }

    /// Queues an event, at once where there is room. The answer is false when it could not be written.
    pub fn submit(&self, event: Bytes) -> BoxFuture<'static, bool> {
        let (told, written) = oneshot::channel();
        let Err((event, told)) = self.try_push(event, Some(told)) else {
            return Box::pin(async { written.await.is_ok() });
        };
        let (events, room) = (self.events.clone(), self.room.clone());
        let unsaid = Unsaid { name: self.name, metrics: self.metrics.clone(), queued: false };
        Box::pin(async move {
            let mut unsaid = unsaid;
            let size = u32::try_from(event.len()).ok().filter(|size| *size as usize <= ROOM);
            let Some(size) = size else { return false };
            let Ok(room) = room.acquire_many_owned(size).await else { return false };
            unsaid.queued = events.send(Queued { event, room, told }).await.is_ok();
            unsaid.queued && written.await.is_ok()
        })
    }

    /// Gives back what there is no room for.
    fn try_push(&self, event: Bytes, told: Option<Told>) -> Result<(), (Bytes, Option<Told>)> {
        let size = u32::try_from(event.len()).ok();
        let Some(room) = size.and_then(|size| self.room.clone().try_acquire_many_owned(size).ok()) else {
            return Err((event, told));
        };
        self.events.try_send(Queued { event, room, told }).map_err(|error| {
            let queued = error.into_inner();
            (queued.event, queued.told)
        })
    }
}

/// Tells that an event is written; dropped when it is not.
type Told = oneshot::Sender<()>;

/// Counts an event as lost whose request ended before there was room.
struct Unsaid {
    name: &'static str,
    metrics: Metrics,
    queued: bool,
}

impl Drop for Unsaid {
    fn drop(&mut self) {
        if !self.queued {
            self.metrics.lost(self.name, 1, "there was no room before the request ended");
        }
    }
}

struct Worker {
    queued: mpsc::Receiver<Queued>,
    /// What did not fit into the last batch.
    carried: Option<Queued>,
    target: Target,
    batching: Batching,
    /// The most that is written at a time, in bytes.
    batch_bytes: usize,
    bucket: Option<Bucket>,
    metrics: Metrics,
    shutdown: CancellationToken,
}

impl Worker {
    async fn run(mut self) {
        let mut under_way = JoinSet::new();
        while let Some(batch) = self.collect().await {
            if let Some(bucket) = &mut self.bucket {
                let wait = bucket.take(Instant::now());
                self.shutdown.run_until_cancelled(sleep(wait)).await;
            }
            while under_way.len() >= self.batching.parallel {
                under_way.join_next().await;
            }
            under_way.spawn(deliver(self.target.clone(), batch, self.metrics.clone(), self.shutdown.clone()));
        }
        while under_way.join_next().await.is_some() {}
    }

    /// The next batch, which is never empty; `None` when there will be none.
    async fn collect(&mut self) -> Option<Vec<Queued>> {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => self.queued.recv().await?,
        };
        let end = Instant::now().checked_add(self.batching.max_wait);
        let shutdown = self.shutdown.clone();
        let (mut bytes, mut batch) = (first.event.len(), vec![first]);
        while batch.len() < self.batching.max_size {
            let ends = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                next = self.queued.recv() => next,
                () = ends => None,
                () = shutdown.cancelled() => None,
            };
            let Some(next) = next else { break };
            if bytes.saturating_add(next.event.len()) > self.batch_bytes {
                self.carried = Some(next);
                break;
            }
            bytes += next.event.len();
            batch.push(next);
        }
        Some(batch)
    }
}

async fn deliver(target: Target, batch: Vec<Queued>, metrics: Metrics, shutdown: CancellationToken) {
    let name = target.name();
    let (mut events, mut others) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for Queued { event, room, told } in batch {
        events.push(event);
        others.push((room, told));
    }
    match target.deliver(events, shutdown).await {
        Ok(()) => {
            for told in others.into_iter().filter_map(|(_, told)| told) {
                // Whoever waited may have gone away.
                let _ = told.send(());
            }
        }
        Err(why) => metrics.lost(name, others.len(), &why),
    }
}

/// Lets batches through at a rate.
struct Bucket {
    rate: Throttle,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Throttle) -> Self {
        Self { rate, left: rate.burst, at: Instant::now() }
    }

    /// Takes one; answers how long to wait for it.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate.qps).min(self.rate.burst) - 1.0;
        self.at = now;
        Duration::try_from_secs_f64((-self.left / self.rate.qps).max(0.0)).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_lets_a_burst_through_and_then_a_rate() {
        let mut bucket = Bucket::full(Throttle { qps: 2.0, burst: 2.0 });
        let start = Instant::now();
        let mut take = |after: u64| bucket.take(start + Duration::from_millis(after)).as_millis();
        assert_eq!([take(0), take(0), take(0), take(0)], [0, 0, 500, 1000]);
        assert_eq!([take(1500), take(10_000), take(10_000), take(10_000)], [0, 0, 0, 500]);
    }
}
