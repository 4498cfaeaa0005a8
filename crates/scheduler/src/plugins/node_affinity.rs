//! `nodeSelector`, required node affinity (filters) and preferred node affinity (scores).

use api_types::{
    core::NodeAffinity as Affinity,
    field::{FieldError, Path},
    pod::node_affinity::{NodeView, Preferred, Required},
    pod_spec::validate_node_affinity,
};
use serde::Deserialize;

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, FnScore, Hint, Normalize, Plugin, PreFilter, Rejection, Score},
    model::Node,
};

const MISMATCH: &str = "node(s) didn't match Pod's node affinity/selector";
const ENFORCED_MISMATCH: &str = "node(s) didn't match scheduler-enforced node affinity";
const CONFLICT: &str = "pod affinity terms conflict";

/// `NodeAffinityArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// Asked of every pod besides its own affinity.
    added_affinity: Option<Affinity>,
}

/// See the module.
#[derive(Debug)]
pub struct NodeAffinity {
    added: Option<Affinity>,
}

impl NodeAffinity {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When the added affinity is malformed.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let path = path.child("addedAffinity");
        let errors = args.added_affinity.as_ref().map(|added| validate_node_affinity(&path, added)).unwrap_or_default();
        if errors.is_empty() { Ok(Self { added: args.added_affinity }) } else { Err(errors) }
    }

    fn added(&self) -> Required<'_> {
        Required::of(None, self.added.as_ref())
    }
}

fn own<'a>(candidate: Candidate<'a>) -> Option<&'a Affinity> {
    candidate.pod.spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref())
}

fn required<'a>(candidate: Candidate<'a>) -> Required<'a> {
    Required::of(candidate.pod.spec.node_selector.as_deref(), own(candidate))
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        let (own, added) = (required(candidate), self.added());
        let matches = |node: &Node| {
            let no_labels = Default::default();
            let labels = node.metadata.labels.as_ref().unwrap_or(&no_labels);
            let view = NodeView { name: node.metadata.name.as_deref().unwrap_or_default(), labels };
            own.matches(view) && added.matches(view)
        };
        match change {
            Change::Node { old, new: Some(new) } => {
                Hint::when(matches(new) && old.as_ref().is_none_or(|old| !matches(old)))
            }
            Change::Own { old, new } => {
                let same = old.spec.node_selector == new.spec.node_selector && old.spec.affinity == new.spec.affinity;
                Hint::when(!same)
            }
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let (own, added) = (required(candidate), self.added());
        if own.is_anywhere() && added.is_anywhere() {
            return Ok(PreFilter::default());
        }
        let among = own.names();
        if among.as_ref().is_some_and(|names| names.is_empty()) {
            return Err(Rejection::never_here(CONFLICT));
        }
        let filter = move |node: &NodeInfo| match (added.matches(node.view()), own.matches(node.view())) {
            (true, true) => Ok(()),
            (false, _) => Err(Rejection::never_here(ENFORCED_MISMATCH)),
            (true, false) => Err(Rejection::never_here(MISMATCH)),
        };
        Ok(PreFilter { among, ..PreFilter::each(filter) })
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        _: &'a Snapshot,
        _: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let (own, added) = (Preferred::of(own(candidate)), Preferred::of(self.added.as_ref()));
        if own.is_empty() && added.is_empty() {
            return None;
        }
        let score = move |node: &NodeInfo| own.score(node.view()) + added.score(node.view());
        Some(Box::new(FnScore(Normalize::HighestBest, score)))
    }
}
