//! Several binders, each with an old copy of everything, each ended between any two writes: what they do to each other.

use std::collections::BTreeMap;

use api_types::core::PersistentVolumeClaim;
use component::volumes::{Volume, is_fully_bound, volume_name};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Everything, claim, merge, read, volume};
use crate::persistent_volumes::{
    binding::{self, Step},
    claim::{Verdict, judge},
    volume,
};
use crate::write::as_read;

type Objects = BTreeMap<String, Value>;

/// The API server: writes of old versions are refused.
#[derive(Clone, Default)]
struct Server {
    claims: Objects,
    volumes: Objects,
    version: u64,
}

impl Server {
    fn write(&mut self, is_claim: bool, name: &str, patch: &Value) -> Option<Value> {
        let objects = if is_claim { &mut self.claims } else { &mut self.volumes };
        let object = objects.get_mut(name)?;
        let is_current = |field: &str| patch["metadata"][field] == object["metadata"][field];
        if !is_current("resourceVersion") || !is_current("uid") {
            return None;
        }
        merge(object, patch);
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        Some(object.clone())
    }

    fn create(&mut self, is_claim: bool, name: &str, mut object: Value) {
        self.version += 1;
        // Another object of the same name is another object.
        object["metadata"]["uid"] = json!(format!("{name}-{}", self.version));
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let objects = if is_claim { &mut self.claims } else { &mut self.volumes };
        objects.entry(name.to_owned()).or_insert(object);
    }

    fn world(&self) -> Everything {
        Everything { volumes: self.volumes.values().map(read).collect(), ..Everything::default() }
    }

    /// One look at a claim, with at most so many writes before the end.
    fn bind(&mut self, name: &str, seen: &Self, mut writes: usize) {
        let Some(mut claim) = seen.claims.get(name).map(read::<PersistentVolumeClaim>) else { return };
        let mut volume = match judge(&claim, &seen.world()) {
            Verdict::Bind(volume) => Volume::clone(&volume),
            Verdict::Lost(_) => {
                let patch = binding::unbound_status(&claim, "Lost");
                patch.map(|patch| self.write(true, name, &patch));
                return;
            }
            _ => return,
        };
        while let Some(step) = binding::next(&volume, &claim).filter(|_| writes > 0) {
            writes -= 1;
            let (is_claim, patch) = match step {
                Step::Volume(patch) | Step::VolumeStatus(patch) => (false, patch),
                Step::Claim(patch) | Step::ClaimStatus(patch) => (true, patch),
            };
            let own = if is_claim { name.to_owned() } else { volume.name().to_owned() };
            let Some(written) = self.write(is_claim, &own, &patch) else { return };
            if is_claim { claim = read(&written) } else { volume = read(&written) }
        }
    }

    /// One look at a volume. That a claim is gone is asked of the server itself.
    fn follow(&mut self, name: &str, seen: &Self) {
        let Some(volume) = seen.volumes.get(name).map(read::<Volume>) else { return };
        let reference = volume.spec.claim_ref.clone().unwrap_or_default();
        let own = reference.name.clone().unwrap_or_default();
        let find = |server: &Self| {
            let claim = server.claims.get(&own).map(read::<PersistentVolumeClaim>);
            claim.filter(|claim| claim.metadata.uid == reference.uid)
        };
        let patch = match volume::judge(&volume, find(seen).or_else(|| find(self)).as_ref()) {
            volume::Verdict::Phase(phase) if volume.status.phase != phase => binding::volume_phase(&volume, phase, ""),
            volume::Verdict::Unbind => {
                as_read(&volume.metadata, json!({"spec": {"claimRef": null}, "metadata": {"annotations": null}}))
            }
            _ => return,
        };
        self.write(false, name, &patch);
    }

    /// What must hold at every moment.
    fn check(&self) {
        let mut owners = BTreeMap::new();
        for claim in self.claims.values().map(read::<PersistentVolumeClaim>).filter(is_fully_bound) {
            let (name, volume) = (claim.metadata.name.clone().unwrap(), volume_name(&claim).to_owned());
            let stored = self.volumes.get(&volume).map(read::<Volume>);
            let owner = stored.and_then(|volume| volume.spec.claim_ref?.uid);
            // A volume that somebody deleted, or made anew, has lost its claim.
            if owner == claim.metadata.uid {
                assert_eq!(owners.insert(volume.clone(), name.clone()), None, "{volume} has two claims");
            }
        }
    }
}

/// What happens next: who does what, by number.
#[derive(Clone, Debug)]
enum Act {
    Look(usize),
    Bind(usize, usize, usize),
    Follow(usize, usize),
    Delete(bool, usize),
    Create(bool, usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..3_usize).prop_map(Act::Look),
        6 => (0..3_usize, 0..4_usize, 0..5_usize).prop_map(|(who, claim, writes)| Act::Bind(who, claim, writes)),
        3 => (0..3_usize, 0..4_usize).prop_map(|(who, volume)| Act::Follow(who, volume)),
        1 => (any::<bool>(), 0..4_usize).prop_map(|(is_claim, number)| Act::Delete(is_claim, number)),
        1 => (any::<bool>(), 0..4_usize).prop_map(|(is_claim, number)| Act::Create(is_claim, number)),
    ]
}

fn create(server: &mut Server, is_claim: bool, number: usize) {
    let size = format!("{}Gi", 1 + number % 2);
    if is_claim {
        let claim = claim(&format!("c{number}"), &json!({"spec": {"resources": {"requests": {"storage": size}}}}));
        server.create(true, &format!("c{number}"), claim);
    } else {
        let volume = volume(&format!("v{number}"), &json!({"spec": {"capacity": {"storage": size}}, "status": null}));
        server.create(false, &format!("v{number}"), volume);
    }
}

fn run(acts: &[Act]) {
    let mut server = Server::default();
    for number in 0..4 {
        create(&mut server, true, number);
        create(&mut server, false, number);
    }
    let mut seen = [server.clone(), server.clone(), server.clone()];
    for act in acts {
        match *act {
            Act::Look(who) => seen[who] = server.clone(),
            Act::Bind(who, claim, writes) => server.bind(&format!("c{claim}"), &seen[who], writes),
            Act::Follow(who, volume) => server.follow(&format!("v{volume}"), &seen[who]),
            Act::Delete(true, number) => drop(server.claims.remove(&format!("c{number}"))),
            Act::Delete(false, number) => drop(server.volumes.remove(&format!("v{number}"))),
            Act::Create(is_claim, number) => create(&mut server, is_claim, number),
        }
        server.check();
    }
    settle(&mut server);
}

/// One binder that sees everything: in the end every volume that is held is held by a claim that has it, and no claim waits
/// beside a volume that would do.
fn settle(server: &mut Server) {
    for _ in 0..12 {
        for number in 0..4 {
            let now = server.clone();
            server.follow(&format!("v{number}"), &now);
            let now = server.clone();
            server.bind(&format!("c{number}"), &now, usize::MAX);
            server.check();
        }
    }
    for volume in server.volumes.values().map(read::<Volume>) {
        let Some(reference) = &volume.spec.claim_ref else { continue };
        let Some(claim) = server.claims.get(reference.name.as_ref().unwrap()) else { continue };
        let claim: PersistentVolumeClaim = read(claim);
        if claim.metadata.uid == reference.uid {
            assert_eq!(volume_name(&claim), volume.name(), "{:#?}", server.claims);
            assert_eq!(volume.status.phase, "Bound");
        } else {
            assert_eq!(volume.status.phase, "Released");
        }
    }
    let world = server.world();
    for claim in server.claims.values().map(read::<PersistentVolumeClaim>).filter(|claim| !is_fully_bound(claim)) {
        assert!(matches!(judge(&claim, &world), Verdict::Wait(_)), "{claim:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_two_claims_have_one_volume(acts in proptest::collection::vec(act(), 0..60)) {
        run(&acts);
    }
}
