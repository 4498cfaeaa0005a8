//! Calls to etcd that always end, and what their errors mean.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use etcd_client::Error;
use tokio::time::{sleep, timeout};

use crate::storage::{Result, StoreError};

/// The first and the longest pause between attempts.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What an error of a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// There was no connection, so etcd has not seen the request.
    NotSent,
    /// The answer was lost, or etcd does not know itself.
    Lost,
    /// etcd refused the request.
    Refused,
}

/// The codes of gRPC with which etcd refuses: invalid argument, not found, already exists, permission denied, resource
/// exhausted, failed precondition, out of range, unimplemented, unauthenticated.
const REFUSALS: [i32; 9] = [3, 5, 6, 7, 8, 9, 11, 12, 16];

/// The codes of gRPC for a revision out of range, and for a missing lease.
const OUT_OF_RANGE: i32 = 11;
const NOT_FOUND: i32 = 5;

/// Tells what an error means.
pub fn meaning(error: &Error) -> Meaning {
    match error {
        Error::GRpcStatus(status) if REFUSALS.contains(&(status.code() as i32)) => Meaning::Refused,
        Error::GRpcStatus(status) if never_connected(status) => Meaning::NotSent,
        Error::TransportError(error) if never_connected(error) => Meaning::NotSent,
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => Meaning::Refused,
        _ => Meaning::Lost,
    }
}

fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(refused_connection) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn refused_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// Whether etcd says that a revision is compacted or has not happened.
pub fn is_out_of_range(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.code() as i32 == OUT_OF_RANGE)
}

/// Whether etcd says that the lease is gone.
pub fn is_lease_gone(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.code() as i32 == NOT_FOUND && status.message().contains("lease"))
}

/// Whether etcd, or its gRPC server, says that a request is too large.
pub fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status)
        if status.message().contains("too large") || status.message().contains("larger than max"))
}

/// Whether etcd says that it takes no more.
pub fn is_full(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains("database space exceeded"))
}

/// Whether a call that failed may be made again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing.
    Always,
    /// It is a write: only if etcd has not seen it.
    IfNotSent,
}

/// Why a call failed.
pub enum Failure {
    /// etcd refused it.
    Refused(Error),
    /// There was no answer.
    Store(StoreError),
}

/// Makes a call, again while that is safe, until `limit` is over.
pub async fn call<T, F>(
    operation: &'static str,
    repeat: Repeat,
    limit: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Error>>,
{
    let in_flight = AtomicBool::new(false);
    let attempts = async {
        let mut pause = BACK_OFF.0;
        loop {
            in_flight.store(true, Ordering::Relaxed);
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match (meaning(&error), repeat) {
                (Meaning::Refused, _) => return Err(Failure::Refused(error)),
                (Meaning::Lost, Repeat::IfNotSent) => {
                    return Err(Failure::Store(StoreError::undetermined(operation, error)));
                }
                (Meaning::NotSent, _) | (Meaning::Lost, Repeat::Always) => {}
            }
            in_flight.store(false, Ordering::Relaxed);
            tracing::debug!(operation, %error, "etcd does not answer");
            sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    };
    match timeout(limit, attempts).await {
        Ok(outcome) => outcome,
        Err(elapsed) if in_flight.load(Ordering::Relaxed) && repeat == Repeat::IfNotSent => {
            Err(Failure::Store(StoreError::undetermined(operation, elapsed)))
        }
        Err(elapsed) => Err(Failure::Store(StoreError::unavailable(operation, elapsed))),
    }
}

impl Failure {
    /// The error, where a refusal has no meaning of its own.
    pub fn into_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Refused(error) => StoreError::unavailable(operation, error),
            Self::Store(error) => error,
        }
    }
}
