//! Room for the bodies that are read while their requests have no place among those that run.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of all room that one user may have: an eighth, so that one who sends slowly leaves room to others.
const SHARE: usize = 8;

/// All room, of which every user has a share at most.
pub(super) struct Room {
    all: Arc<Semaphore>,
    share: usize,
    /// The shares of those who take any now.
    users: Mutex<HashMap<String, Weak<Share>>>,
}

/// What one user may still take.
pub(super) struct Share {
    room: Arc<Room>,
    user: String,
    left: Arc<Semaphore>,
}

/// Room that is taken until this is dropped.
pub struct Taken {
    all: OwnedSemaphorePermit,
    share: OwnedSemaphorePermit,
}

impl Room {
    /// Room for so many bytes, of which one user may always have `least`.
    pub(super) fn new(bytes: usize, least: usize) -> Arc<Self> {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        let share = (bytes / SHARE).max(least).min(bytes);
        Arc::new(Self { all: Arc::new(Semaphore::new(bytes)), share, users: Mutex::default() })
    }

    /// The share of a user, the same for all of the user's requests.
    pub(super) fn of(self: &Arc<Self>, user: &str) -> Arc<Share> {
        let mut users = self.users.lock();
        if let Some(share) = users.get(user).and_then(Weak::upgrade) {
            return share;
        }
        let left = Arc::new(Semaphore::new(self.share));
        let share = Arc::new(Share { room: self.clone(), user: user.to_owned(), left });
        users.insert(user.to_owned(), Arc::downgrade(&share));
        share
    }
}

impl Share {
    /// Takes so many bytes, if the user and all together have that much left.
    pub(super) fn take(&self, bytes: usize) -> Option<Taken> {
        let bytes = u32::try_from(bytes).ok()?;
        let share = self.left.clone().try_acquire_many_owned(bytes).ok()?;
        let all = self.room.all.clone().try_acquire_many_owned(bytes).ok()?;
        Some(Taken { all, share })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut users = self.room.users.lock();
        // Another may have begun since the last of these ended.
        if users.get(&self.user).is_some_and(|own| own.strong_count() == 0) {
            users.remove(&self.user);
        }
    }
}

impl Taken {
    /// Both as one.
    pub fn merge(&mut self, other: Self) {
        self.all.merge(other.all);
        self.share.merge(other.share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_room_to_others() {
        let room = Room::new(800, 10);
        let a = room.of("a");
        let mut taken = a.take(60).expect("there is room");
        taken.merge(room.of("a").take(40).expect("there is a share"));
        assert!(room.of("a").take(1).is_none(), "more than a share");
        let others: Vec<_> = (0..7).map(|n| room.of(&format!("{n}")).take(100).expect("others have theirs")).collect();
        assert!(room.of("b").take(1).is_none(), "more than all");
        drop((taken, others));
        assert!(a.take(100).is_some());
    }

    #[test]
    fn small_room_is_one_users_if_it_must() {
        assert!(Room::new(20, 10).of("a").take(10).is_some());
        assert!(Room::new(20, 30).of("a").take(20).is_some());
    }

    #[test]
    fn who_takes_nothing_is_forgotten() {
        let room = Room::new(800, 10);
        let (a, again) = (room.of("a"), room.of("a"));
        drop(a);
        assert_eq!(room.users.lock().len(), 1);
        drop(again);
        assert!(room.users.lock().is_empty());
    }
}
