//! Watching one object until something is true of it. A watch that ends is begun anew from what is there.

use std::time::Duration;

use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use crate::{
    api::Api,
    error::{Error, Result},
};

/// An object as it was seen last.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Path of its collection.
    pub collection: String,
    /// Its name.
    pub name: String,
    /// Itself.
    pub object: Value,
}

impl Seen {
    /// Of an object of a core kind in a namespace.
    #[must_use]
    pub fn of(object: &Value, plural: &str) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let collection = format!("/api/v1/namespaces/{}/{plural}", text("namespace"));
        Self { collection, name: text("name").to_owned(), object: object.clone() }
    }
}

/// What became of the object.
pub enum Change {
    /// It is there, and like this.
    There(Value),
    /// It is gone.
    Gone,
}

/// The object, once `condition` is true of it; zero waits for ever.
///
/// # Errors
/// When that takes too long, or the object is deleted.
pub async fn until(api: &Api, seen: &Seen, timeout: Duration, condition: impl Fn(&Value) -> bool) -> Result<Value> {
    if condition(&seen.object) {
        return Ok(seen.object.clone());
    }
    let name = &seen.name;
    follow(api, seen, timeout, async |change| match change {
        Change::There(object) if condition(&object) => Ok(Some(object)),
        Change::There(_) => Ok(None),
        Change::Gone => Err(Error::usage(format!("{name:?} was deleted"))),
    })
    .await
}

/// Shows every change to `look`, until that has found what it wants; zero waits for ever.
///
/// # Errors
/// When that takes too long, or `look` fails.
pub async fn follow<T>(
    api: &Api,
    seen: &Seen,
    timeout: Duration,
    mut look: impl AsyncFnMut(Change) -> Result<Option<T>>,
) -> Result<T> {
    let followed = Box::pin(watch(api, seen, &mut look));
    if timeout.is_zero() {
        return followed.await;
    }
    let followed = tokio::time::timeout(timeout, followed).await;
    followed.unwrap_or_else(|_| Err(Error::usage("timed out waiting for the condition")))
}

async fn watch<T>(api: &Api, seen: &Seen, look: &mut impl AsyncFnMut(Change) -> Result<Option<T>>) -> Result<T> {
    let mut version = seen.object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    loop {
        let selector = super::query(&[
            ("fieldSelector", Some(format!("metadata.name={}", seen.name).as_str())),
            ("resourceVersion", Some(version.as_str())),
        ]);
        let url = format!("{}?watch=true&{selector}", seen.collection);
        let mut lines = api.stream(&url, "application/json").await?.lines();
        while let Some(line) = lines.try_next().await.map_err(|error| Error::Unreachable(error.to_string()))? {
            let mut event: Value =
                serde_json::from_str(&line).map_err(|error| Error::Unreachable(error.to_string()))?;
            let change = match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => Change::There(event["object"].take()),
                Some("DELETED") => Change::Gone,
                _ => break,
            };
            if let Some(found) = look(change).await? {
                return Ok(found);
            }
        }
        // The watch ended, or is too old: what is there now is the truth.
        let now = api.get(&format!("{}/{}", seen.collection, seen.name)).await;
        let change = match now {
            Ok(object) => {
                version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                Change::There(object)
            }
            Err(error) if error.is_not_found() => Change::Gone,
            Err(error) => return Err(error),
        };
        if let Some(found) = look(change).await? {
            return Ok(found);
        }
    }
}

/// Waits until the object of this UID is gone; zero waits for ever.
///
/// # Errors
/// When that takes too long or the server refuses.
pub async fn until_gone(api: &Api, collection: &str, name: &str, uid: Option<&str>, timeout: Duration) -> Result<()> {
    let object = match api.get(&format!("{collection}/{name}")).await {
        Err(error) if error.is_not_found() => return Ok(()),
        result => result?,
    };
    let same = |object: &Value| uid.is_none_or(|uid| object["metadata"]["uid"] == uid);
    if !same(&object) {
        return Ok(());
    }
    let seen = Seen { collection: collection.to_owned(), name: name.to_owned(), object };
    follow(api, &seen, timeout, async |change| {
        let gone = match change {
            Change::There(object) => !same(&object),
            Change::Gone => true,
        };
        Ok(gone.then_some(()))
    })
    .await
}
