//! `downwardAPI`: fields of the pod and resources of its containers as files.

use api_types::core::{DownwardAPIVolumeFile, Volume};

use super::Medium;
use super::files::Files;
use crate::env::{EnvError, fields};
use crate::pod::PodExt;
use crate::volumes::payload::{File, Payload, PayloadError, PayloadSources, mode_bits};

pub(super) static PLUGIN: Files =
    Files { name: "downward-api", medium: Medium::Memory, payload, supports: |volume| volume.downward_api.is_some() };

fn payload(volume: &Volume, sources: &PayloadSources<'_>) -> Option<Result<Payload, PayloadError>> {
    let source = volume.downward_api.as_ref()?;
    Some(downward(source.items.as_deref().unwrap_or_default(), source.default_mode, sources))
}

/// The files of a list of fields.
pub(super) fn downward(
    files: &[DownwardAPIVolumeFile],
    mode: Option<i32>,
    sources: &PayloadSources<'_>,
) -> Result<Payload, PayloadError> {
    let mut payload = Payload::new();
    for file in files {
        let value = if let Some(field) = &file.field_ref {
            fields::field(sources.pod, &field.field_path, sources.ips, sources.node_ips)?
        } else if let Some(resource) = &file.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or_default();
            let container = sources.pod.container(name).map(|(_, container)| container);
            let container = container.ok_or_else(|| EnvError::Resource(format!("container {name:?} not found")))?;
            fields::resource(&container, resource, sources.allocatable)?
        } else {
            continue;
        };
        let mode = mode_bits(file.mode.or(mode));
        payload.insert(file.path.clone(), File { content: value.into_bytes(), mode, owner: None });
    }
    Ok(payload)
}
