//! The decision with extenders in it.

use super::{ExtenderError, Extenders};
use crate::{
    cache::Snapshot,
    framework::{Attempt, Candidate, Decision, Failure, Profile, Rescue, Sampling, Survey, pick, rescued},
};

/// There is no decision.
#[derive(Debug)]
pub enum Undecided {
    /// No node takes the pod.
    Nowhere(Failure),
    /// Somebody who must be asked could not be.
    Failed(ExtenderError),
}

impl From<Failure> for Undecided {
    fn from(failure: Failure) -> Self {
        Self::Nowhere(failure)
    }
}

impl From<ExtenderError> for Undecided {
    fn from(error: ExtenderError) -> Self {
        Self::Failed(error)
    }
}

fn below(count: usize) -> usize {
    rand::random_range(0..count)
}

impl Extenders {
    /// As [`crate::framework::schedule`], and extenders have their say after each step.
    ///
    /// # Errors
    /// When no node takes the pod, or an extender fails that may not be ignored.
    pub async fn schedule(
        &self,
        profile: &Profile,
        snapshot: &Snapshot,
        candidate: Candidate<'_>,
        sampling: Sampling,
    ) -> Result<Decision, Undecided> {
        let attempt = match Attempt::prepare(profile, snapshot, candidate) {
            Ok(attempt) => attempt,
            Err(failure) => return Err(rescued(profile, snapshot, candidate, None, failure, &mut below).into()),
        };
        let Survey { fitting, next_start, mut failure } = attempt.survey(sampling);
        let fitting = self.filter(candidate, fitting, snapshot, &mut failure).await?;
        if fitting.is_empty() {
            let mut failure = attempt.rescued(failure.sorted(), &mut below);
            if let Rescue::Possible(victims) = failure.rescue {
                let left = self.preempt(candidate, victims).await?;
                failure.rescue = if left.is_empty() { Rescue::Nothing } else { Rescue::Possible(left) };
            }
            return Err(failure.into());
        }
        let mut totals = attempt.totals(&fitting);
        self.prioritize(candidate, &fitting, &mut totals).await;
        let node = pick(&fitting, &totals, &mut below).shared_name();
        Ok(Decision { node, next_start })
    }
}
