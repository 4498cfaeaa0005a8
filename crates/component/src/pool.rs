//! Values that repeat, held once.

use std::{borrow::Borrow, collections::HashSet, fmt, hash::Hash, sync::Arc};

use parking_lot::Mutex;

/// The least number of values among which it is worth looking for some that nobody holds any more.
const SWEEP: usize = 1024;

/// Hands out one shared copy of equal values. What nobody holds any more is forgotten in time: there are never more than
/// twice as many values as were in use at the last look, or [`SWEEP`].
pub struct Pool<T: ?Sized>(Mutex<State<T>>);

struct State<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// How many there may be before the next look.
    limit: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(State { values: HashSet::new(), limit: SWEEP }))
    }
}

impl<T: ?Sized> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.0.lock().values.len())
    }
}

impl<T: Eq + Hash + ?Sized> Pool<T> {
    /// The shared copy of a value.
    pub fn share(&self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        let mut state = self.0.lock();
        if let Some(known) = state.values.get(value.borrow()) {
            return Arc::clone(known);
        }
        if state.values.len() >= state.limit {
            state.values.retain(|value| Arc::strong_count(value) > 1);
            state.limit = (state.values.len() * 2).max(SWEEP);
        }
        let shared = value.into();
        state.values.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let pool = Pool::<str>::default();
        let (a, b) = (pool.share("a".to_owned()), pool.share("a"));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &pool.share("b")));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let pool = Pool::<str>::default();
        let held = pool.share("held");
        for i in 0..10 * SWEEP {
            pool.share(i.to_string());
        }
        assert!(pool.0.lock().values.len() <= SWEEP);
        assert!(Arc::ptr_eq(&held, &pool.share("held")));
    }
}
