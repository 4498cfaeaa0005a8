//! `projected`: several sources in one volume.

use api_types::core::{Volume, VolumeProjection};

use super::Medium;
use super::downward_api::downward;
use super::files::Files;
use crate::volumes::Ownership;
use crate::volumes::payload::{
    CONFIG_MAP, File, Items, Payload, PayloadError, PayloadSources, SECRET, TokenKey, config_map, mode_bits, secret,
};

/// Permissions of a token in a pod that says whose its files are.
const TOKEN_MODE: u32 = 0o600;

pub(super) static PLUGIN: Files =
    Files { name: "projected", medium: Medium::Memory, payload, supports: |volume| volume.projected.is_some() };

fn payload(volume: &Volume, sources: &PayloadSources<'_>) -> Option<Result<Payload, PayloadError>> {
    let source = volume.projected.as_ref()?;
    let projections = source.sources.iter().flatten();
    let payloads = projections.map(|projection| project(projection, source.default_mode, sources));
    Some(payloads.collect::<Result<Vec<Payload>, _>>().map(|payloads| payloads.into_iter().flatten().collect()))
}

fn project(
    projection: &VolumeProjection,
    mode: Option<i32>,
    sources: &PayloadSources<'_>,
) -> Result<Payload, PayloadError> {
    if let Some(source) = &projection.config_map {
        let items = Items { wanted: source.items.as_deref(), mode, optional: source.optional };
        return items.pick(&CONFIG_MAP, &source.name, config_map(&source.name, sources));
    }
    if let Some(source) = &projection.secret {
        let items = Items { wanted: source.items.as_deref(), mode, optional: source.optional };
        return items.pick(&SECRET, &source.name, secret(&source.name, sources));
    }
    if let Some(source) = &projection.downward_api {
        return downward(source.items.as_deref().unwrap_or_default(), mode, sources);
    }
    if let Some(source) = &projection.service_account_token {
        let token = sources.tokens.get(&TokenKey::of(source));
        let token = token.cloned().unwrap_or_else(|| Err("it has not been requested".to_owned()));
        let content = token.map_err(PayloadError::Token)?.into_bytes();
        let Ownership { user, group } = Ownership::of(sources.pod);
        // The group's share is added to this.
        let mode = if user.or(group).is_some() { TOKEN_MODE } else { mode_bits(mode) };
        return Ok(Payload::from([(source.path.clone(), File { content, mode, owner: user })]));
    }
    Err(PayloadError::Unsupported(if projection.cluster_trust_bundle.is_some() {
        "clusterTrustBundle"
    } else {
        "podCertificate"
    }))
}
