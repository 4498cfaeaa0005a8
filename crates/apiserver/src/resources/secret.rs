//! Secrets: `stringData` is for writing only.

use api_types::{core::Secret, k8s_openapi::ByteString};

use crate::registry::TypedStrategy;

pub(super) struct Secrets;

impl TypedStrategy for Secrets {
    type Kind = Secret;

    fn prepare_for_create(&self, new: &mut Secret) {
        fold_string_data(new);
    }

    fn prepare_for_update(&self, new: &mut Secret, _old: &Secret) {
        fold_string_data(new);
    }
}

fn fold_string_data(secret: &mut Secret) {
    let Some(strings) = secret.string_data.take() else { return };
    let data = secret.data.get_or_insert_default();
    data.extend(strings.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
}
