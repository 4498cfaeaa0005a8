//! The revisions of a stateful set's template.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    apps::{ControllerRevision, StatefulSet},
    meta::ObjectMeta,
    selector::label::Selector,
};

use super::{Controller, Error, failed, identity, plan::Observed};
use crate::{
    history::{self, Creation, LiveOnes, REVISION_LABEL},
    pod_template::template_hash,
};

/// Label of a revision: the hash in its name.
const HASH: &str = "controller.kubernetes.io/hash";
/// Names that are tried for a revision before somebody is told.
const ATTEMPTS: usize = 10;

/// A set's revisions, sorted out.
pub(super) struct History {
    /// That of before the update.
    pub current: Arc<ControllerRevision>,
    /// The newest.
    pub update: Arc<ControllerRevision>,
    /// Names that were taken.
    pub collisions: i32,
    /// All, oldest first.
    all: Vec<Arc<ControllerRevision>>,
}

/// A revision's name.
pub(super) fn name(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

impl Controller {
    /// Makes sure that the template's revision is there and the newest.
    pub(super) async fn revise(&self, set: &StatefulSet, selector: &Selector) -> Result<History, Error> {
        let client = &self.client;
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let data = history::data(&template);
        let all = history::claim(client, &self.revisions, set, selector).await?;
        let number = all.last().map_or(0, |last| last.revision).saturating_add(1);
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let newest = all.last().filter(|last| history::stores(last, &data));
        let equal = newest.or_else(|| all.iter().rev().find(|own| history::stores(own, &data)));
        let update = match (newest, equal) {
            (Some(newest), _) => Arc::clone(newest),
            // Rolled back.
            (None, Some(equal)) => {
                history::renumber(client, equal, number).await.map_err(failed("renumbering a revision"))?
            }
            (None, None) => self.snapshot(set, data, number, &mut collisions).await?,
        };
        let current = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
        let current = all.iter().find(|revision| Some(name(revision)) == current);
        Ok(History { current: Arc::clone(current.unwrap_or(&update)), update, collisions, all })
    }

    /// Creates the revision of the current template, under a name that is free.
    async fn snapshot(
        &self,
        set: &StatefulSet,
        data: serde_json::Value,
        number: i64,
        collisions: &mut i32,
    ) -> Result<Arc<ControllerRevision>, Error> {
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        for _ in 0..ATTEMPTS {
            let hash = template_hash(&template, Some(*collisions));
            let mut labels = template.metadata.as_ref().and_then(|own| own.labels.clone()).unwrap_or_default();
            labels.insert(HASH.to_owned(), hash.clone());
            let metadata = ObjectMeta {
                name: Some(format!("{}-{hash}", identity::name(set))),
                labels: Some(labels),
                annotations: set.metadata.annotations.clone(),
                ..ObjectMeta::default()
            };
            let revision = history::new(set, metadata, data.clone(), number);
            let created = history::create(&self.client, set, &revision).await;
            match created.map_err(failed("creating a revision"))? {
                Creation::Stored(revision) => return Ok(revision),
                Creation::Collision => *collisions = collisions.saturating_add(1),
            }
        }
        Err(Error::Collisions(ATTEMPTS))
    }

    /// Deletes old revisions beyond the history limit that no pod is of.
    pub(super) async fn forget_history(
        &self,
        set: &StatefulSet,
        history: &History,
        observed: &Observed,
    ) -> Result<(), Error> {
        let pods = observed.members.iter().filter_map(|member| member.pod.label(REVISION_LABEL));
        let live: BTreeSet<&str> = pods.chain([name(&history.current), name(&history.update)]).collect();
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let is_live = |revision: &Arc<ControllerRevision>| live.contains(name(revision));
        let gone = history::superfluous(&history.all, is_live, limit, LiveOnes::Apart);
        history::delete(&self.client, &gone).await.map_err(failed("deleting a revision"))
    }
}
