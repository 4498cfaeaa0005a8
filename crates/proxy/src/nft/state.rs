//! What is in the table, as far as it is needed to tell what a change of a service changes there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use iptables::Family;
use netfilter::{Chain, Set, Transaction};

use super::face::{Element, Face, face, set_of};
use super::skeleton::{self, HAIRPIN};
use super::table;
use crate::endpoint::{Locality, Reachable};
use crate::entrance::{Claim, Key, entrances};
use crate::service::{ServiceMap, ServicePort};
use crate::settings::Settings;
use crate::table::Change;

/// How often something is used, and what it contains.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    count: usize,
    content: u64,
}

/// The table of one family.
#[derive(Debug)]
pub struct State {
    family: Family,
    settings: Settings,
    claims: HashMap<Key, Vec<Claim>>,
    chains: HashMap<String, Use>,
    /// Addresses of endpoints that may be on this node.
    hairpin: HashMap<IpAddr, usize>,
}

/// What is left over after a transaction. Nothing leads to it any more, but the kernel lets go of it only when the
/// transaction is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers(pub BTreeSet<String>);

impl Leftovers {
    /// Deletes the chains, and the sets that are there only for them.
    #[must_use]
    pub fn deletion(&self, family: Family) -> Transaction {
        let mut transaction = Transaction::new(table(family));
        // A chain of a service leads to chains of endpoints: all are emptied before any is deleted.
        self.0.iter().for_each(|name| transaction.flush_chain(name));
        self.0.iter().for_each(|name| transaction.delete_chain(name));
        for (kind, set) in self.0.iter().filter_map(|name| set_of(name)) {
            transaction.delete_set(kind, &set);
        }
        transaction
    }
}

/// Collects what a change of services changes.
struct Difference {
    transaction: Transaction,
    /// Chains that are written already.
    written: BTreeSet<String>,
    /// Sets that are made or there.
    sets: BTreeSet<String>,
    /// Chains that somebody stopped using.
    released: BTreeSet<String>,
}

impl State {
    /// Nothing but the skeleton.
    #[must_use]
    pub fn new(family: Family, settings: Settings) -> Self {
        Self { family, settings, claims: HashMap::new(), chains: HashMap::new(), hairpin: HashMap::new() }
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The whole table, on top of `there`, the chains of a table of this kind that may be full of anything. What
    /// clients were remembered stays so.
    #[must_use]
    pub fn whole(
        family: Family,
        settings: &Settings,
        services: &ServiceMap,
        there: &BTreeSet<String>,
    ) -> (Self, Transaction, Leftovers) {
        let mut state = Self::new(family, settings.clone());
        let mut difference = Difference::new(family);
        let transaction = &mut difference.transaction;
        transaction.add_table();
        for set in skeleton::sets(family) {
            transaction.add_set(&set);
            transaction.flush_set(set.kind, &set.name);
        }
        for (_, set) in there.iter().filter_map(|name| set_of(name)).filter(|(kind, _)| *kind == "map") {
            transaction.flush_set("map", &set);
        }
        let chains = skeleton::chains(settings, family);
        chains.iter().for_each(|chain| transaction.add_chain(chain));
        chains.iter().for_each(|chain| transaction.fill_chain(chain));
        let changes = services.iter().map(|(name, port)| Change {
            name: Arc::clone(name),
            old: None,
            new: Some(Arc::clone(port)),
        });
        state.advance(changes, &mut difference);
        let kept = |name: &&String| state.chains.contains_key(*name) || chains.iter().any(|chain| chain.name == **name);
        let left = there.iter().filter(|name| !kept(name)).cloned().collect::<BTreeSet<_>>();
        left.iter().for_each(|name| difference.transaction.flush_chain(name));
        (state, difference.transaction, Leftovers(left))
    }

    /// What these changes change.
    #[must_use]
    pub fn change(&mut self, changes: &[Change]) -> (Transaction, Leftovers) {
        let mut difference = Difference::new(self.family);
        self.advance(changes.iter().cloned(), &mut difference);
        let unused = |name: &String| !self.chains.contains_key(name);
        let left = difference.released.into_iter().filter(unused).collect();
        (difference.transaction, Leftovers(left))
    }

    fn advance(&mut self, changes: impl IntoIterator<Item = Change>, difference: &mut Difference) {
        // What was behind each entrance that changes: one may pass from a service to another.
        let mut touched: BTreeMap<Key, Option<Box<Face>>> = BTreeMap::new();
        for Change { name, old, new } in changes {
            self.count_hairpins(old.as_deref(), new.as_deref(), difference);
            let claims = |port: &Arc<ServicePort>| {
                let claim = |entrance| Claim { name: Arc::clone(&name), entrance, port: Arc::clone(port) };
                entrances(port).into_iter().map(claim).collect::<Vec<_>>()
            };
            let (lost, won) = (old.as_ref().map(claims), new.as_ref().map(claims));
            for claim in lost.iter().chain(&won).flatten() {
                let key = claim.entrance.key();
                touched.entry(key).or_insert_with(|| self.face(key).map(Box::new));
            }
            for claim in lost.into_iter().flatten() {
                self.drop_claim(&claim);
            }
            for claim in won.into_iter().flatten() {
                self.add_claim(claim);
            }
        }
        // One after the other, since there may be very many, and all uses before anything is let go that passes from one
        // to another.
        let mut released = Vec::new();
        for (key, before) in touched {
            let (before, now) = (before.map(|face| *face).unwrap_or_default(), self.face(key).unwrap_or_default());
            if now != before {
                now.sets.iter().for_each(|set| difference.add_set(set));
                now.chains.iter().for_each(|chain| self.use_chain(chain, difference));
                released.extend(before.chains.into_iter().map(|chain| chain.name));
                difference.elements(before.elements, now.elements);
            }
        }
        released.iter().for_each(|chain| self.release_chain(chain, difference));
    }

    /// What is there for this key.
    fn face(&self, key: Key) -> Option<Face> {
        let Claim { name, entrance, port } = self.claims.get(&key)?.first()?;
        Some(face(*entrance, name, port, &self.settings, self.family))
    }

    fn add_claim(&mut self, claim: Claim) {
        // Nearly always there is one.
        let claims = self.claims.entry(claim.entrance.key()).or_insert_with(|| Vec::with_capacity(1));
        let at = claims.partition_point(|other| other.precedes(&claim));
        claims.insert(at, claim);
        if let [owner, .., _] = claims.as_slice() {
            let (owner, service, entrance) = (&owner.name, &claims[at].name, claims[at].entrance);
            tracing::warn!(%owner, %service, ?entrance, "several services claim the same");
        }
    }

    fn drop_claim(&mut self, claim: &Claim) {
        let key = claim.entrance.key();
        if let Some(claims) = self.claims.get_mut(&key) {
            claims.retain(|other| other.name != claim.name);
            if claims.is_empty() {
                self.claims.remove(&key);
            }
        }
    }

    fn use_chain(&mut self, chain: &Chain, difference: &mut Difference) {
        let mut hasher = DefaultHasher::new();
        chain.rules.hash(&mut hasher);
        let content = hasher.finish();
        let known = self.chains.entry(chain.name.clone()).or_default();
        known.count += 1;
        if (known.count == 1 || known.content != content) && difference.written.insert(chain.name.clone()) {
            difference.transaction.add_chain(chain);
            difference.transaction.fill_chain(chain);
        }
        known.content = content;
    }

    fn release_chain(&mut self, chain: &str, difference: &mut Difference) {
        if let Some(known) = self.chains.get_mut(chain) {
            known.count = known.count.saturating_sub(1);
            if known.count == 0 {
                self.chains.remove(chain);
                difference.released.insert(chain.to_owned());
            }
        }
    }

    fn count_hairpins(&mut self, old: Option<&ServicePort>, new: Option<&ServicePort>, difference: &mut Difference) {
        let (old, new) = (own_endpoints(old), own_endpoints(new));
        for ip in new.difference(&old) {
            let count = self.hairpin.entry(*ip).or_default();
            *count += 1;
            if *count == 1 {
                difference.appear(*ip);
            }
        }
        for ip in old.difference(&new) {
            let count = self.hairpin.entry(*ip).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.hairpin.remove(ip);
                difference.disappear(*ip);
            }
        }
    }
}

/// The addresses of endpoints that may be on this node, so that their own calls may come back to them.
fn own_endpoints(port: Option<&ServicePort>) -> BTreeSet<IpAddr> {
    let reachable = port.map(|port| Reachable::of(port).all()).unwrap_or_default();
    reachable.iter().filter(|e| e.locality != Locality::Elsewhere).map(|e| e.address.ip()).collect()
}

impl Difference {
    fn new(family: Family) -> Self {
        let transaction = Transaction::new(table(family));
        Self { transaction, written: BTreeSet::new(), sets: BTreeSet::new(), released: BTreeSet::new() }
    }

    fn add_set(&mut self, set: &Set) {
        if self.sets.insert(set.name.clone()) {
            self.transaction.add_set(set);
        }
    }

    fn elements(&mut self, before: Vec<Element>, now: Vec<Element>) {
        let (before, now): (BTreeSet<Element>, BTreeSet<Element>) =
            (before.into_iter().collect(), now.into_iter().collect());
        for Element { map, key, .. } in before.difference(&now) {
            self.transaction.delete_element(map, key);
        }
        for Element { map, key, value } in now.difference(&before) {
            self.transaction.add_element(map, format_args!("{key} : {value}"));
        }
    }

    fn appear(&mut self, ip: IpAddr) {
        self.transaction.add_element(HAIRPIN, format_args!("{ip} . {ip}"));
    }

    fn disappear(&mut self, ip: IpAddr) {
        self.transaction.delete_element(HAIRPIN, format_args!("{ip} . {ip}"));
    }
}
