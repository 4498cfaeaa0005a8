//! Answers that hold for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many answers are kept, so that nobody can fill the memory with questions.
const ROOM: usize = 4096;

/// Answers by question.
pub(super) struct Cache<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// The answer, if it still holds.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let answers = self.0.lock();
        answers.get(key).filter(|(_, until)| Instant::now() < *until).map(|(value, _)| value.clone())
    }

    /// Keeps an answer. Where there is no room, what does not hold any more makes some; if that is nothing, all of it.
    pub(super) fn put(&self, key: K, value: V, ttl: Duration) {
        let now = Instant::now();
        // A time to live beyond the clock's end is none that could be kept to.
        let Some(until) = now.checked_add(ttl) else { return };
        let mut answers = self.0.lock();
        if answers.len() >= ROOM {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() >= ROOM {
            answers.clear();
        }
        answers.insert(key, (value, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_hold_for_a_while_and_do_not_pile_up() {
        let cache = Cache::default();
        cache.put("a", 1, Duration::from_secs(10));
        cache.put("b", 2, Duration::ZERO);
        cache.put("c", 3, Duration::MAX);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"c")), (Some(1), None, None));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(cache.get(&"a"), None);
        let many = Cache::default();
        for number in 0..ROOM * 2 + 1 {
            many.put(number, (), Duration::from_secs(10));
        }
        assert!(many.0.lock().len() <= ROOM);
        assert_eq!(many.get(&(ROOM * 2)), Some(()));
    }
}
