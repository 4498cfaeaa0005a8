//! Which container of a pod a request means, and the kubelet's path for it.

use api_types::{
    StatusError,
    core::{Container, EphemeralContainer, Pod},
};

use serde_json::Value;

use crate::request::Query;

/// The node that a pod runs on.
pub(super) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// The container that is meant: the named one, or the only one.
///
/// # Errors
/// 400 when that is not clear.
pub(super) fn container(pod: &Pod, named: Option<&str>) -> Result<String, StatusError> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let names = |containers: &[Container]| containers.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    let spec = pod.spec.as_ref();
    let main = spec.map(|spec| names(&spec.containers)).unwrap_or_default();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).map(names).unwrap_or_default();
    let ephemeral = |containers: &[EphemeralContainer]| containers.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    let ephemeral = spec.and_then(|spec| spec.ephemeral_containers.as_deref()).map(ephemeral).unwrap_or_default();
    if let Some(named) = named {
        let known = main.iter().chain(&init).chain(&ephemeral).any(|container| container == named);
        let unknown = || StatusError::bad_request(format!("container {named} is not valid for pod {name}"));
        return if known { Ok(named.to_owned()) } else { Err(unknown()) };
    }
    match main.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(StatusError::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => {
            let all = [init, main, ephemeral].concat().join(" ");
            let text = format!("a container name must be specified for pod {name}, choose one of: [{all}]");
            Err(StatusError::bad_request(text))
        }
    }
}

/// Options of logs that the kubelet knows by the same name.
const LOG_OPTIONS: &[&str] =
    &["follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "stream", "tailLines", "timestamps"];

/// The kubelet's path for a container's logs.
pub(super) fn log_path(pod: &Pod, container: &str, options: &Value) -> String {
    let written = LOG_OPTIONS.iter().filter_map(|name| match &options[*name] {
        Value::Bool(true) => Some((*name, "true".to_owned())),
        Value::Number(number) => Some((*name, number.to_string())),
        Value::String(text) => Some((*name, text.clone())),
        _ => None,
    });
    let written: Vec<_> = written.collect();
    with_query(path("containerLogs", pod, container), written.iter().map(|(name, value)| (*name, value.as_str())))
}

/// The kubelet's path for forwarding ports of a pod.
pub(super) fn port_forward_path(pod: &Pod, query: &Query) -> String {
    let ports: Vec<&str> = query.all("ports").filter(|port| !port.is_empty()).collect();
    let ports = Some(ports.join(",")).filter(|ports| !ports.is_empty());
    let path = format!("/portForward/{}", place(pod));
    with_query(path, ports.iter().map(|ports| ("port", ports.as_str())))
}

/// Streams in the API's words and in the kubelet's.
const STREAMS: [(&str, &str); 4] = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// The kubelet's path for `exec` or `attach`.
pub(super) fn stream_path(verb: &str, pod: &Pod, container: &str, query: &Query) -> String {
    let streams = STREAMS.iter().filter(|(ours, _)| query.flag(ours)).map(|(_, theirs)| (*theirs, "1"));
    let command = query.all("command").map(|word| ("command", word));
    with_query(path(verb, pod, container), streams.chain(command))
}

fn path(verb: &str, pod: &Pod, container: &str) -> String {
    format!("/{verb}/{}/{container}", place(pod))
}

/// Namespace and name in a path.
fn place(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    format!("{namespace}/{name}")
}

fn with_query<'a>(mut path: String, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    for (index, (name, value)) in pairs.enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        escape(value, &mut path);
    }
    path
}

fn escape(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use api_types::core::PodSpec;

    use super::*;

    fn pod(containers: &[&str]) -> Pod {
        let containers =
            containers.iter().map(|name| Container { name: (*name).into(), ..Container::default() }).collect();
        let mut pod = Pod { spec: Some(PodSpec { containers, ..PodSpec::default() }), ..Pod::default() };
        pod.metadata.name = Some("p".into());
        pod.metadata.namespace = Some("n".into());
        pod
    }

    #[test]
    fn a_container_must_be_clear() {
        let message = |containers: &[&str], named| container(&pod(containers), named).map_err(|e| e.to_string());
        assert_eq!(message(&["a"], None).unwrap(), "a");
        assert_eq!(message(&["a", "b"], Some("b")).unwrap(), "b");
        assert_eq!(
            message(&["a", "b"], None).unwrap_err(),
            "a container name must be specified for pod p, choose one of: [a b]"
        );
        assert_eq!(message(&["a"], Some("x")).unwrap_err(), "container x is not valid for pod p");
    }

    #[test]
    fn paths_are_the_kubelets() {
        let query =
            Query::parse("command=sh&command=-c&command=echo%20a%26b&stdin=true&stdout=1&tty=false&container=c");
        assert_eq!(
            stream_path("exec", &pod(&["c"]), "c", &query),
            "/exec/n/p/c?input=1&output=1&command=sh&command=-c&command=echo%20a%26b"
        );
        assert_eq!(
            port_forward_path(&pod(&["c"]), &Query::parse("ports=80&ports=81")),
            "/portForward/n/p?port=80%2C81"
        );
        assert_eq!(port_forward_path(&pod(&["c"]), &Query::parse("")), "/portForward/n/p");
        let options = serde_json::json!({"follow": true, "container": "c", "tailLines": 5, "previous": false});
        assert_eq!(log_path(&pod(&["c"]), "c", &options), "/containerLogs/n/p/c?follow=true&tailLines=5");
    }
}
