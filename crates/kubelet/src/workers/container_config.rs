//! A container's configuration for the runtime: pure.

use std::collections::BTreeMap;
use std::path::Path;

use api_types::core::{Container, Pod};

use super::{IMAGE_REFERENCE, NODE_LABEL, NodeFacts, security};
use crate::env::expand::expand;
use crate::pod::{container_hash, qos};
use crate::runtime::{ContainerConfig, ContainerId, ImageInfo, LinuxResources, Mount};

const MESSAGE_PATH: &str = "/dev/termination-log";
const MESSAGE_POLICY: &str = "File";

/// What has been looked up for a container.
pub(super) struct ConfigSources<'a> {
    /// Its restart count.
    pub(super) attempt: u32,
    /// Its image.
    pub(super) image: &'a ImageInfo,
    /// Its environment.
    pub(super) env: Vec<(String, String)>,
    /// Everything mounted into it.
    pub(super) mounts: Vec<Mount>,
    /// The node.
    pub(super) node: &'a NodeFacts,
    /// `--root-dir`, under which seccomp profiles are.
    pub(super) root: &'a Path,
    /// The container whose processes it sees.
    pub(super) target: Option<ContainerId>,
}

/// The container's configuration.
pub(super) fn render(pod: &Pod, container: &Container, sources: ConfigSources<'_>) -> ContainerConfig {
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        let lookup = |name: &str| sources.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        words.iter().flatten().map(|word| expand(word, lookup)).collect()
    };
    let text = |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    ContainerConfig {
        name: container.name.clone(),
        attempt: sources.attempt,
        image: sources.image.id.0.clone(),
        image_name: container.image.clone().unwrap_or_default(),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().filter(|directory| !directory.is_empty()),
        resources: resources(pod, container, sources.node.memory),
        security: security::of_container(pod, container, sources.root),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        stop_signal: container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone()),
        hash: container_hash(container),
        termination_message_path: text(&container.termination_message_path, MESSAGE_PATH),
        termination_message_policy: text(&container.termination_message_policy, MESSAGE_POLICY),
        labels: BTreeMap::from([(NODE_LABEL.to_owned(), sources.node.name.clone())]),
        annotations: BTreeMap::from([(IMAGE_REFERENCE.to_owned(), sources.image.reference.clone())]),
        mounts: sources.mounts,
        target: sources.target,
        env: sources.env,
        ..ContainerConfig::default()
    }
}

fn resources(pod: &Pod, container: &Container, node_memory: i64) -> LinuxResources {
    LinuxResources { oom_score_adj: qos::oom_score_adj(pod, container, node_memory), ..qos::limits(container) }
}
