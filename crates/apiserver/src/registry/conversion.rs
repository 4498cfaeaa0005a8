//! Between the version of a kind that is stored and another that is served. A conversion may call out, so it is
//! asynchronous and takes many objects at once.

use api_types::{Object, StatusError};
use futures::future::{self, BoxFuture};

/// Objects of one version.
pub type Objects = Vec<Box<dyn Object>>;

/// Turns objects of one version into those of another: one for each, in their order. Managed fields are not among what
/// it sees.
pub trait Conversion: Send + Sync + 'static {
    /// From the version that is served to the one that is stored.
    fn to_stored(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>>;

    /// From the version that is stored to the one that is served.
    fn to_served(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>>;
}

/// A conversion between two Rust types that needs nothing but the object.
pub struct Between<Served, Stored> {
    /// From the version that is served.
    pub to_stored: fn(&Served) -> Stored,
    /// To the version that is served.
    pub to_served: fn(&Stored) -> Served,
}

impl<Served: Object, Stored: Object> Conversion for Between<Served, Stored> {
    fn to_stored(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(future::ready(each(objects, self.to_stored)))
    }

    fn to_served(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(future::ready(each(objects, self.to_served)))
    }
}

fn each<From: Object, To: Object>(objects: Objects, convert: fn(&From) -> To) -> Result<Objects, StatusError> {
    let convert = |object: Box<dyn Object>| -> Result<Box<dyn Object>, StatusError> {
        let object = object.downcast_ref::<From>().ok_or_else(|| StatusError::internal("an object of another kind"))?;
        Ok(Box::new(convert(object)))
    };
    objects.into_iter().map(convert).collect()
}

/// What a conversion gave back, which must be as much as it got.
pub(super) fn complete(objects: Objects, expected: usize) -> Result<Objects, StatusError> {
    if objects.len() == expected {
        return Ok(objects);
    }
    Err(StatusError::internal(format!("conversion returned {} objects, expected {expected}", objects.len())))
}
