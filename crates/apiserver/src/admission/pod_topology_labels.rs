//! A pod knows the zone and the region of its node: as labels, which it gets when it is put there.

use std::collections::BTreeMap;

use api_types::{
    Object, StatusError,
    core::{Binding, Node, Pod},
    rows,
};
use futures::future::BoxFuture;

use super::view::View;
use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];
const BINDING: &str = "binding";

pub(super) struct PodTopologyLabels {
    nodes: View<Node>,
}

impl PodTopologyLabels {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { nodes: View::new(registry, &rows::NODES) }
    }

    /// What a node says of where it is; nothing when it is not there.
    async fn labels_of(&self, node: &str) -> Result<Vec<(String, String)>, StatusError> {
        let labels = self.nodes.labels("", node).await?;
        Ok(labels.into_iter().filter(|(key, _)| LABELS.contains(&key.as_str())).collect())
    }
}

impl Plugin for PodTopologyLabels {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        door.row.is(&rows::PODS) && door.operation == Operation::Create && matches!(door.subresource, "" | BINDING)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            if review.door.subresource == BINDING {
                let target = &review.expect::<Binding>("Binding")?.target;
                if target.kind.as_deref() == Some("Node") {
                    let labels = self.labels_of(target.name.as_deref().unwrap_or_default()).await?;
                    label(review.expect_mut::<Binding>("Binding")?, labels);
                }
                return Ok(());
            }
            let pod = review.expect::<Pod>("Pod")?;
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
            if !node.is_empty() {
                let labels = self.labels_of(&node).await?;
                label(review.expect_mut::<Pod>("Pod")?, labels);
            }
            Ok(())
        })
    }
}

/// What is labelled already stays as it is.
fn label(object: &mut dyn Object, labels: Vec<(String, String)>) {
    if labels.is_empty() {
        return;
    }
    let own: &mut BTreeMap<String, String> = object.meta_mut().labels.get_or_insert_default();
    for (key, value) in labels {
        own.entry(key).or_insert(value);
    }
}
