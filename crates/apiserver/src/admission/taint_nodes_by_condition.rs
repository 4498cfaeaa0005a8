//! A new node is tainted as not ready, so that nothing is put on it before somebody has looked at its conditions.

use api_types::{
    StatusError,
    core::{Node, Taint},
    rows,
};
use futures::future::BoxFuture;

use crate::registry::{Review, admission::Plugin};

pub(super) struct TaintNodesByCondition;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const NO_SCHEDULE: &str = "NoSchedule";

impl Plugin for TaintNodesByCondition {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.creates(&rows::NODES)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect_mut::<Node>("Node").map(taint);
        Box::pin(async move { Ok(result?) })
    }
}

fn taint(node: &mut Node) {
    let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
    if !taints.iter().any(|taint| taint.key == NOT_READY && taint.effect == NO_SCHEDULE) {
        taints.push(Taint { key: NOT_READY.into(), effect: NO_SCHEDULE.into(), ..Taint::default() });
    }
}
