//! Pods of a kind are spread over zones, hosts, or whatever else nodes are labelled with.

mod constraint;
mod filter;
mod score;
#[cfg(test)]
mod tests;

use api_types::{
    core::TopologySpreadConstraint,
    field::{FieldError, Path},
    validation::names,
};
use serde::Deserialize;

use self::{constraint::Constraint, filter::Spread, score::Spreading};
use crate::{
    cache::{Kin, NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection, Score},
    model::{Node, Pod},
};

/// `whenUnsatisfiable`: a filter.
const DO_NOT_SCHEDULE: &str = "DoNotSchedule";
/// `whenUnsatisfiable`: a score.
const SCHEDULE_ANYWAY: &str = "ScheduleAnyway";

/// `PodTopologySpreadArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// For pods without constraints that belong to a service or a controller.
    default_constraints: Vec<TopologySpreadConstraint>,
    /// `System`: upstream's defaults; `List`: those above.
    defaulting_type: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct PodTopologySpread {
    defaults: Vec<TopologySpreadConstraint>,
    /// Upstream's defaults count on nodes that lack one of the labels, too.
    system: bool,
}

impl PodTopologySpread {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When a constraint makes no sense.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let kind = args.defaulting_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("System");
        let kind_path = path.child("defaultingType");
        match kind {
            "List" => {}
            "System" if args.default_constraints.is_empty() => {}
            "System" => errors.push(FieldError::invalid(&kind_path, kind, "when .defaultConstraints are not empty")),
            other => errors.push(FieldError::not_supported(&kind_path, other, &["List", "System"])),
        }
        let constraints = &args.default_constraints;
        for (i, own) in constraints.iter().enumerate() {
            let path = path.child("defaultConstraints").index(i);
            errors.extend(wrong_default(&path, own));
            let same = |other: &TopologySpreadConstraint| {
                other.topology_key == own.topology_key && other.when_unsatisfiable == own.when_unsatisfiable
            };
            if constraints[..i].iter().any(same) {
                let pair = format!("{{{}, {}}}", own.topology_key, own.when_unsatisfiable);
                errors.push(FieldError::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), pair));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let system = kind == "System";
        Ok(Self { defaults: if system { system_defaults() } else { args.default_constraints }, system })
    }

    fn constraints<'a>(&'a self, candidate: Candidate<'a>, snapshot: &Snapshot, when: &str) -> Vec<Constraint<'a>> {
        let own = &candidate.pod.spec.topology_spread_constraints;
        let labels = &candidate.info.kin.labels;
        if !own.is_empty() {
            return Constraint::all(own, labels, when, None);
        }
        if !self.defaults.iter().any(|constraint| constraint.when_unsatisfiable == when) {
            return Vec::new();
        }
        match snapshot.directory().selector_of(candidate.pod) {
            Some(selector) => Constraint::all(&self.defaults, labels, when, Some(&selector)),
            None => Vec::new(),
        }
    }
}

fn system_defaults() -> Vec<TopologySpreadConstraint> {
    let spread = |topology_key: &str, max_skew: i32| TopologySpreadConstraint {
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: SCHEDULE_ANYWAY.to_owned(),
        max_skew,
        ..TopologySpreadConstraint::default()
    };
    vec![spread(constraint::HOST, 3), spread("topology.kubernetes.io/zone", 5)]
}

fn wrong_default(path: &Path, own: &TopologySpreadConstraint) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if own.max_skew <= 0 {
        errors.push(FieldError::invalid(&path.child("maxSkew"), own.max_skew, "not in valid range (0, inf)"));
    }
    let key_path = path.child("topologyKey");
    if own.topology_key.is_empty() {
        errors.push(FieldError::required(&key_path, "can not be empty"));
    } else {
        let wrong = names::qualified_name(&own.topology_key).into_iter();
        errors.extend(wrong.map(|detail| FieldError::invalid(&key_path, own.topology_key.as_str(), detail)));
    }
    let (when, when_path) = (own.when_unsatisfiable.as_str(), path.child("whenUnsatisfiable"));
    if when.is_empty() {
        errors.push(FieldError::required(&when_path, "can not be empty"));
    } else if ![DO_NOT_SCHEDULE, SCHEDULE_ANYWAY].contains(&when) {
        errors.push(FieldError::not_supported(&when_path, when, &[DO_NOT_SCHEDULE, SCHEDULE_ANYWAY]));
    }
    if own.label_selector.is_some() {
        let detail = "constraint must not define a selector, as they deduced for each pod";
        errors.push(FieldError::forbidden(&path.child("labelSelector"), detail));
    }
    errors
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        let spec = &candidate.pod.spec;
        let own = Constraint::all(&spec.topology_spread_constraints, &candidate.info.kin.labels, DO_NOT_SCHEDULE, None);
        // Default constraints select by what is not at hand here: anything may help.
        let counts = |pod: &Pod| {
            let kin: &Kin = &pod.info.kin;
            kin.namespace == candidate.info.kin.namespace
                && (own.is_empty() || own.iter().any(|constraint| constraint.selector.matches(&kin.labels)))
        };
        let has_labels = |node: &Node| {
            let has = |key: &str| node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(key));
            own.iter().all(|constraint| has(constraint.key))
        };
        match change {
            Change::Pod { old, new } => Hint::when([old, new].into_iter().flatten().any(|pod| counts(pod))),
            Change::Node { old: Some(old), new: Some(new) } => {
                let changed = old.metadata.labels != new.metadata.labels || old.spec != new.spec;
                Hint::when(changed && (has_labels(old) || has_labels(new)))
            }
            Change::Node { old, new } => Hint::when([old, new].into_iter().flatten().any(|node| has_labels(node))),
            Change::Own { old, new } => Hint::when(old.metadata.labels != new.metadata.labels),
            Change::Claim(_)
            | Change::Volume(_)
            | Change::Class(_)
            | Change::Limits
            | Change::DeviceClaim(_)
            | Change::Devices => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let constraints = self.constraints(candidate, snapshot, DO_NOT_SCHEDULE);
        if constraints.is_empty() {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(Spread::new(constraints, candidate, snapshot)))
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        snapshot: &'a Snapshot,
        fitting: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let constraints = self.constraints(candidate, snapshot, SCHEDULE_ANYWAY);
        if constraints.is_empty() {
            return None;
        }
        let needs_all_labels = !self.system || !candidate.pod.spec.topology_spread_constraints.is_empty();
        Some(Box::new(Spreading::new(constraints, candidate, snapshot, fitting, needs_all_labels)))
    }
}
