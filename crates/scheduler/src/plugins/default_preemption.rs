//! Less important pods go, so that a more important one has room; after upstream's plugin of this name.

mod budgets;
mod choice;
#[cfg(test)]
mod tests;
mod victims;

use api_types::field::{FieldError, Path};
use serde::Deserialize;

pub use self::choice::best;
use self::victims::Search;
use crate::framework::{
    Candidate, Change, Hint, InTheWay, Plugin, Reason, Rejection, Rescue, Room, Unplaced, Victims, unavailable,
};

/// Where nothing that goes makes room.
const NOT_HELPFUL: Reason = Reason::Borrowed("Preemption is not helpful for scheduling");

/// `DefaultPreemptionArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// The search ends when so many percent of the nodes could do.
    min_candidate_nodes_percentage: Option<i64>,
    /// But not before so many could.
    min_candidate_nodes_absolute: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub struct DefaultPreemption {
    percentage: usize,
    absolute: usize,
}

impl DefaultPreemption {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let percentage = args.min_candidate_nodes_percentage.unwrap_or(10);
        let absolute = args.min_candidate_nodes_absolute.unwrap_or(100);
        let percentage_path = path.child("minCandidateNodesPercentage");
        let absolute_path = path.child("minCandidateNodesAbsolute");
        let mut errors = Vec::new();
        if !(0..=100).contains(&percentage) {
            errors.push(FieldError::invalid(&percentage_path, percentage, "not in valid range [0, 100]"));
        }
        if !(0..=i64::from(i32::MAX)).contains(&absolute) {
            errors.push(FieldError::invalid(&absolute_path, absolute, "not in valid range [0, inf)"));
        }
        if percentage == 0 && absolute == 0 {
            let detail = |other: &str| format!("cannot be zero at the same time as {other}");
            let of_absolute = detail("minCandidateNodesAbsolute");
            errors.push(FieldError::invalid(&percentage_path, percentage, of_absolute));
            errors.push(FieldError::invalid(&absolute_path, absolute, detail("minCandidateNodesPercentage")));
        }
        match (usize::try_from(percentage), usize::try_from(absolute)) {
            (Ok(percentage), Ok(absolute)) if errors.is_empty() => Ok(Self { percentage, absolute }),
            _ => Err(errors),
        }
    }

    /// How many candidates are enough among `nodes`.
    fn enough(&self, nodes: usize) -> usize {
        (nodes * self.percentage / 100).max(self.absolute).min(nodes)
    }

    /// The nodes that could do, or why those that might cannot.
    fn candidates(&self, unplaced: &Unplaced<'_>) -> Result<Vec<Victims>, Vec<Rejection>> {
        let Some(filters) = unplaced.filters else { return Err(Vec::new()) };
        let positions: Vec<usize> = match &unplaced.failure.in_the_way {
            InTheWay::Everywhere => (0..unplaced.snapshot.positions()).collect(),
            InTheWay::At(positions) => positions.clone(),
        };
        let enough = self.enough(positions.len());
        let search = Search { filters, candidate: unplaced.candidate, directory: unplaced.snapshot.directory() };
        let (mut gentle, mut violating, mut rejections) = (Vec::new(), Vec::new(), Vec::new());
        let from = unplaced.turn % positions.len().max(1);
        let turns = positions[from..].iter().chain(&positions[..from]);
        for node in turns.filter_map(|position| unplaced.snapshot.at(*position)) {
            match search.on(node) {
                Ok(victims) if victims.violations == 0 => gentle.push(victims),
                Ok(victims) => violating.push(victims),
                Err(rejection) => rejections.push(rejection),
            }
            if !gentle.is_empty() && gentle.len() + violating.len() >= enough {
                break;
            }
        }
        gentle.append(&mut violating);
        if gentle.is_empty() { Err(rejections) } else { Ok(gentle) }
    }
}

/// Why a pod may not make others go.
fn is_not_eligible(unplaced: &Unplaced<'_>) -> Option<&'static str> {
    let own = unplaced.candidate;
    if own.pod.spec.preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let (position, node) = unplaced.snapshot.position(own.pod.nominated_node()?)?;
    let may_help = match &unplaced.failure.in_the_way {
        InTheWay::Everywhere => true,
        InTheWay::At(positions) => positions.contains(&position),
    };
    let goes = node.pods().iter().any(|pod| pod.priority < own.info.priority && pod.preempted);
    (may_help && goes).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// What is said when no node could do.
fn explain(nodes: usize, rejections: Vec<Rejection>) -> String {
    let mut reasons: Vec<(Reason, Option<usize>)> = Vec::new();
    let mut count = |reason: Reason, nodes: usize| match reasons.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, count)) => *count = count.map(|count| count + nodes),
        None => reasons.push((reason, Some(nodes))),
    };
    let others = nodes.saturating_sub(rejections.len());
    rejections.into_iter().flat_map(|rejection| rejection.reasons).for_each(|reason| count(reason, 1));
    if others > 0 {
        count(NOT_HELPFUL, others);
    }
    unavailable(nodes, &reasons)
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn hint(&self, _: Candidate<'_>, _: &Change) -> Hint {
        Hint::Skip
    }

    fn post_filter(&self, unplaced: &Unplaced<'_>) -> Rescue {
        let refused = |message: &str, room: Room| Rescue::Refused { message: format!("preemption: {message}"), room };
        if let Some(why) = is_not_eligible(unplaced) {
            return refused(why, Room::Kept);
        }
        match self.candidates(unplaced) {
            Ok(candidates) => Rescue::Possible(candidates),
            Err(rejections) => refused(&explain(unplaced.failure.nodes, rejections), Room::GivenUp),
        }
    }
}
