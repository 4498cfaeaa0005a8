//! Slow start: many writes at once, but a server that refuses is asked only a few times.

use futures::future::join_all;

/// What became of a slow start.
#[derive(Debug, PartialEq, Eq)]
pub struct Started<E> {
    /// Calls that succeeded.
    pub succeeded: usize,
    /// Calls that were made and failed.
    pub failed: usize,
    /// The first failure; the batches after it were not started.
    pub error: Option<E>,
}

/// Calls `start` with the numbers below `count`, in batches of 1, 2, 4, 8…, and stops after a batch that had a failure.
pub async fn slow_start<F, Fut, E>(count: usize, start: F) -> Started<E>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let mut started = Started { succeeded: 0, failed: 0, error: None };
    let mut size = 1;
    while started.error.is_none() && started.succeeded < count {
        let batch = size.min(count - started.succeeded);
        let from = started.succeeded;
        for result in join_all((from..from + batch).map(&start)).await {
            match result {
                Ok(()) => started.succeeded += 1,
                Err(error) => {
                    started.failed += 1;
                    started.error.get_or_insert(error);
                }
            }
        }
        size *= 2;
    }
    started
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_failure_ends_it() {
        // Calls to make, calls that may succeed, calls made, successes.
        let cases = [(10, 10, 10, 10), (10, 0, 1, 0), (10, 4, 7, 4), (0, 0, 0, 0), (3, 2, 3, 2)];
        for (count, allowed, calls, succeeded) in cases {
            let made = Cell::new(0);
            let started = slow_start(count, |_| {
                made.set(made.get() + 1);
                let result = if made.get() <= allowed { Ok(()) } else { Err("no") };
                std::future::ready(result)
            })
            .await;
            assert_eq!((made.get(), started.succeeded), (calls, succeeded), "{count} with {allowed} allowed");
            assert_eq!(started.error.is_some(), calls > succeeded);
        }
    }
}
