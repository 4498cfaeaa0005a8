//! Answers of other servers, for as long as they say and no longer than half a minute.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};
use parking_lot::Mutex;

/// How many answers are kept at most.
const CAPACITY: usize = 10_000;
/// How many bytes they take at most, names and bookkeeping included.
const BUDGET: usize = 16 << 20;
/// Longer answers are not kept.
const MAX_BYTES: usize = 4096;
/// For how long a failure is kept, as CoreDNS' cache does: clients repeat what fails at once.
const FAILURE: Duration = Duration::from_secs(5);
/// For how long an answer is kept at most, as in kubeadm's configuration of CoreDNS.
const MAX_AGE: Duration = Duration::from_secs(30);

type Key = (LowerName, RecordType, DNSClass);

#[derive(Debug)]
struct Entry {
    /// The answer as it travels: what is decoded takes many times as much, as much as its author likes.
    bytes: Box<[u8]>,
    stored: Instant,
    lifetime: Duration,
}

/// Bounded in number and bytes: when the young generation is full, or so old that nothing older is of use, it becomes the
/// old one, and the old one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<Key, Entry>,
    /// What the entries take.
    bytes: usize,
    /// When the first came.
    began: Option<Instant>,
}

impl Generation {
    fn is_full(&self, cost: usize, now: Instant) -> bool {
        let is_over = self.began.is_some_and(|began| now.saturating_duration_since(began) >= MAX_AGE);
        is_over || self.entries.len() >= CAPACITY / 2 || self.bytes + cost > BUDGET / 2
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.began.get_or_insert(entry.stored);
        self.bytes += cost(&key, &entry.bytes);
        if let Some(gone) = self.entries.insert(key.clone(), entry) {
            self.bytes -= cost(&key, &gone.bytes);
        }
    }
}

fn key(query: &Query) -> Key {
    (LowerName::new(query.name()), query.query_type(), query.query_class())
}

/// What an entry takes. A table is at most three quarters empty, and long names are kept outside of it.
fn cost(key: &Key, bytes: &[u8]) -> usize {
    4 * size_of::<(Key, Entry)>() + key.0.len() + bytes.len()
}

impl Cache {
    /// A remembered answer, with what is left of its time to live.
    pub(super) fn get(&self, query: &Query, now: Instant) -> Option<Message> {
        let key = key(query);
        let (bytes, age) = {
            let generations = self.generations.lock();
            let entry = generations.young.entries.get(&key).or_else(|| generations.old.entries.get(&key))?;
            let age = now.saturating_duration_since(entry.stored);
            (age < entry.lifetime).then(|| (entry.bytes.clone(), age))?
        };
        let mut answer = Message::from_vec(&bytes).ok()?;
        let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let sections = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in sections.into_iter().flatten() {
            record.decrement_ttl(seconds);
        }
        Some(answer)
    }

    /// How many answers are kept.
    pub(super) fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.young.entries.len() + generations.old.entries.len()
    }

    /// Remembers that nobody answered.
    pub(super) fn put_failure(&self, query: &Query, now: Instant) {
        let mut failure = Message::new(0, MessageType::Response, OpCode::Query);
        failure.metadata.response_code = ResponseCode::ServFail;
        self.put(query, &failure, now);
    }

    /// Remembers an answer, unless it is incomplete or long, or says that it must not be kept.
    pub(super) fn put(&self, query: &Query, answer: &Message, now: Instant) {
        let Some(lifetime) = lifetime(answer) else { return };
        let mut answer = answer.clone();
        answer.edns = None;
        answer.signature = None;
        let Ok(bytes) = answer.to_vec() else { return };
        if bytes.len() > MAX_BYTES {
            return;
        }
        let (key, bytes) = (key(query), bytes.into_boxed_slice());
        let mut generations = self.generations.lock();
        if generations.young.is_full(cost(&key, &bytes), now) {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(key, Entry { bytes, stored: now, lifetime });
    }
}

fn lifetime(answer: &Message) -> Option<Duration> {
    if answer.metadata.truncation {
        return None;
    }
    let shortest = |records: &[Record]| records.iter().map(|record| record.ttl).min();
    let seconds = match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => shortest(&answer.answers)?,
        // How long a negative answer holds is the smaller of the SOA record's own time and its last field (RFC 2308).
        ResponseCode::NoError | ResponseCode::NXDomain => answer.authorities.iter().find_map(|r| match &r.data {
            RData::SOA(soa) => Some(r.ttl.min(soa.minimum)),
            _ => None,
        })?,
        ResponseCode::ServFail => return Some(FAILURE),
        _ => return None,
    };
    let lifetime = Duration::from_secs(seconds.into()).min(MAX_AGE);
    (!lifetime.is_zero()).then_some(lifetime)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{A, SOA};

    use super::*;

    fn query(name: &str) -> Query {
        Query::query(Name::from_ascii(name).unwrap(), RecordType::A)
    }

    fn answer(code: ResponseCode, ttl: Option<u32>, soa: Option<(u32, u32)>) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        let name = Name::from_ascii("x.test.").unwrap();
        if let Some(ttl) = ttl {
            message.add_answer(Record::from_rdata(name.clone(), ttl, RData::A(A::new(192, 0, 2, 1))));
        }
        if let Some((ttl, minimum)) = soa {
            let soa = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, minimum);
            message.add_authority(Record::from_rdata(name, ttl, RData::SOA(soa)));
        }
        message
    }

    #[test]
    fn answers_live_as_long_as_they_say() {
        let cases = [
            (answer(ResponseCode::NoError, Some(7), None), Some(7)),
            (answer(ResponseCode::NoError, Some(900), None), Some(30)),
            (answer(ResponseCode::NoError, Some(0), None), None),
            (answer(ResponseCode::NXDomain, None, Some((20, 9))), Some(9)),
            (answer(ResponseCode::NoError, None, Some((3, 9))), Some(3)),
            (answer(ResponseCode::NXDomain, None, None), None),
            (answer(ResponseCode::ServFail, Some(9), None), Some(5)),
            (answer(ResponseCode::Refused, Some(9), None), None),
        ];
        for (message, expected) in cases {
            assert_eq!(lifetime(&message).map(|l| l.as_secs()), expected, "{message}");
        }
    }

    #[test]
    fn time_to_live_runs_down() {
        let cache = Cache::default();
        let start = Instant::now();
        cache.put(&query("x.test."), &answer(ResponseCode::NoError, Some(7), None), start);
        let at = |seconds| cache.get(&query("X.Test."), start + Duration::from_secs(seconds));
        assert_eq!(at(3).unwrap().answers[0].ttl, 4);
        assert!(at(7).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = Cache::default();
        let message = answer(ResponseCode::NoError, Some(30), None);
        let now = Instant::now();
        for i in 0..3 * CAPACITY {
            cache.put(&query(&format!("x{i}.test.")), &message, now);
        }
        assert!(cache.len() <= CAPACITY);
        let long = query("long.test.");
        let mut message = message;
        message.answers = vec![message.answers[0].clone(); 500];
        cache.put(&long, &message, now);
        assert!(cache.get(&long, now).is_none());
    }

    #[test]
    fn long_answers_do_not_take_more() {
        let cache = Cache::default();
        let mut message = answer(ResponseCode::NoError, Some(30), None);
        message.answers = vec![message.answers[0].clone(); 120];
        let now = Instant::now();
        for i in 0..2 * BUDGET / 1000 {
            cache.put(&query(&format!("x{i}.test.")), &message, now);
        }
        let size = message.to_vec().unwrap().len();
        assert!(cache.len() * size <= BUDGET, "{} answers of {size} bytes", cache.len());
        let generations = cache.generations.lock();
        let held = |generation: &Generation| -> usize {
            generation.entries.iter().map(|(key, entry)| cost(key, &entry.bytes)).sum()
        };
        for generation in [&generations.young, &generations.old] {
            assert_eq!(held(generation), generation.bytes);
            assert!(generation.bytes <= BUDGET / 2);
        }
    }

    #[test]
    fn what_has_expired_goes() {
        let cache = Cache::default();
        let (message, start) = (answer(ResponseCode::NoError, Some(30), None), Instant::now());
        for i in 0..10 {
            cache.put(&query(&format!("x{i}.test.")), &message, start);
        }
        for i in 1..3 {
            cache.put(&query("y.test."), &message, start + i * MAX_AGE);
        }
        assert_eq!(cache.len(), 2, "y, of both generations");
    }
}
