//! Whether an upstream server asks us what we ask it.
//!
//! A resolver on this host may itself use the cluster's DNS; the two would send every unknown name round for ever. So
//! each upstream is asked for a name that only we know, and one through which that name comes back is dropped. As in
//! CoreDNS' plugin `loop` the name is like any other, since a resolver answers names of RFC 6761 itself, and is asked for
//! until it is answered: a server may be away when we start, and where there are several of us another one may get the
//! name back, which then comes to no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use component::backoff::Backoff;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RecordType};
use parking_lot::RwLock;
use tokio::sync::{Notify, Semaphore};

use crate::forward::{Forwarder, Routes, is_failure};

/// A server that does not answer is asked again after this time at first,
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// and after this time at last.
const ASK_AGAIN_AT_LAST: Duration = Duration::from_secs(60);
/// So many are asked at once.
const MAX_CONCURRENT: usize = 8;

/// A domain, and a server that is asked of names below it.
type Target = (Name, SocketAddr);

/// The names that are asked for, each of one server and once.
#[derive(Debug, Default)]
pub struct LoopProbe {
    /// What is being asked, and whether it came back. Its names are nobody's before and afterwards: who has seen one can
    /// send it back for the server that was asked, and for no other.
    asked: RwLock<BTreeMap<Name, bool>>,
    /// The routes that were noticed last.
    seen: ArcSwapOption<Routes>,
    /// There may be servers that were not asked.
    changed: Notify,
}

/// How the asking of a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It knew an answer.
    Answered,
    /// It asked us.
    Looped,
    /// It did neither until it was in no route any more.
    Gone,
}

/// A name below the domain that nobody can guess.
fn secret_name(domain: &Name) -> Option<Name> {
    let label = || format!("{:016x}", rand::random::<u64>());
    Name::from_ascii(format!("{}.{}.", label(), label())).ok()?.append_domain(domain).ok()
}

impl LoopProbe {
    /// Whether we ask for this name ourselves; then that is remembered.
    pub fn recognises(&self, name: &Name) -> bool {
        let is_asked = {
            let asked = self.asked.read();
            !asked.is_empty() && asked.contains_key(name)
        };
        if is_asked && let Some(came_back) = self.asked.write().get_mut(name) {
            *came_back = true;
        }
        is_asked
    }

    /// Has those of the servers asked that were not asked yet.
    pub fn notice(&self, routes: &Arc<Routes>) {
        if !self.seen.load().as_ref().is_some_and(|seen| Arc::ptr_eq(seen, routes)) {
            self.seen.store(Some(Arc::clone(routes)));
            self.changed.notify_one();
        }
    }

    /// Asks every server, those at first and those that come later, and drops those through which the question came back
    /// for as long as a route names them. Never ends.
    pub async fn run(&self, forwarder: &Forwarder) {
        let (turns, mut probes) = (Semaphore::new(MAX_CONCURRENT), FuturesUnordered::new());
        let (mut asking, mut settled) = (BTreeSet::new(), BTreeSet::new());
        self.notice(&forwarder.routes());
        loop {
            let ended = async {
                match probes.next().await {
                    Some(ended) => ended,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {
                    let targets = forwarder.routes().servers();
                    settled.retain(|target| targets.contains(target));
                    forwarder.forget_others(&targets);
                    for target in targets {
                        if !settled.contains(&target) && asking.insert(target.clone()) {
                            probes.push(self.settle(forwarder, target, &turns));
                        }
                    }
                }
                (target, verdict) = ended => {
                    asking.remove(&target);
                    if verdict != Verdict::Gone {
                        settled.insert(target);
                    }
                }
            }
        }
    }

    /// Asks a server until it is known what it does with our questions.
    async fn settle(&self, forwarder: &Forwarder, target: Target, turns: &Semaphore) -> (Target, Verdict) {
        let mut backoff = Backoff::new(ASK_AGAIN, ASK_AGAIN_AT_LAST);
        loop {
            if !forwarder.routes().servers().contains(&target) {
                return (target, Verdict::Gone);
            }
            let turn = turns.acquire().await;
            let verdict = self.ask(forwarder, &target).await;
            drop(turn);
            if let Some(verdict) = verdict {
                if verdict == Verdict::Looped {
                    let (domain, server) = target.clone();
                    tracing::error!(%server, %domain, "this upstream server asks us what we ask it; it is not used");
                    forwarder.remove(domain, server);
                }
                return (target, verdict);
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Asks a server once; `None` when it does not answer. A failure is no answer: it may be another one of us that could
    /// not go on with the question.
    async fn ask(&self, forwarder: &Forwarder, (domain, server): &Target) -> Option<Verdict> {
        // Below the longest names there is no room for another: whom we ask of those cannot be found out.
        let Some(name) = secret_name(domain) else { return Some(Verdict::Answered) };
        self.asked.write().insert(name.clone(), false);
        let answer = forwarder.ask_one(*server, &Query::query(name.clone(), RecordType::HINFO)).await;
        let came_back = self.asked.write().remove(&name).unwrap_or_default();
        let is_answered = answer.is_ok_and(|answer| !is_failure(&answer));
        if came_back { Some(Verdict::Looped) } else { is_answered.then_some(Verdict::Answered) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_being_asked_is_recognised() {
        let probe = LoopProbe::default();
        let names: Vec<Name> = (0..2).map(|_| secret_name(&Name::root()).unwrap()).collect();
        assert!(!probe.recognises(&names[0]), "not asked yet");
        probe.asked.write().extend(names.iter().map(|name| (name.clone(), false)));
        let shouted = Name::from_ascii(names[0].to_ascii().to_uppercase()).unwrap();
        assert!(probe.recognises(&shouted), "resolvers may change the case of letters");
        let below = Name::from_ascii("x").unwrap().append_domain(&names[1]).unwrap();
        let beside = Name::from_labels(names[1].iter().take(1)).unwrap();
        assert!(!probe.recognises(&below) && !probe.recognises(&beside));
        assert_eq!(probe.asked.read().values().filter(|came_back| **came_back).count(), 1);
    }

    #[test]
    fn names_are_of_the_domain_and_like_any_other() {
        let domain = Name::from_ascii("acme.local.").unwrap();
        let name = secret_name(&domain).unwrap();
        assert!(domain.zone_of(&name) && name.is_fqdn());
        assert_ne!(name, secret_name(&domain).unwrap());
        assert_eq!(secret_name(&Name::root()).unwrap().num_labels(), 2);
    }
}
