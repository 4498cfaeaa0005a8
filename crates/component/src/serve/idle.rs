//! Connections on which nobody asks for anything.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{sync::Notify, time::Instant};

/// The requests of one connection.
pub(super) struct Requests {
    open: AtomicUsize,
    /// How many there have been.
    asked: AtomicUsize,
    begun: Instant,
    /// When the last one ended, in milliseconds since the beginning.
    quiet_since: AtomicU64,
    quiet: Notify,
}

impl Requests {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            begun: Instant::now(),
            quiet_since: AtomicU64::new(0),
            quiet: Notify::new(),
        })
    }

    /// Counts a request until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::AcqRel);
        Open(self.clone())
    }

    /// Whether there ever was a request, and since when there is none; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<(bool, Instant)> {
        if self.open.load(Ordering::Acquire) > 0 {
            return None;
        }
        let since = Duration::from_millis(self.quiet_since.load(Ordering::Acquire));
        Some((self.asked.load(Ordering::Relaxed) > 0, self.begun + since))
    }

    /// Returns when there was no request for `first` from the beginning, or for `next` after one.
    pub(super) async fn idle(&self, first: Duration, next: Duration) {
        loop {
            while self.open.load(Ordering::Acquire) > 0 {
                self.quiet.notified().await;
            }
            let asked = self.asked.load(Ordering::Relaxed);
            let limit = if asked == 0 { first } else { next };
            let since = Duration::from_millis(self.quiet_since.load(Ordering::Acquire));
            tokio::time::sleep_until(self.begun + since + limit).await;
            if self.open.load(Ordering::Acquire) == 0 && self.asked.load(Ordering::Relaxed) == asked {
                return;
            }
        }
    }
}

/// A request that is being answered.
pub(super) struct Open(Arc<Requests>);

impl Open {
    /// A response's body, until whose end the request is open.
    pub(super) fn until_the_end_of<B>(self, body: B) -> Counted<B> {
        Counted { body, _open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.quiet_since.store(since, Ordering::Release);
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_one();
        }
    }
}

pin_project! {
    /// A body whose request is open until it is dropped.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        _open: Open,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
