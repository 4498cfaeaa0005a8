//! A pod that names a node goes there or nowhere.

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
};

/// See the module.
#[derive(Debug)]
pub struct NodeName;

fn wanted<'a>(candidate: Candidate<'a>) -> Option<&'a str> {
    candidate.pod.spec.node_name.as_deref().filter(|name| !name.is_empty())
}

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Node { old: None, new: Some(node) } => {
                Hint::when(wanted(candidate).is_none_or(|name| node.metadata.name.as_deref() == Some(name)))
            }
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let Some(name) = wanted(candidate) else { return Ok(PreFilter::default()) };
        Ok(PreFilter::each(move |node: &NodeInfo| {
            let named = node.name() == name;
            if named { Ok(()) } else { Err(Rejection::never_here("node(s) didn't match the requested node name")) }
        }))
    }
}
