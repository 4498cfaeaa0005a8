//! Requests must fit into what is left; the emptier node is better (least allocated).

use crate::{
    cache::NodeInfo,
    framework::{Candidate, ClusterEvent, MAX_SCORE, Normalize, Plugin, Prepared, Reason},
    resources::{Amounts, Requests},
};

/// See the module.
#[derive(Debug)]
pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::PodGone, ClusterEvent::NodeChanged, ClusterEvent::PodChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let requests = &candidate.info.requests;
        Prepared::default()
            .filter(|node| if fits(node, &requests.asked) { Ok(()) } else { Err(shortages(node, &requests.asked)) })
            .score(Normalize::Not, |node| least_allocated(node, requests))
    }
}

fn fits(node: &NodeInfo, asked: &Amounts) -> bool {
    let (room, used) = (node.allocatable(), node.requested());
    let enough = |asked: i64, room: i64, used: i64| asked == 0 || asked <= room - used;
    has_slot(node)
        && enough(asked.milli_cpu, room.milli_cpu, used.milli_cpu)
        && enough(asked.memory, room.memory, used.memory)
        && enough(asked.ephemeral_storage, room.ephemeral_storage, used.ephemeral_storage)
        && asked.others.iter().all(|(name, amount)| enough(*amount, room.other(name), used.other(name)))
}

fn has_slot(node: &NodeInfo) -> bool {
    i64::try_from(node.pod_count()).unwrap_or(i64::MAX) < node.pod_slots()
}

fn shortages(node: &NodeInfo, asked: &Amounts) -> Vec<Reason> {
    let (room, used) = (node.allocatable(), node.requested());
    let mut reasons: Vec<Reason> = Vec::new();
    if !has_slot(node) {
        reasons.push("Too many pods".into());
    }
    let common = [
        ("Insufficient cpu", asked.milli_cpu, room.milli_cpu - used.milli_cpu),
        ("Insufficient memory", asked.memory, room.memory - used.memory),
        ("Insufficient ephemeral-storage", asked.ephemeral_storage, room.ephemeral_storage - used.ephemeral_storage),
    ];
    let short = common.iter().filter(|(_, asked, left)| *asked > 0 && asked > left);
    reasons.extend(short.map(|(reason, ..)| Reason::from(*reason)));
    let others =
        asked.others.iter().filter(|(name, amount)| *amount > 0 && *amount > room.other(name) - used.other(name));
    reasons.extend(others.map(|(name, _)| Reason::from(format!("Insufficient {name}"))));
    reasons
}

/// The mean of what would be left of CPU and of memory, in percent of what is there.
fn least_allocated(node: &NodeInfo, requests: &Requests) -> i64 {
    let (used_cpu, used_memory) = node.scored();
    let room = node.allocatable();
    let cpu = left_percent(room.milli_cpu, used_cpu + requests.scored_milli_cpu);
    let memory = left_percent(room.memory, used_memory + requests.scored_memory);
    (cpu + memory) / 2
}

fn left_percent(room: i64, used: i64) -> i64 {
    if room <= 0 || used > room {
        return 0;
    }
    let left = i128::from(room - used) * i128::from(MAX_SCORE) / i128::from(room);
    i64::try_from(left).unwrap_or(MAX_SCORE)
}
