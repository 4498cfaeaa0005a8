//! Lifecycle hooks.

use std::net::IpAddr;
use std::time::Duration;

use api_types::core::{Container, LifecycleHandler};

use crate::probes::http;
use crate::runtime::{ContainerId, Runtime};

/// A hook has no limit of its own; what runs it has.
const AT_MOST: Duration = Duration::from_secs(3600);

/// Runs a hook to its end.
///
/// # Errors
/// Why it failed, in words for an event.
pub(super) async fn run(
    runtime: &dyn Runtime,
    hook: &LifecycleHandler,
    container: &Container,
    id: &ContainerId,
    address: Option<IpAddr>,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.as_deref().unwrap_or_default();
        return match runtime.exec_sync(id, command, AT_MOST).await {
            Ok(output) if output.exit_code == 0 => Ok(()),
            Ok(output) => Err(format!(
                "Exec lifecycle hook ({command:?}) for Container {:?} failed - error: command exited with {}, message: {:?}",
                container.name,
                output.exit_code,
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()),
            )),
            Err(error) => Err(error.to_string()),
        };
    }
    if let Some(action) = &hook.http_get {
        let address = address.ok_or("the pod has no address")?;
        let request = http::Request::from_action(action, container, address)?;
        return http::ask_once(&request, AT_MOST).await;
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    // `tcpSocket` has never worked as a hook; as upstream.
    Err("invalid handler".to_owned())
}
