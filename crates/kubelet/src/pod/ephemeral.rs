//! Ephemeral containers: added to a pod that runs, to look at it, and never restarted.

use api_types::core::{Container, EphemeralContainer};

/// The container that it describes. What an ephemeral container may not have is left out: ports, probes, hooks and
/// resources.
#[must_use]
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let own = ephemeral.clone();
    Container {
        name: own.name,
        image: own.image,
        image_pull_policy: own.image_pull_policy,
        command: own.command,
        args: own.args,
        working_dir: own.working_dir,
        env_from: own.env_from,
        env: own.env,
        volume_mounts: own.volume_mounts,
        volume_devices: own.volume_devices,
        security_context: own.security_context,
        termination_message_path: own.termination_message_path,
        termination_message_policy: own.termination_message_policy,
        stdin: own.stdin,
        stdin_once: own.stdin_once,
        tty: own.tty,
        ..Container::default()
    }
}
