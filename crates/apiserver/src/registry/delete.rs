//! DELETE: an object disappears, or is marked and disappears later.

use api_types::{Object, StatusError, meta};
use bytes::Bytes;

use super::{
    Door, DryRun, Operation, Registry, Rest, Review, Stored, Target, Write,
    deletion::{DeleteRequest, Plan, plan},
    strategy::{DeleteAnswer, Part, now},
};
use crate::{
    managed_fields::{ManagedFields, put_together},
    storage::{Item, Revision, StoreError},
};

/// How far a deletion has got.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object is gone; the answer for the client.
    Gone(Bytes),
    /// The object is marked; as clients read it.
    Marked(Bytes),
}

impl Registry {
    /// Deletes an object.
    ///
    /// # Errors
    /// 403, 404, 409 (it is not the object that is meant), or the store's.
    pub async fn delete(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        target: Target<'_>,
        request: &DeleteRequest,
    ) -> Result<Deleted, StatusError> {
        if let Some(warning) = rest.strategy.delete_warning().filter(|_| request.propagation.is_none()) {
            write.warn(warning.to_owned());
        }
        let mut item = self.stored(rest, target).await?;
        loop {
            let stored = rest.read(&item).await?;
            let object = &*stored.object;
            if let Some(why) = rest.strategy.undeletable(object)? {
                return Err(StatusError::forbidden(rest.group_resource(), target.name, why));
            }
            request.check(rest.group_kind(), object.meta())?;
            let door =
                Door { operation: Operation::Delete, row: &rest.row, subresource: Part::Main.subresource(), target };
            let mut review = Review::deletion(door, write, object, request);
            self.admit(&mut review).await?;
            self.validate(&review).await?;
            let result = match plan(&*rest.strategy, object, request, now())? {
                Plan::Pending => return Ok(Deleted::Marked(rest.present_item(&item).await?)),
                Plan::Mark(marked) => self.mark(rest, write, &item, marked, &stored.managed).await,
                Plan::Finish(marked) => self.finish(rest, write, &item, stored, marked).await,
                Plan::Remove => self.remove(rest, write, &item, stored).await,
            };
            match result {
                Ok(deleted) => return Ok(deleted),
                Err(Failure::Overtaken(newer)) => item = *newer,
                Err(Failure::Store(error)) => return Err(rest.store_error(target.name, &error)),
                Err(Failure::Other(error)) => return Err(error),
            }
        }
    }

    async fn mark(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        item: &Item,
        mut marked: Box<dyn Object>,
        managed: &ManagedFields,
    ) -> Result<Deleted, Failure> {
        marked.meta_mut().resource_version = None;
        let value = rest.encode(&*marked, &marked.encode().into(), managed).await?;
        let revision = match write.options.dry_run {
            DryRun::All => item.revision,
            DryRun::Off => self.store_marked(rest, item, value.clone()).await?,
        };
        Ok(Deleted::Marked(rest.present_item(&Item { value, revision, ..item.clone() }).await?))
    }

    async fn store_marked(&self, rest: &Rest, item: &Item, value: Bytes) -> Result<Revision, StoreError> {
        let revision = self.store.update(&item.key, item.revision, value, rest.storage.ttl).await?;
        rest.storage.wrote(revision);
        Ok(revision)
    }

    /// Marks the object and removes it. Somebody else may remove it in between.
    async fn finish(
        &self,
        rest: &Rest,
        write: &Write<'_>,
        item: &Item,
        stored: Stored,
        mut marked: Box<dyn Object>,
    ) -> Result<Deleted, Failure> {
        marked.meta_mut().resource_version = None;
        let value = rest.encode(&*marked, &marked.encode().into(), &stored.managed).await?;
        let revision = match write.options.dry_run {
            DryRun::All => item.revision,
            DryRun::Off => self.store_marked(rest, item, value.clone()).await?,
        };
        let item = Item { value, revision, ..item.clone() };
        marked.meta_mut().resource_version = Some(revision.to_string());
        match self.remove(rest, write, &item, Stored { object: marked, ..stored }).await {
            Err(Failure::Store(StoreError::NotFound { .. })) => Ok(Deleted::Gone(rest.present_item(&item).await?)),
            result => result,
        }
    }

    async fn remove(&self, rest: &Rest, write: &Write<'_>, item: &Item, stored: Stored) -> Result<Deleted, Failure> {
        let mut object = stored.object;
        if write.options.dry_run == DryRun::Off {
            let revision = self.store.delete(&item.key, item.revision).await?;
            rest.storage.wrote(revision);
            object.meta_mut().resource_version = Some(revision.to_string());
            rest.strategy.reserve(None, Some(&*object), DryRun::Off).await?.commit().await;
        }
        Ok(Deleted::Gone(match rest.strategy.delete_answer() {
            DeleteAnswer::Object => {
                put_together(&object.encode().into(), &stored.managed).map_err(StatusError::internal)?
            }
            DeleteAnswer::Status => success(rest, object.meta())?,
        }))
    }
}

enum Failure {
    Overtaken(Box<Item>),
    Store(StoreError),
    Other(StatusError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { current, .. } => Self::Overtaken(current),
            error => Self::Store(error),
        }
    }
}

impl From<StatusError> for Failure {
    fn from(error: StatusError) -> Self {
        Self::Other(error)
    }
}

fn success(rest: &Rest, meta: &meta::ObjectMeta) -> Result<Bytes, StatusError> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let status = meta::Status {
        status: Some("Success".into()),
        details: Some(meta::StatusDetails {
            name: meta.name.clone(),
            group: filled(&rest.row.group),
            kind: filled(&rest.row.plural),
            uid: meta.uid.clone(),
            ..meta::StatusDetails::default()
        }),
        ..meta::Status::default()
    };
    serde_json::to_vec(&status).map(Bytes::from).map_err(StatusError::internal)
}
