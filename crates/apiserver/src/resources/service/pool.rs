//! A range that several API servers hand out from: the taken places are one value in the store, changed only by
//! whoever has seen its newest version.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::range::{Place, Places, Range};
use crate::{
    registry::reservation::Release,
    storage::{Key, Revision, Store, StoreError},
};

/// Why places cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Somebody has it.
    #[error("place is already allocated")]
    Taken(Place),
    /// Everybody has one.
    #[error("range is full")]
    Full,
    /// The store does not answer, or holds something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wanted of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This place.
    Exactly(Place),
    /// Any free one.
    Any,
}

/// A range in the store.
#[derive(Clone)]
pub struct Pool {
    store: Arc<dyn Store>,
    key: Key,
    /// What is handed out.
    pub range: Range,
}

/// The stored form: upstream's `RangeAllocation`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RangeAllocation {
    kind: String,
    api_version: String,
    metadata: serde_json::Value,
    range: String,
    data: String,
}

impl Pool {
    /// A pool that is stored at this key.
    pub fn new(store: Arc<dyn Store>, key: Key, range: Range) -> Self {
        Self { store, key, range }
    }

    /// Takes one place for each wish, or none at all.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn take(&self, wishes: &[Wanted]) -> Result<Vec<Place>, PoolError> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        self.change(|places| wishes.iter().map(|wish| fulfil(&self.range, places, *wish)).collect()).await
    }

    /// What [`Self::take`] would give now; nothing is taken.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn look(&self, wishes: &[Wanted]) -> Result<Vec<Place>, PoolError> {
        let mut places = self.taken().await?;
        wishes.iter().map(|wish| fulfil(&self.range, &mut places, *wish)).collect()
    }

    /// Gives a place back.
    ///
    /// # Errors
    /// The store's.
    pub async fn give_back(&self, place: Place) -> Result<(), PoolError> {
        self.change(|places| {
            places.remove(place);
            Ok(())
        })
        .await
    }

    /// The places that are taken.
    ///
    /// # Errors
    /// The store's.
    pub async fn taken(&self) -> Result<Places, PoolError> {
        Ok(self.read().await?.0)
    }

    /// Changes the set, anew with what others have made of it until nobody else is faster.
    ///
    /// # Errors
    /// The change's own, or the store's.
    pub async fn change<T>(&self, change: impl Fn(&mut Places) -> Result<T, PoolError>) -> Result<T, PoolError> {
        loop {
            let (before, revision) = self.read().await?;
            let mut after = before.clone();
            let outcome = change(&mut after)?;
            if after == before {
                return Ok(outcome);
            }
            let value = self.encode(&after)?;
            let written = match revision {
                Some(revision) => self.store.update(&self.key, revision, value, None).await,
                None => self.store.create(&self.key, value, None).await,
            };
            match written {
                Ok(_) => return Ok(outcome),
                Err(StoreError::Conflict { .. } | StoreError::Exists { .. } | StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The set and its revision. A set of another range tells nothing about this one: repair fills it from the objects.
    async fn read(&self) -> Result<(Places, Option<Revision>), PoolError> {
        let item = match self.store.get(&self.key).await {
            Ok(item) => item,
            Err(StoreError::NotFound { .. }) => return Ok((Places::default(), None)),
            Err(error) => return Err(error.into()),
        };
        let damaged = |cause: String| StoreError::corrupt("read range allocation", cause);
        let stored: RangeAllocation = serde_json::from_slice(&item.value).map_err(|e| damaged(e.to_string()))?;
        if stored.range != self.range.spec() {
            return Ok((Places::default(), Some(item.revision)));
        }
        let bits = STANDARD.decode(&stored.data).map_err(|error| damaged(error.to_string()))?;
        Ok((Places::from_bits(bits), Some(item.revision)))
    }

    fn encode(&self, places: &Places) -> Result<Bytes, StoreError> {
        let stored = RangeAllocation {
            kind: "RangeAllocation".into(),
            api_version: "v1".into(),
            metadata: serde_json::json!({}),
            range: self.range.spec(),
            data: STANDARD.encode(places.bits()),
        };
        let json = serde_json::to_vec(&stored).map_err(|error| StoreError::corrupt("write range allocation", error))?;
        Ok(json.into())
    }
}

fn fulfil(range: &Range, places: &mut Places, wish: Wanted) -> Result<Place, PoolError> {
    let place = match wish {
        Wanted::Exactly(place) => place,
        Wanted::Any => range.pick(places).ok_or(PoolError::Full)?,
    };
    if places.insert(place) { Ok(place) } else { Err(PoolError::Taken(place)) }
}

/// One place of a pool that is to be given back.
pub(super) struct Held {
    pub pool: Pool,
    pub place: Place,
}

impl Release for Held {
    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // What stays taken by mistake is found again by repair.
            if let Err(error) = self.pool.give_back(self.place).await {
                tracing::warn!(key = %self.pool.key, place = self.place.0, "giving back: {error}");
            }
        })
    }
}
