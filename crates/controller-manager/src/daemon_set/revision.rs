//! The revisions of a daemon set's template.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    apps::{ControllerRevision, DaemonSet},
    meta::ObjectMeta,
    selector::label::Selector,
};
use component::api::Api;
use kube::api::Patch;
use serde_json::{Value, json};

use super::{Controller, Error, failed, plan::Observed};
use crate::{
    history::{self, Creation, LiveOnes, REVISION_LABEL},
    pod_template::template_hash,
    slim::{BY_CONTROLLER, Pod},
    write,
};

/// A set's revisions, sorted out.
pub(super) struct History {
    /// The hash of the current one, as its pods carry it.
    pub hash: String,
    /// The others, oldest first.
    old: Vec<Arc<ControllerRevision>>,
}

impl Controller {
    /// Makes sure that the current template has a revision, one only, and the newest. `None` when something was written
    /// that has to come back first.
    pub(super) async fn revise(&self, set: &DaemonSet, selector: &Selector) -> Result<Option<History>, Error> {
        let client = &self.control.client;
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let data = history::data(&template);
        let all = history::claim(client, &self.revisions, set, selector).await?;
        let (mut current, old): (Vec<_>, Vec<_>) = all.into_iter().partition(|own| history::stores(own, &data));
        let number = old.iter().map(|revision| revision.revision).max().unwrap_or(0).saturating_add(1);
        let newest = match current.pop() {
            Some(newest) => {
                self.merge(set, &newest, &current).await?;
                newest
            }
            None => match self.snapshot(set, data, number).await? {
                Some(created) => created,
                None => return Ok(None),
            },
        };
        if newest.revision < number {
            history::renumber(client, &newest, number).await.map_err(failed("renumbering a revision"))?;
        }
        Ok(Some(History { hash: hash_of(&newest).to_owned(), old }))
    }

    /// Creates the revision of the current template.
    async fn snapshot(
        &self,
        set: &DaemonSet,
        data: Value,
        number: i64,
    ) -> Result<Option<Arc<ControllerRevision>>, Error> {
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let hash = template_hash(&template, collisions);
        let mut labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        labels.insert(REVISION_LABEL.to_owned(), hash.clone());
        let metadata = ObjectMeta {
            name: Some(format!("{}-{hash}", set.metadata.name.as_deref().unwrap_or_default())),
            labels: Some(labels),
            annotations: set.metadata.annotations.clone(),
            ..ObjectMeta::default()
        };
        let revision = history::new(set, metadata, data, number);
        let created = history::create(&self.control.client, set, &revision).await;
        match created.map_err(failed("creating a revision"))? {
            Creation::Stored(revision) => Ok(Some(revision)),
            Creation::Collision => {
                let collisions = collisions.unwrap_or(0).saturating_add(1);
                let patch = json!({"metadata": {"uid": set.metadata.uid}, "status": {"collisionCount": collisions}});
                let name = set.metadata.name.as_deref().unwrap_or_default();
                let written = self.api(set).patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
                written.map_err(failed("counting a collision"))?;
                Ok(None)
            }
        }
    }

    /// Of several revisions of one template the newest stays, and the pods are its.
    async fn merge(
        &self,
        set: &DaemonSet,
        newest: &ControllerRevision,
        others: &[Arc<ControllerRevision>],
    ) -> Result<(), Error> {
        if others.is_empty() {
            return Ok(());
        }
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.control.client.clone(), namespace);
        let hashes: BTreeSet<&str> = others.iter().map(|revision| hash_of(revision)).collect();
        for pod in self.pods.store().by_index(BY_CONTROLLER, uid) {
            if pod.label(REVISION_LABEL).is_some_and(|hash| hashes.contains(hash)) {
                let labels = json!({REVISION_LABEL: hash_of(newest)});
                let patch = Patch::Merge(json!({"metadata": {"uid": pod.metadata.uid, "labels": labels}}));
                let relabelled = api.patch(&pod.key().name, &write::patch_params(), &patch).await;
                relabelled.map_err(failed("labelling a pod"))?;
            }
        }
        history::delete(&self.control.client, others).await.map_err(failed("deleting a revision"))
    }

    /// Deletes old revisions beyond the history limit that no pod is of.
    pub(super) async fn forget_history(
        &self,
        set: &DaemonSet,
        history: &History,
        observed: &Observed<'_>,
    ) -> Result<(), Error> {
        let pods = observed.nodes.values().flat_map(|node| &node.pods);
        let live: BTreeSet<&str> = pods.filter_map(|pod| pod.label(REVISION_LABEL)).collect();
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let is_live = |revision: &Arc<ControllerRevision>| live.contains(hash_of(revision));
        let gone = history::superfluous(&history.old, is_live, limit, LiveOnes::Counted);
        history::delete(&self.control.client, &gone).await.map_err(failed("deleting a revision"))
    }
}

/// The hash that pods of a revision carry; the name of one without.
fn hash_of(revision: &ControllerRevision) -> &str {
    let label = revision.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION_LABEL));
    label.or(revision.metadata.name.as_ref()).map(String::as_str).unwrap_or_default()
}
