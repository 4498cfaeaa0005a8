//! A node whose CPU and memory would be used to the same degree is better.

use api_types::field::{FieldError, Path};
use serde::Deserialize;

use super::scored_resources::{ResourceSpec, Usage, Weighted, usage, weighted};
use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, FnScore, Hint, MAX_SCORE, Normalize, Plugin, Score},
};

/// `NodeResourcesBalancedAllocationArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Args {
    /// Resources to balance.
    resources: Option<Vec<ResourceSpec>>,
}

/// See the module.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation {
    resources: Vec<Weighted>,
}

impl NodeResourcesBalancedAllocation {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When a resource has a weight: balance knows none.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let given = args.resources.iter().flatten().enumerate();
        let errors: Vec<FieldError> = given
            .filter(|(_, own)| !(0..=1).contains(&own.weight))
            .map(|(i, own)| {
                let detail = format!("resource weight of {} should be 1", own.name);
                FieldError::invalid(&path.child("resources").index(i).child("weight"), own.weight, detail)
            })
            .collect();
        if errors.is_empty() { Ok(Self { resources: weighted(args.resources) }) } else { Err(errors) }
    }
}

/// The standard deviation of the shares that would be used.
fn deviation(shares: &[f64]) -> f64 {
    match shares {
        [] | [_] => 0.0,
        // Half their distance; these are CPU and memory mostly.
        [a, b] => (a - b).abs() / 2.0,
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "a few resources")]
            let count = shares.len() as f64;
            let mean = shares.iter().sum::<f64>() / count;
            (shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / count).sqrt()
        }
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn hint(&self, _: Candidate<'_>, _: &Change) -> Hint {
        Hint::Skip
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        _: &'a Snapshot,
        _: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let asked = &candidate.info.requests.asked;
        // A best-effort pod changes no balance; upstream skips the plugin for it.
        if self.resources.iter().all(|resource| asked.amount(&resource.name) == 0) {
            return None;
        }
        Some(Box::new(FnScore(Normalize::Not, move |node: &NodeInfo| {
            let usages = self.resources.iter().filter_map(|resource| usage(&resource.name, node, candidate.info));
            let deviation = match &*self.resources {
                // The usual case allocates nothing.
                [_, _] => {
                    let mut shares = [0.0; 2];
                    let count = shares.iter_mut().zip(usages).map(|(own, usage)| *own = share(usage)).count();
                    deviation(&shares[..count])
                }
                _ => deviation(&usages.map(share).collect::<Vec<_>>()),
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "between 0 and 100")]
            let score = ((1.0 - deviation) * MAX_SCORE as f64) as i64;
            score
        })))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share; its first digits matter")]
fn share(usage: Usage) -> f64 {
    (usage.used as f64 / usage.room as f64).min(1.0)
}
