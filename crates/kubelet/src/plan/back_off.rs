//! How long a container that keeps ending must wait before it starts again.

use std::collections::HashMap;
use std::time::Duration;

use api_types::jiff::{SignedDuration, Timestamp};

/// Upstream's first delay and cap; after twice the cap without a restart all is forgotten.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
const FORGIVEN: SignedDuration = SignedDuration::from_secs(600);

/// The back-offs of one pod's containers, by name.
#[derive(Debug, Clone)]
pub struct BackOffs {
    entries: HashMap<String, Entry>,
    /// The first delay.
    first: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// How long the next start waits.
    delay: Duration,
    /// When the container was last started again.
    at: Timestamp,
}

impl Default for BackOffs {
    fn default() -> Self {
        Self { entries: HashMap::new(), first: FIRST }
    }
}

impl BackOffs {
    /// Back-offs that begin with another delay than upstream's 10 s.
    #[must_use]
    pub fn starting_with(first: Duration) -> Self {
        Self { first, ..Self::default() }
    }

    /// The present delay and its end, if the container, which ended at `ended`, must still wait.
    #[must_use]
    pub fn waiting(&self, name: &str, ended: Timestamp, now: Timestamp) -> Option<(Duration, Timestamp)> {
        let entry = self.entries.get(name)?;
        if ended.duration_since(entry.at) > FORGIVEN {
            return None;
        }
        let until = ended.checked_add(entry.delay).unwrap_or(Timestamp::MAX);
        (now < until).then_some((entry.delay, until))
    }

    /// The container, which ended at `ended`, is started again now: the next time it waits longer.
    pub fn restarted(&mut self, name: &str, ended: Timestamp, now: Timestamp) {
        let delay = match self.entries.get(name) {
            Some(entry) if ended.duration_since(entry.at) <= FORGIVEN => (entry.delay * 2).min(LONGEST),
            _ => self.first,
        };
        self.entries.insert(name.to_owned(), Entry { delay, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn delays_double_up_to_five_minutes_and_are_forgiven() {
        let mut back_offs = BackOffs::default();
        assert_eq!(back_offs.waiting("c", at(0), at(0)), None, "the first restart is immediate");
        let mut now = 0;
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            back_offs.restarted("c", at(now), at(now));
            let waiting = back_offs.waiting("c", at(now + 1), at(now + 2));
            assert_eq!(waiting, Some((Duration::from_secs(expected), at(now + 1 + i64::try_from(expected).unwrap()))));
            now += 1 + i64::try_from(expected).unwrap();
            assert_eq!(back_offs.waiting("c", at(now), at(now + 301)), None);
        }
        let much_later = now + 1000;
        assert_eq!(back_offs.waiting("c", at(much_later), at(much_later)), None, "ten good minutes");
        back_offs.restarted("c", at(much_later), at(much_later));
        let waiting = back_offs.waiting("c", at(much_later + 1), at(much_later + 1));
        assert_eq!(waiting.map(|(delay, _)| delay), Some(Duration::from_secs(10)));
    }
}
