//! Between versions of a custom resource of which one is like the other.

use std::sync::Arc;

use api_types::{Dynamic, Object, StatusError, custom::Structure};
use futures::future::{self, BoxFuture};

use crate::registry::{Conversion, conversion::Objects};

/// A version, and its schema.
#[derive(Clone)]
pub struct Side {
    /// Such as `example.com/v1`.
    pub api_version: String,
    /// What it has.
    pub schema: Arc<Structure>,
}

/// Objects say that they are of the other version, without what that one does not have.
pub struct Renamed {
    /// The version that is served.
    pub served: Side,
    /// The version that is stored.
    pub stored: Side,
}

impl Conversion for Renamed {
    fn to_stored(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(future::ready(renamed(objects, &self.stored)))
    }

    fn to_served(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(future::ready(renamed(objects, &self.served)))
    }
}

fn renamed(mut objects: Objects, to: &Side) -> Result<Objects, StatusError> {
    for object in &mut objects {
        let object: &mut dyn Object = &mut **object;
        let object = object.expect_mut::<Dynamic>("custom resource")?;
        object.api_version.clone_from(&to.api_version);
        to.schema.prune(&mut object.fields);
    }
    Ok(objects)
}
