//! Asking once.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api_types::IntOrString;
use api_types::core::Container;
use tokio::net::TcpStream;

use super::{Target, grpc, http};
use crate::runtime::{Runtime, RuntimeError};

/// How much of a command's output an event shows, as upstream.
const OUTPUT: usize = 1024;

/// What one attempt found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Well.
    Success,
    /// Well, with something that people should know.
    Warning(String),
    /// Not well, and what was seen.
    Failure(String),
    /// The question could not be asked.
    Unknown(String),
}

impl From<Result<(), String>> for Finding {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Success,
            Err(seen) => Self::Failure(seen),
        }
    }
}

/// Runs the target's probe once.
pub(super) async fn check(runtime: &dyn Runtime, target: &Target) -> Finding {
    let timeout = Duration::from_secs(u64::try_from(target.probe.timeout_seconds.unwrap_or(1)).unwrap_or(1).max(1));
    if let Some(exec) = &target.probe.exec {
        return run_command(runtime, target, exec.command.as_deref().unwrap_or_default(), timeout).await;
    }
    let Some(address) = target.address else {
        return Finding::Unknown("the pod has no address".to_owned());
    };
    if let Some(action) = &target.probe.http_get {
        return match http::Request::from_action(action, &target.container, address) {
            Ok(request) => match http::probe(&request, timeout).await {
                Ok(http::Health::Well) => Finding::Success,
                Ok(http::Health::Elsewhere(what)) => Finding::Warning(what),
                Err(seen) => Finding::Failure(seen),
            },
            Err(error) => Finding::Unknown(error),
        };
    }
    if let Some(action) = &target.probe.tcp_socket {
        let host = action.host.as_deref().and_then(|host| host.parse().ok()).unwrap_or(address);
        return match port(&action.port, &target.container) {
            Ok(port) => dial(host, port, timeout).await.map(drop).into(),
            Err(error) => Finding::Unknown(error),
        };
    }
    match &target.probe.grpc {
        Some(action) => match u16::try_from(action.port) {
            Ok(port) => grpc::probe(SocketAddr::new(address, port), action.service.as_deref(), timeout).await.into(),
            Err(_) => Finding::Unknown(format!("invalid port number: {}", action.port)),
        },
        None => Finding::Unknown("missing probe handler".to_owned()),
    }
}

async fn run_command(runtime: &dyn Runtime, target: &Target, command: &[String], timeout: Duration) -> Finding {
    match runtime.exec_sync(&target.id, command, timeout).await {
        Ok(output) if output.exit_code == 0 => Finding::Success,
        Ok(output) => {
            let both = [output.stdout.as_ref(), output.stderr.as_ref()].concat();
            let shown = &both[..both.len().min(OUTPUT)];
            Finding::Failure(String::from_utf8_lossy(shown).into_owned())
        }
        Err(RuntimeError::Timeout(after)) => {
            Finding::Failure(format!("command timed out: {:?} timed out after {after:?}", command.join(" ")))
        }
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

/// A port by number, or by the name that the container gives it.
pub(super) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let usable = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    usable.ok_or_else(|| match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("couldn't find port {name:?} in container {:?}", container.name),
    })
}

/// Connects, with errors in Go's words.
pub(super) async fn dial(address: IpAddr, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let address = SocketAddr::new(address, port);
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: connect: {}", in_gos_words(&error))),
    }
}

fn in_gos_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error.kind() {
        ConnectionRefused => "connection refused".to_owned(),
        HostUnreachable => "no route to host".to_owned(),
        NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_by_number_and_by_name() {
        let container: Container =
            serde_json::from_value(serde_json::json!({"name": "c", "ports": [{"name": "web", "containerPort": 80}]}))
                .unwrap();
        assert_eq!(port(&IntOrString::Int(8080), &container), Ok(8080));
        assert_eq!(port(&IntOrString::String("web".into()), &container), Ok(80));
        assert_eq!(port(&IntOrString::String("9090".into()), &container), Ok(9090));
        assert!(port(&IntOrString::Int(0), &container).is_err());
        assert!(port(&IntOrString::Int(70_000), &container).is_err());
        assert!(port(&IntOrString::String("none".into()), &container).is_err());
    }
}
