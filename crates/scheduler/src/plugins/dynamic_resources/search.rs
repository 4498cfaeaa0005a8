//! Which devices claims get: the first choice in which everything wanted is there. Depth first, within bounds, because
//! who writes claims could otherwise keep the scheduler busy for ever.

use std::collections::HashMap;

use api_types::devices::DeviceAttribute;

use super::wants::{Alternative, Amount, Constraint, Request, Rule, Wants, find};
use crate::devices::{Offer, Offered};

/// Devices that a claim can have.
const MAX_RESULTS: usize = 32;
/// Requests of a pod's claims together: the search is as deep.
const MAX_REQUESTS: usize = 512;
/// Devices that are tried on a node before it is given up.
const MAX_STEPS: usize = 20_000;

/// A device for a request: places of the request, of its alternative, and of the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) request: usize,
    pub(super) alternative: usize,
    pub(super) offer: usize,
}

/// The devices of each claim, if all can have some.
///
/// # Errors
/// When it cannot be said whether a device is wanted.
pub(super) fn search(wants: &[&Wants], offered: &Offered) -> Result<Option<Vec<Vec<Picked>>>, String> {
    if wants.iter().map(|own| own.requests.len()).sum::<usize>() > MAX_REQUESTS {
        return Err(format!("the claims of a pod may have {MAX_REQUESTS} requests together"));
    }
    let mut search = Search {
        wants,
        offered,
        wanted: wanted(wants, offered)?,
        taken: vec![false; offered.offers.len()],
        picked: vec![Vec::new(); wants.len()],
        steps: 0,
    };
    Ok(search.claim(0).then_some(search.picked))
}

/// The offers that would do, by claim, request and alternative.
type Wanted = HashMap<(usize, usize, usize), Vec<usize>>;

fn wanted(wants: &[&Wants], offered: &Offered) -> Result<Wanted, String> {
    let mut all = Wanted::new();
    for (claim, own) in wants.iter().enumerate() {
        for (request, own) in own.requests.iter().enumerate() {
            for (alternative, own) in own.alternatives.iter().enumerate() {
                let mut places = Vec::new();
                for (place, offer) in offered.offers.iter().enumerate() {
                    // What another has is of no interest, unless all are wanted: then it is missing.
                    let matters = offer.free || own.admin || own.amount == Amount::All;
                    if matters && own.wants(offer)? {
                        places.push(place);
                    }
                }
                all.insert((claim, request, alternative), places);
            }
        }
    }
    Ok(all)
}

struct Search<'a> {
    wants: &'a [&'a Wants],
    offered: &'a Offered,
    wanted: Wanted,
    /// Offers that this search has given away.
    taken: Vec<bool>,
    picked: Vec<Vec<Picked>>,
    steps: usize,
}

/// What is being met.
#[derive(Clone, Copy)]
struct At<'a> {
    claim: usize,
    request: usize,
    alternative: usize,
    own: &'a Alternative,
}

impl<'a> Search<'a> {
    fn claim(&mut self, claim: usize) -> bool {
        claim == self.wants.len() || self.request(claim, 0)
    }

    fn request(&mut self, claim: usize, request: usize) -> bool {
        let wants: &'a Wants = self.wants[claim];
        let Some(Request { alternatives, .. }) = wants.requests.get(request) else { return self.claim(claim + 1) };
        alternatives.iter().enumerate().any(|(alternative, own)| {
            let at = At { claim, request, alternative, own };
            let places = self.wanted.get(&(claim, request, alternative)).cloned().unwrap_or_default();
            match own.amount {
                Amount::All => self.all(at, &places),
                Amount::Exactly(count) => self.some(at, &places, count),
            }
        })
    }

    /// Every one of the offers.
    fn all(&mut self, at: At<'a>, places: &[usize]) -> bool {
        if places.is_empty() || self.offered.incomplete {
            return false;
        }
        let before = self.picked[at.claim].len();
        let put = places.iter().all(|place| self.put(at, *place));
        if put && self.request(at.claim, at.request + 1) {
            return true;
        }
        while self.picked[at.claim].len() > before {
            self.take_back(at);
        }
        false
    }

    /// So many of the offers, in their order, so that nothing is tried twice.
    fn some(&mut self, at: At<'a>, places: &[usize], count: usize) -> bool {
        if count == 0 {
            return self.request(at.claim, at.request + 1);
        }
        for (tried, place) in places.iter().enumerate() {
            if places.len() - tried < count || self.steps >= MAX_STEPS {
                return false;
            }
            if !self.put(at, *place) {
                continue;
            }
            if self.some(at, &places[tried + 1..], count - 1) {
                return true;
            }
            self.take_back(at);
        }
        false
    }

    /// Picks an offer, if it is to be had and goes with the others.
    fn put(&mut self, at: At<'a>, place: usize) -> bool {
        self.steps += 1;
        let offer = &self.offered.offers[place];
        let had = !at.own.admin && (!offer.free || self.taken[place]);
        if had || self.picked[at.claim].len() >= MAX_RESULTS || self.steps > MAX_STEPS {
            return false;
        }
        let wants = self.wants[at.claim];
        let request = &wants.requests[at.request].name;
        let mut constraints = wants.constraints.iter().filter(|own| own.concerns(request, &at.own.name));
        if !constraints.all(|constraint| self.holds(constraint, at.claim, offer)) {
            return false;
        }
        if !at.own.admin {
            self.taken[place] = true;
        }
        self.picked[at.claim].push(Picked { request: at.request, alternative: at.alternative, offer: place });
        true
    }

    fn take_back(&mut self, at: At<'a>) {
        if let Some(picked) = self.picked[at.claim].pop()
            && !at.own.admin
        {
            self.taken[picked.offer] = false;
        }
    }

    /// Whether a constraint of a claim holds with one more device. Without the attribute it does not.
    fn holds(&self, constraint: &Constraint, claim: usize, offer: &Offer) -> bool {
        let Some(own) = attribute(offer, &constraint.attribute) else { return false };
        let wants = self.wants[claim];
        let mut others = self.picked[claim].iter().filter(|picked| {
            let request = &wants.requests[picked.request];
            constraint.concerns(&request.name, &request.alternatives[picked.alternative].name)
        });
        others.all(|picked| {
            let other = attribute(&self.offered.offers[picked.offer], &constraint.attribute);
            (other == Some(own)) == (constraint.rule == Rule::Same)
        })
    }
}

fn attribute<'o>(offer: &'o Offer, name: &str) -> Option<&'o DeviceAttribute> {
    find(offer.device().attributes.as_ref(), name, &offer.id.driver)
}
