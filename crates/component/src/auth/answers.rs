//! Answers of somebody else that stay good for a while.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How many answers are remembered.
const REMEMBERED: usize = 4096;

/// Answers that stay good for a while.
pub struct Answers<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    /// An answer that is still good.
    pub fn get(&self, key: &K) -> Option<V> {
        let answers = self.0.lock();
        let (until, value) = answers.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    /// Remembers an answer for a while.
    pub fn put(&self, key: K, value: V, ttl: Duration) {
        let Some(until) = Instant::now().checked_add(ttl) else { return };
        let mut answers = self.0.lock();
        if answers.len() >= REMEMBERED {
            answers.retain(|_, (until, _)| *until > Instant::now());
        }
        // Nobody can fill the memory with questions.
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
        answers.insert(key, (until, value));
    }
}

impl<K: Eq + Hash, V: Clone> Default for Answers<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_do_not_pile_up() {
        let answers = Answers::new();
        answers.put(0, (), Duration::MAX);
        assert_eq!(answers.get(&0), None, "a time beyond the clock's end cannot be kept to");
        for number in 0..REMEMBERED * 2 + 1 {
            answers.put(number, (), Duration::from_secs(600));
        }
        assert!(answers.0.lock().len() <= REMEMBERED);
        assert_eq!(answers.get(&(REMEMBERED * 2)), Some(()));
    }
}
