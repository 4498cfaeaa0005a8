//! A definition that is deleted takes its objects along: they are deleted, and when the last one is gone, so is the
//! definition.

use std::{collections::HashSet, sync::Arc};

use api_types::{StatusError, custom::FINALIZER};
use component::backoff::Backoff;

use super::status::{self, TERMINATING, Wanted, condition};
use crate::{
    registry::{
        Change, Changed, Part, Registry, Rest, Stored, Target, Write,
        deletion::DeleteRequest,
        own::{loopback_user, own_options},
    },
    storage::{
        Key,
        cache::{Bookmarks, Change as CacheChange, ChangeKind, Delivery, Freshness, Mark, Start, WatchRequest},
    },
};

/// The end of a definition.
pub struct Cleaning {
    pub registry: Arc<Registry>,
    pub definitions: Arc<Rest>,
    pub name: String,
    /// Its objects; none where it was never served.
    pub objects: Option<Arc<Rest>>,
}

impl Cleaning {
    /// Goes on until the definition is gone, or the server ends.
    pub async fn run(self) {
        let mut backoff = Backoff::reconnect();
        while let Err(error) = self.clean().await {
            tracing::warn!(definition = %self.name, "its objects are not deleted yet: {error}");
            let failed = condition(TERMINATING, true, "InstanceDeletionFailed", error.to_string());
            let _ = self.say(failed).await;
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn say(
        &self,
        condition: api_types::apiextensions::CustomResourceDefinitionCondition,
    ) -> Result<(), StatusError> {
        status::write(&self.registry, &self.definitions, &self.name, &Wanted::condition(condition)).await
    }

    async fn clean(&self) -> Result<(), StatusError> {
        if let Some(objects) = &self.objects {
            let message = "CustomResource deletion is in progress";
            self.say(condition(TERMINATING, true, "InstanceDeletionInProgress", message)).await?;
            self.delete_all(objects).await?;
        }
        self.say(condition(TERMINATING, false, "InstanceDeletionCompleted", "removed all instances")).await?;
        let user = loopback_user();
        let write = Write::new(&user, own_options());
        let target = Target { namespace: "", name: &self.name };
        match self.registry.update(&self.definitions, &write, target, Part::Main, &Release).await {
            Err(error) if error.reason() != "NotFound" => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes what there is and what still comes, until nothing is left.
    async fn delete_all(&self, rest: &Rest) -> Result<(), StatusError> {
        let failed = |error| rest.store_error("", &error);
        let request = WatchRequest {
            scope: rest.scope(""),
            selector: None,
            start: Start::StateThenBookmark(Freshness::Consistent),
            bookmarks: Bookmarks::Omit,
            timeout: None,
        };
        let mut watcher = rest.cache().watch(request).await.map_err(failed)?;
        let mut left: HashSet<Key> = HashSet::new();
        let mut complete = false;
        while !complete || !left.is_empty() {
            let Some(deliveries) = watcher.next().await else {
                return Err(StatusError::internal("the watch of its objects ended"));
            };
            for delivery in deliveries.map_err(failed)? {
                match delivery {
                    Delivery::Change(change) => self.take(rest, &change, &mut left).await?,
                    Delivery::Bookmark(bookmark) => complete |= bookmark.mark == Mark::InitialEventsEnd,
                }
            }
        }
        Ok(())
    }

    async fn take(&self, rest: &Rest, change: &CacheChange, left: &mut HashSet<Key>) -> Result<(), StatusError> {
        let key = change.entry.key();
        if change.kind == ChangeKind::Deleted {
            left.remove(key);
            return Ok(());
        }
        if !left.insert(key.clone()) {
            return Ok(());
        }
        let (namespace, name) = rest.names(key);
        let user = loopback_user();
        let write = Write::new(&user, own_options());
        match self.registry.delete(rest, &write, Target { namespace, name }, &DeleteRequest::default()).await {
            Err(error) if error.reason() != "NotFound" => Err(error),
            _ => Ok(()),
        }
    }
}

/// Lets a definition go.
struct Release;

impl Change for Release {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut object = current.object.clone_object();
        if let Some(finalizers) = &mut object.meta_mut().finalizers {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}
