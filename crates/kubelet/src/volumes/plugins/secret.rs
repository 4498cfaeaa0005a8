//! `secret`: the keys of a secret as files, never on a disk.

use api_types::core::Volume;

use super::Medium;
use super::files::Files;
use crate::volumes::payload::{Items, Payload, PayloadError, PayloadSources, SECRET, secret};

pub(super) static PLUGIN: Files =
    Files { name: "secret", medium: Medium::Memory, payload, supports: |volume| volume.secret.is_some() };

fn payload(volume: &Volume, sources: &PayloadSources<'_>) -> Option<Result<Payload, PayloadError>> {
    let source = volume.secret.as_ref()?;
    let name = source.secret_name.as_deref().unwrap_or_default();
    let items = Items { wanted: source.items.as_deref(), mode: source.default_mode, optional: source.optional };
    Some(items.pick(&SECRET, name, secret(name, sources)))
}
