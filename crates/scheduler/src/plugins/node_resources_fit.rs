//! Requests must fit into what is left; by default the emptier node is better.

mod strategy;

use api_types::{
    field::{FieldError, Path},
    validation::names,
};
use serde::Deserialize;

use self::strategy::{ScoringStrategy, Strategy};
use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Finality, FnScore, Hint, Normalize, Plugin, PreFilter, Reason, Rejection, Score},
    resources::Amounts,
};

/// `NodeResourcesFitArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// Extended resources that need not fit.
    ignored_resources: Vec<String>,
    /// The same for all with this prefix.
    ignored_resource_groups: Vec<String>,
    /// Which nodes are better.
    scoring_strategy: Option<ScoringStrategy>,
}

/// See the module.
#[derive(Debug)]
pub struct NodeResourcesFit {
    ignored: Ignored,
    strategy: Strategy,
}

/// Extended resources that need not fit.
#[derive(Debug)]
struct Ignored {
    names: Vec<String>,
    groups: Vec<String>,
}

impl NodeResourcesFit {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        for (i, name) in args.ignored_resources.iter().enumerate() {
            errors.extend(wrong_name(&path.child("ignoredResources").index(i), name));
        }
        for (i, group) in args.ignored_resource_groups.iter().enumerate() {
            let path = path.child("ignoredResourceGroups").index(i);
            if group.contains('/') {
                errors.push(FieldError::invalid(&path, group.as_str(), "resource group name can't contain '/'"));
            } else {
                errors.extend(wrong_name(&path, group));
            }
        }
        let strategy = Strategy::new(args.scoring_strategy.unwrap_or_default(), &path.child("scoringStrategy"));
        match strategy {
            Ok(strategy) if errors.is_empty() => {
                let ignored = Ignored { names: args.ignored_resources, groups: args.ignored_resource_groups };
                Ok(Self { ignored, strategy })
            }
            strategy => {
                errors.extend(strategy.err().into_iter().flatten());
                Err(errors)
            }
        }
    }
}

fn wrong_name(path: &Path, name: &str) -> Vec<FieldError> {
    names::qualified_name(name).into_iter().map(|detail| FieldError::invalid(path, name, detail)).collect()
}

impl Ignored {
    fn has(&self, name: &str) -> bool {
        let group = name.split_once('/').map(|(group, _)| group);
        self.names.iter().any(|own| own == name) || self.groups.iter().any(|own| Some(own.as_str()) == group)
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        let asked = &candidate.info.requests.asked;
        match change {
            Change::Pod { old: Some(_), new: None } => Hint::Queue,
            Change::Pod { old: Some(old), new: Some(new) } => {
                Hint::when(gives_back(&old.info.requests.asked, &new.info.requests.asked, asked))
            }
            Change::Node { old, new: Some(new) } => {
                let (new, old) = (NodeInfo::of(new), old.as_ref().map(NodeInfo::of));
                let grew = |old: NodeInfo| {
                    !self.fits(&old, asked)
                        || old.pod_slots() < new.pod_slots()
                        || gives_back(new.allocatable(), old.allocatable(), asked)
                };
                Hint::when(self.fits(&new, asked) && old.is_none_or(grew))
            }
            Change::Own { old, new } => Hint::when(old.info.requests != new.info.requests),
            Change::Pod { old: None, .. } | Change::Node { new: None, .. } => Hint::Skip,
            Change::Claim(_)
            | Change::Volume(_)
            | Change::Class(_)
            | Change::Limits
            | Change::DeviceClaim(_)
            | Change::Devices => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let asked = &candidate.info.requests.asked;
        Ok(PreFilter::each(
            move |node: &NodeInfo| if self.fits(node, asked) { Ok(()) } else { Err(self.shortages(node, asked)) },
        ))
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        _: &'a Snapshot,
        _: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(FnScore(Normalize::Not, move |node: &NodeInfo| self.strategy.score(node, candidate.info))))
    }
}

/// Whether there is more of something that is asked for in `more` than in `less`.
fn gives_back(more: &Amounts, less: &Amounts, asked: &Amounts) -> bool {
    (asked.milli_cpu > 0 && more.milli_cpu > less.milli_cpu)
        || (asked.memory > 0 && more.memory > less.memory)
        || (asked.ephemeral_storage > 0 && more.ephemeral_storage > less.ephemeral_storage)
        || asked.others.iter().any(|(name, amount)| *amount > 0 && more.other(name) > less.other(name))
}

impl NodeResourcesFit {
    fn fits(&self, node: &NodeInfo, asked: &Amounts) -> bool {
        let (room, used) = (node.allocatable(), node.requested());
        let enough = |asked: i64, room: i64, used: i64| asked == 0 || asked <= room - used;
        has_slot(node)
            && enough(asked.milli_cpu, room.milli_cpu, used.milli_cpu)
            && enough(asked.memory, room.memory, used.memory)
            && enough(asked.ephemeral_storage, room.ephemeral_storage, used.ephemeral_storage)
            && asked
                .others
                .iter()
                .all(|(name, amount)| enough(*amount, room.other(name), used.other(name)) || self.ignored.has(name))
    }

    fn shortages(&self, node: &NodeInfo, asked: &Amounts) -> Rejection {
        let (room, used) = (node.allocatable(), node.requested());
        let mut rejection = Rejection::default();
        if !has_slot(node) {
            rejection.reasons.push("Too many pods".into());
        }
        let mut check = |reason: &dyn Fn() -> Reason, asked: i64, room: i64, used: i64| {
            if asked > 0 && asked > room - used {
                rejection.reasons.push(reason());
                if asked > room {
                    // No pod that goes makes enough room.
                    rejection.finality = Finality::NeverHere;
                }
            }
        };
        check(&|| "Insufficient cpu".into(), asked.milli_cpu, room.milli_cpu, used.milli_cpu);
        check(&|| "Insufficient memory".into(), asked.memory, room.memory, used.memory);
        let storage = (asked.ephemeral_storage, room.ephemeral_storage, used.ephemeral_storage);
        check(&|| "Insufficient ephemeral-storage".into(), storage.0, storage.1, storage.2);
        for (name, amount) in asked.others.iter().filter(|(name, _)| !self.ignored.has(name)) {
            check(&|| format!("Insufficient {name}").into(), *amount, room.other(name), used.other(name));
        }
        rejection
    }
}

fn has_slot(node: &NodeInfo) -> bool {
    i64::try_from(node.pod_count()).unwrap_or(i64::MAX) < node.pod_slots()
}
