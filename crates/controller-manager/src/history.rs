//! Controller revisions: what an owner's template was, so that it can be told which pods are of old and what to go back to.

use std::sync::Arc;

use api_types::{
    apps::ControllerRevision,
    codec::{FromJson, ToJson},
    core::PodTemplateSpec,
    k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::runtime::RawExtension},
    meta::ObjectMeta,
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, Item},
};
use kube::{Client, Resource, api::Patch};
use serde_json::{Value, json};

use crate::{
    ownership::{self, ClaimError, Claims, controller_of, controller_reference},
    pod_control::this_one,
    slim::BY_CONTROLLER,
    write,
};

/// Label of a pod: the revision that it is of.
pub const REVISION_LABEL: &str = "controller-revision-hash";

/// The informer of revisions, by their owners.
#[must_use]
pub fn informer(context: &crate::context::Context) -> Informer<ControllerRevision> {
    let index = |revision: &ControllerRevision| vec![ownership::controller_index(&revision.metadata)];
    context.informer::<ControllerRevision>().with_index(BY_CONTROLLER, index)
}

/// The owner's revisions, after adopting and releasing, oldest first.
///
/// # Errors
/// When one cannot be adopted or released.
pub async fn claim<K>(
    client: &Client,
    revisions: &Informer<ControllerRevision>,
    owner: &K,
    selector: &Selector,
) -> Result<Vec<Arc<ControllerRevision>>, ClaimError>
where
    K: Item<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let mut claimed = Claims::new(client, owner, selector).claim(revisions).await?;
    sort(&mut claimed);
    Ok(claimed)
}

/// By number; of equal ones the older first, then by name.
pub fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by(|a, b| {
        let order = |revision: &ControllerRevision| (revision.revision, revision.metadata.creation_timestamp.clone());
        order(a).cmp(&order(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
}

/// What a revision stores: a strategic patch that puts the template back.
#[must_use]
pub fn data(template: &PodTemplateSpec) -> Value {
    let mut template = template.to_tree();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

/// The template that a revision stores; `None` when it stores something else.
#[must_use]
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    PodTemplateSpec::from_tree(&template).ok()
}

/// Whether the revision stores this.
#[must_use]
pub fn stores(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.as_ref().is_some_and(|own| own.0 == *data)
}

/// A revision of `owner`, as it is created.
pub fn new<K: Resource<DynamicType = ()>>(
    owner: &K,
    mut metadata: ObjectMeta,
    data: Value,
    number: i64,
) -> ControllerRevision {
    metadata.namespace.clone_from(&owner.meta().namespace);
    metadata.owner_references = Some(vec![controller_reference(owner)]);
    ControllerRevision { metadata, data: Some(RawExtension(data)), revision: number }
}

/// What became of a creation.
#[derive(Debug)]
pub enum Creation {
    /// The revision, perhaps one that was there already and that the cache lacked.
    Stored(Arc<ControllerRevision>),
    /// The name is that of another revision.
    Collision,
}

/// Creates a revision under its name.
///
/// # Errors
/// The server's refusal, unless it is that the name is taken.
pub async fn create<K: Resource<DynamicType = ()>>(
    client: &Client,
    owner: &K,
    revision: &ControllerRevision,
) -> Result<Creation, kube::Error> {
    let api = api(client, &revision.metadata);
    match api.create(&write::post_params(), revision).await {
        Ok(created) => Ok(Creation::Stored(Arc::new(created))),
        Err(error) if write::code(&error) == Some(409) => {
            let there = api.get(revision.metadata.name.as_deref().unwrap_or_default()).await?;
            let ours = controller_of(&there.metadata).is_some_and(|own| Some(&own.uid) == owner.meta().uid.as_ref());
            let same = revision.data.as_ref().is_some_and(|data| stores(&there, &data.0));
            Ok(if ours && same { Creation::Stored(Arc::new(there)) } else { Creation::Collision })
        }
        Err(error) => Err(error),
    }
}

/// Gives a revision another number.
///
/// # Errors
/// The server's refusal.
pub async fn renumber(
    client: &Client,
    revision: &ControllerRevision,
    number: i64,
) -> Result<Arc<ControllerRevision>, kube::Error> {
    let patch = json!({
        "metadata": {"uid": revision.metadata.uid, "resourceVersion": revision.metadata.resource_version},
        "revision": number,
    });
    let name = revision.metadata.name.as_deref().unwrap_or_default();
    let patched = api(client, &revision.metadata).patch(name, &write::patch_params(), &Patch::Merge(patch)).await;
    patched.map(Arc::new)
}

/// Deletes revisions; those that are gone already are no error.
///
/// # Errors
/// The server's refusal.
pub async fn delete(client: &Client, revisions: &[Arc<ControllerRevision>]) -> Result<(), kube::Error> {
    for revision in revisions {
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        match api(client, &revision.metadata).delete(name, &this_one(&**revision)).await {
            Err(error) if !write::is_race(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn api(client: &Client, metadata: &ObjectMeta) -> Api<ControllerRevision> {
    Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default())
}

/// Of revisions, oldest first, those beyond the limit that no pod is of.
#[must_use]
pub fn superfluous(
    revisions: &[Arc<ControllerRevision>],
    is_live: impl Fn(&Arc<ControllerRevision>) -> bool,
    limit: Option<i32>,
    live_ones: LiveOnes,
) -> Vec<Arc<ControllerRevision>> {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Vec::new() };
    let dead: Vec<_> = revisions.iter().filter(|revision| !is_live(revision)).cloned().collect();
    let counted = match live_ones {
        LiveOnes::Counted => revisions.len(),
        LiveOnes::Apart => dead.len(),
    };
    dead.into_iter().take(counted.saturating_sub(limit)).collect()
}

/// Whether revisions that pods are of count towards the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveOnes {
    /// They do: daemon sets.
    Counted,
    /// They do not: stateful sets.
    Apart,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(name: &str, number: i64) -> Arc<ControllerRevision> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        Arc::new(ControllerRevision { metadata, data: None, revision: number })
    }

    #[test]
    fn a_template_comes_back() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]},
        }))
        .unwrap();
        let stored = data(&template);
        assert_eq!(stored["spec"]["template"]["$patch"], "replace");
        let mut revision =
            ControllerRevision { data: Some(RawExtension(stored.clone())), ..ControllerRevision::default() };
        assert_eq!(super::template(&revision), Some(template));
        assert!(stores(&revision, &stored));
        revision.data = Some(RawExtension(json!({"spec": 1})));
        assert_eq!(super::template(&revision), None);
    }

    #[test]
    fn old_revisions_go_unless_a_pod_is_of_them() {
        let mut revisions = vec![revision("c", 3), revision("a", 1), revision("d", 4), revision("b", 2)];
        sort(&mut revisions);
        let is_live = |own: &Arc<ControllerRevision>| own.metadata.name.as_deref() == Some("b");
        let names = |limit: Option<i32>, live_ones| {
            let gone = superfluous(&revisions, is_live, limit, live_ones);
            gone.iter().map(|revision| revision.metadata.name.clone().unwrap()).collect::<String>()
        };
        assert_eq!(names(Some(2), LiveOnes::Counted), "ac");
        assert_eq!(names(Some(2), LiveOnes::Apart), "a");
        assert_eq!(names(Some(0), LiveOnes::Apart), "acd");
        assert_eq!(names(Some(9), LiveOnes::Counted), "");
        assert_eq!(names(None, LiveOnes::Counted), "");
    }
}
