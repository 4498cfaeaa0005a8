//! Keys of what has changed, each once, and the mark that all there is has been noted.
//!
//! The mark and the keys are under one lock and are read together, so that the one cannot overtake the others: who is
//! told for the first time is told of everything.

use std::collections::BTreeSet;

use component::informer::ObjectKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A set of keys with a bell. Bounded by the number of distinct keys.
#[derive(Debug, Default)]
pub struct Inbox {
    noted: Mutex<Noted>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    keys: BTreeSet<ObjectKey>,
    stage: Stage,
}

/// How far the source has come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It has more than was noted.
    #[default]
    Partial,
    /// All that it has was noted, and nobody has been told.
    Complete,
    /// All that it had has been told.
    Told,
}

impl Inbox {
    /// Notes a key.
    pub fn push(&self, key: ObjectKey) {
        self.noted.lock().keys.insert(key);
        self.bell.notify_one();
    }

    /// Notes that a key of everything that the source has is among those noted so far.
    pub fn complete(&self) {
        let mut noted = self.noted.lock();
        if noted.stage == Stage::Partial {
            noted.stage = Stage::Complete;
        }
        drop(noted);
        self.bell.notify_one();
    }

    /// Everything noted since the last call; waits until there is something. The first answer waits for
    /// [`Inbox::complete`], is everything that the source has, and may be empty. Cancel-safe.
    pub async fn next(&self) -> BTreeSet<ObjectKey> {
        loop {
            if let Some(keys) = self.noted.lock().take() {
                return keys;
            }
            self.bell.notified().await;
        }
    }
}

impl Noted {
    fn take(&mut self) -> Option<BTreeSet<ObjectKey>> {
        match self.stage {
            Stage::Partial => return None,
            Stage::Complete => self.stage = Stage::Told,
            Stage::Told if self.keys.is_empty() => return None,
            Stage::Told => {}
        }
        Some(std::mem::take(&mut self.keys))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_first_answer_is_everything() {
        let inbox = Inbox::default();
        let told = || inbox.next().now_or_never().map(|keys| keys.into_iter().map(|key| key.name).collect::<Vec<_>>());
        let push = |name: &str| inbox.push(ObjectKey::new("ns", name));
        push("a");
        assert_eq!(told(), None, "more is to come");
        push("b");
        inbox.complete();
        assert_eq!(told().unwrap(), ["a", "b"]);
        assert_eq!(told(), None);
        inbox.complete();
        assert_eq!(told(), None, "that was known");
        push("a");
        assert_eq!(told().unwrap(), ["a"]);
    }

    #[test]
    fn an_empty_source_is_told_of_too() {
        let inbox = Inbox::default();
        inbox.complete();
        assert_eq!(inbox.next().now_or_never(), Some(BTreeSet::new()));
        assert_eq!(inbox.next().now_or_never(), None);
    }
}
