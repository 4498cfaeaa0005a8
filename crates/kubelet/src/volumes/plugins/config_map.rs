//! `configMap`: the keys of a config map as files.

use api_types::core::Volume;

use super::Medium;
use super::files::Files;
use crate::volumes::payload::{CONFIG_MAP, Items, Payload, PayloadError, PayloadSources, config_map};

pub(super) static PLUGIN: Files =
    Files { name: "configmap", medium: Medium::Directory, payload, supports: |volume| volume.config_map.is_some() };

fn payload(volume: &Volume, sources: &PayloadSources<'_>) -> Option<Result<Payload, PayloadError>> {
    let source = volume.config_map.as_ref()?;
    let items = Items { wanted: source.items.as_deref(), mode: source.default_mode, optional: source.optional };
    Some(items.pick(&CONFIG_MAP, &source.name, config_map(&source.name, sources)))
}
