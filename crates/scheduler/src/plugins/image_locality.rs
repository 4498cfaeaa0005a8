//! A node that has the images already is better: the larger they are, and the more nodes have them, so that not all pods
//! go where one was first.

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, FnScore, Hint, MAX_SCORE, Normalize, Plugin, Score},
    model::PodSpec,
};

/// See the module.
#[derive(Debug)]
pub struct ImageLocality;

/// Images that are smaller together do not matter; upstream's `minThreshold`.
const LEAST: i64 = 23 << 20;
/// More than this for each container makes no difference; upstream's `maxContainerThreshold`.
const MOST: i64 = 1000 << 20;

/// As nodes tell it: with a tag.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') { image.to_owned() } else { format!("{image}:latest") }
}

fn images(spec: &PodSpec) -> impl Iterator<Item = String> {
    let containers = spec.init_containers.iter().chain(&spec.containers);
    containers.map(|container| tagged(&container.image))
}

fn score(bytes: i64, containers: usize) -> i64 {
    let most = MOST.saturating_mul(i64::try_from(containers).unwrap_or(i64::MAX)).max(LEAST + 1);
    let over = bytes.clamp(LEAST, most) - LEAST;
    i64::try_from(i128::from(MAX_SCORE) * i128::from(over) / i128::from(most - LEAST)).unwrap_or(MAX_SCORE)
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn hint(&self, _: Candidate<'_>, _: &Change) -> Hint {
        Hint::Skip
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        snapshot: &'a Snapshot,
        _: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let spec = &candidate.pod.spec;
        let containers = spec.init_containers.len() + spec.containers.len();
        let nodes = snapshot.node_count().max(1);
        let known = images(spec).map(|image| (snapshot.images().nodes(&image), image));
        let known: Vec<(usize, String)> = known.filter(|(nodes, _)| *nodes > 0).collect();
        // Nobody has any of them.
        if known.is_empty() {
            return None;
        }
        let there = move |node: &NodeInfo, image: &str, having: usize| {
            let at = node.images().binary_search_by(|(name, _)| (**name).cmp(image)).ok()?;
            let size = i128::from(node.images()[at].1);
            let share = size * i128::try_from(having).ok()? / i128::try_from(nodes).ok()?;
            i64::try_from(share).ok()
        };
        Some(Box::new(FnScore(Normalize::Not, move |node: &NodeInfo| {
            let sizes = known.iter().filter_map(|(having, image)| there(node, image, *having));
            score(sizes.fold(0, i64::saturating_add), containers)
        })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Cluster, node, with_candidate};

    fn having(name: &str, images: &[(&str, i64)]) -> Value {
        let images: Vec<Value> =
            images.iter().map(|(name, size)| json!({"names": [name, "other"], "sizeBytes": size << 20})).collect();
        node(name, json!({"status": {"images": images}}))
    }

    fn scores(cluster: &mut Cluster, images: &[&str]) -> Vec<i64> {
        cluster.cache.refresh(&mut cluster.snapshot);
        let containers: Vec<Value> = images.iter().map(|image| json!({"image": image})).collect();
        with_candidate(&json!({"metadata": {}, "spec": {"containers": containers}}), |candidate| {
            let nodes: Vec<&NodeInfo> = cluster.snapshot.nodes().collect();
            let score = ImageLocality.pre_score(candidate, &cluster.snapshot, &nodes);
            score.map(|score| nodes.iter().map(|node| score.score(node)).collect()).unwrap_or_default()
        })
    }

    #[test]
    fn large_images_that_many_have_count() {
        let mut cluster = Cluster::of(&[
            having("a", &[("big:latest", 1500), ("small:1", 20)]),
            having("b", &[("big:latest", 1500), ("r.io:5000/mid:latest", 500)]),
            having("c", &[]),
        ]);
        assert_eq!(scores(&mut cluster, &["big"]), [100, 100, 0]);
        assert_eq!(scores(&mut cluster, &["small:1"]), [0, 0, 0]);
        assert_eq!(scores(&mut cluster, &["r.io:5000/mid"]), [0, (500 / 3 - 23) * 100 / (1000 - 23), 0]);
        assert_eq!(scores(&mut cluster, &["big", "big:2"]), [49, 49, 0]);
        assert!(scores(&mut cluster, &["none"]).is_empty());
    }

    #[test]
    fn nodes_that_change_or_go_are_counted_anew() {
        let mut cluster = Cluster::of(&[having("a", &[("i:1", 9)]), having("b", &[("i:1", 9)])]);
        let count = |cluster: &mut Cluster| {
            cluster.cache.refresh(&mut cluster.snapshot);
            (cluster.snapshot.images().nodes("i:1"), cluster.snapshot.images().nodes("other"))
        };
        assert_eq!(count(&mut cluster), (2, 2));
        cluster.cache.set_node(&std::sync::Arc::new(serde_json::from_value(having("a", &[("j:1", 9)])).unwrap()));
        assert_eq!(count(&mut cluster), (1, 2));
        cluster.cache.remove_node("b");
        assert_eq!(count(&mut cluster), (0, 1));
    }
}
