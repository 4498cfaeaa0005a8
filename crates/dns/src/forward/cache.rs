//! Answers of other servers, for as long as they say and no longer than half a minute.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};
use parking_lot::Mutex;

/// How many answers are kept at most; half of them are dropped at a time.
const CAPACITY: usize = 10_000;
/// For how long an answer is kept at most, as in kubeadm's configuration of CoreDNS.
const MAX_AGE: Duration = Duration::from_secs(30);

type Key = (LowerName, RecordType, DNSClass);

#[derive(Debug)]
struct Entry {
    answer: Message,
    stored: Instant,
    lifetime: Duration,
}

/// Bounded: when the young generation is full it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Entry>,
    old: HashMap<Key, Entry>,
}

fn key(query: &Query) -> Key {
    (LowerName::new(query.name()), query.query_type(), query.query_class())
}

impl Cache {
    /// A remembered answer, with what is left of its time to live.
    pub(super) fn get(&self, query: &Query, now: Instant) -> Option<Message> {
        let key = key(query);
        let generations = self.generations.lock();
        let entry = generations.young.get(&key).or_else(|| generations.old.get(&key))?;
        let age = now.saturating_duration_since(entry.stored);
        if age >= entry.lifetime {
            return None;
        }
        let mut answer = entry.answer.clone();
        let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let sections = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in sections.into_iter().flatten() {
            record.decrement_ttl(seconds);
        }
        Some(answer)
    }

    /// Remembers an answer, unless it is a failure, incomplete, or says that it must not be kept.
    pub(super) fn put(&self, query: &Query, answer: &Message, now: Instant) {
        let Some(lifetime) = lifetime(answer) else { return };
        let mut generations = self.generations.lock();
        if generations.young.len() >= CAPACITY / 2 {
            generations.old = mem::take(&mut generations.young);
        }
        let mut answer = answer.clone();
        answer.edns = None;
        answer.signature = None;
        generations.young.insert(key(query), Entry { answer, stored: now, lifetime });
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
        _ => return None,
    };
    let lifetime = Duration::from_secs(seconds.into()).min(MAX_AGE);
    (!lifetime.is_zero()).then_some(lifetime)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{MessageType, OpCode};
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
            (answer(ResponseCode::ServFail, Some(9), None), None),
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
        let generations = cache.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= CAPACITY);
    }
}
