//! Questions that are being asked: who asks the same meanwhile gets the same answer.

use std::collections::HashMap;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{LowerName, RecordType};
use parking_lot::Mutex;

use super::{ForwardError, Transport};

type Answer = Result<Message, ForwardError>;
type Key = (LowerName, RecordType, Transport);

/// When so many are noted, those that have ended are forgotten.
const FORGET_AT: usize = 2048;

/// See the module.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<Key, WeakShared<BoxFuture<'static, Answer>>>>,
}

impl Flights {
    /// The answer to a question; `ask` asks it, unless that is being done.
    pub(super) async fn join<F>(&self, query: &Query, transport: Transport, ask: impl FnOnce() -> F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let key = (LowerName::new(query.name()), query.query_type(), transport);
        self.flight(key, ask).await
    }

    fn flight<F>(&self, key: Key, ask: impl FnOnce() -> F) -> Shared<BoxFuture<'static, Answer>>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut under_way = self.under_way.lock();
        let known = under_way.get(&key).and_then(WeakShared::upgrade);
        if let Some(flight) = known.filter(|flight| flight.peek().is_none()) {
            return flight;
        }
        if under_way.len() >= FORGET_AT {
            under_way.retain(|_, flight| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        }
        let flight = ask().boxed().shared();
        if let Some(weak) = flight.downgrade() {
            under_way.insert(key, weak);
        }
        flight
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::Name;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_asks_the_same_waits_for_the_same_answer() {
        let (flights, asked) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let query = |name: &str| Query::query(Name::from_ascii(name).unwrap(), RecordType::A);
        let (release, held) = oneshot::channel::<()>();
        let mut held = Some(held);
        let mut ask = |name: &str| {
            let held = held.take();
            let counter = Arc::clone(&asked);
            let key = (LowerName::new(query(name).name()), RecordType::A, Transport::Udp);
            flights.flight(key, move || async move {
                counter.fetch_add(1, Ordering::SeqCst);
                if let Some(held) = held {
                    held.await.unwrap();
                }
                Ok(Message::new(7, MessageType::Response, OpCode::Query))
            })
        };
        let (mut first, second) = (ask("a.test."), ask("A.test."));
        assert!((&mut first).now_or_never().is_none());
        assert!(ask("b.test.").await.is_ok(), "others do not wait");
        release.send(()).unwrap();
        assert_eq!(second.await.unwrap().metadata.id, 7);
        assert!(first.await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(ask("a.test.").await.is_ok(), "what has landed is asked anew");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}
