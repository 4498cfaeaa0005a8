//! Exponential back-off with jitter.

use std::time::Duration;

/// Grows from `initial` by `factor` up to `max`; each delay is spread by up to a quarter, so that
/// many clients do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Doubles from `initial` to `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial }
    }

    /// For reconnecting to a server: 100 ms to 5 s.
    #[must_use]
    pub fn reconnect() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay.mul_f64(1.0 + rand::random::<f64>() / 4.0)
    }

    /// After a success: start from the beginning.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }
}
