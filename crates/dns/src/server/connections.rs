//! Connections that are open, and which of them goes when there are too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Connections at once. Who comes then takes the place of another.
const MAX_CONNECTIONS: usize = 256;
/// Connections of one client at once: some are left for the others.
const MAX_CONNECTIONS_OF_ONE: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// By number, in the order in which they came.
    connections: BTreeMap<u64, Connection>,
    /// How many each client has.
    counts: HashMap<IpAddr, usize>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    client: IpAddr,
    /// When it came, or its last question did.
    heard: Instant,
    /// Who serves it, as soon as somebody does.
    task: Option<AbortHandle>,
}

/// A client's place for a connection, which is free when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    /// Which connection it is.
    pub number: u64,
}

impl Connections {
    /// A place, unless the client has too many. When all are taken, one of the client that has most is ended: the one that
    /// has been silent for longest.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut open = self.0.lock();
        if open.counts.get(&client).is_some_and(|count| *count >= MAX_CONNECTIONS_OF_ONE) {
            return None;
        }
        if open.connections.len() >= MAX_CONNECTIONS
            && let Some(task) = open.least_deserving().and_then(|number| open.remove(number)?.task)
        {
            task.abort();
        }
        let number = open.next;
        open.next += 1;
        *open.counts.entry(client).or_default() += 1;
        open.connections.insert(number, Connection { client, heard: Instant::now(), task: None });
        Some(Place { connections: Arc::clone(self), number })
    }

    /// Says who serves a connection. One that has been ended meanwhile is not served.
    pub fn serve(&self, number: u64, task: AbortHandle) {
        match self.0.lock().connections.get_mut(&number) {
            Some(connection) => connection.task = Some(task),
            None => task.abort(),
        }
    }
}

impl Open {
    fn least_deserving(&self) -> Option<u64> {
        let rank = |connection: &Connection| (self.counts.get(&connection.client), Reverse(connection.heard));
        self.connections.iter().max_by_key(|(_, connection)| rank(connection)).map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) -> Option<Connection> {
        let connection = self.connections.remove(&number)?;
        if let Some(count) = self.counts.get_mut(&connection.client) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&connection.client);
            }
        }
        Some(connection)
    }
}

impl Place {
    /// The client has asked something.
    pub fn heard(&self) {
        if let Some(connection) = self.connections.0.lock().connections.get_mut(&self.number) {
            connection.heard = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.0.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_does_not_take_all_connections() {
        let connections = Arc::new(Connections::default());
        let mut places: Vec<_> = (0..MAX_CONNECTIONS_OF_ONE).map(|_| connections.enter(ip("192.0.2.1"))).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(connections.enter(ip("192.0.2.1")).is_none());
        assert!(connections.enter(ip("192.0.2.2")).is_some());
        places.pop();
        assert!(connections.enter(ip("192.0.2.1")).is_some());
        drop(places);
        let open = connections.0.lock();
        assert!(open.connections.is_empty() && open.counts.is_empty());
    }

    #[test]
    fn the_silent_one_of_the_client_that_has_most_makes_room() {
        let connections = Arc::new(Connections::default());
        let lonely = connections.enter(ip("192.0.2.9")).unwrap();
        let mut crowd = Vec::new();
        for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
            crowd.extend((0..MAX_CONNECTIONS_OF_ONE).map_while(|_| connections.enter(ip(client))));
        }
        let is_open = |place: &Place| connections.0.lock().connections.contains_key(&place.number);
        assert_eq!(crowd.iter().filter(|place| is_open(place)).count(), MAX_CONNECTIONS - 1);
        assert!(!is_open(&crowd[0]), "it made room for the last");
        let silent = MAX_CONNECTIONS_OF_ONE + 5;
        crowd.iter().enumerate().filter(|(i, _)| *i != silent).for_each(|(_, place)| place.heard());
        let late = connections.enter(ip("192.0.2.10")).unwrap();
        assert!(is_open(&late) && !is_open(&crowd[silent]));
        assert!(is_open(&lonely), "it was silent for longest, but is its client's only one");
        assert_eq!(connections.0.lock().connections.len(), MAX_CONNECTIONS);
        drop(crowd);
        assert_eq!(connections.0.lock().counts.len(), 2, "what was ended is not counted twice");
    }
}
