//! `resource.k8s.io/v1.DeviceClass`.

use super::{MAX_CONFIGURATIONS, configuration, each, selectors};
use crate::{
    devices::DeviceClass,
    field::{FieldError, Path},
    object::Kind,
    validation::resource_names,
};

impl Kind for DeviceClass {
    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec");
        let mut errors = selectors(&path.child("selectors"), self.spec.selectors.as_ref());
        errors.extend(each(&path.child("config"), self.spec.config.as_ref(), MAX_CONFIGURATIONS, |path, own| {
            configuration(path, own.opaque.as_ref())
        }));
        if let Some(name) =
            self.spec.extended_resource_name.as_deref().filter(|name| !resource_names::is_extended(name))
        {
            let detail = "must be a valid extended resource name";
            errors.push(FieldError::invalid(&path.child("extendedResourceName"), name, detail));
        }
        errors
    }
}
