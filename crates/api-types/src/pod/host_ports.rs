//! Ports that pods take on their host: no two pods can have the same one.

use super::{ContainerView, PodView};

/// Every address.
const ANY: &str = "0.0.0.0";

/// A port that a pod takes on its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// `0.0.0.0` means every address.
    pub address: Box<str>,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: Box<str>,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be on one host.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let same = self.address == other.address || &*self.address == ANY || &*other.address == ANY;
        self.port == other.port && self.protocol == other.protocol && same
    }
}

/// The host ports of whatever runs as long as the pod: containers and sidecars.
#[must_use]
pub fn host_ports<P: PodView>(pod: &P) -> Vec<HostPort> {
    let sidecars = pod.init_containers().iter().filter(|container| container.restarts_always());
    let ports = pod.containers().iter().chain(sidecars).flat_map(ContainerView::ports);
    let taken = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let address = port.host_ip.as_deref().filter(|address| !address.is_empty()).unwrap_or(ANY);
        let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
        Some(HostPort { address: address.into(), protocol: protocol.into(), port: number })
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::PodSpec;

    fn ports(spec: Value) -> Vec<HostPort> {
        host_ports(&serde_json::from_value::<PodSpec>(spec).unwrap())
    }

    fn port(own: Value) -> HostPort {
        ports(json!({"containers": [{"name": "c", "ports": [own]}]})).remove(0)
    }

    #[test]
    fn what_ends_before_the_pod_runs_takes_no_port() {
        let container = |number: i32| json!({"name": "c", "ports": [{"containerPort": 1, "hostPort": number}]});
        let mut sidecar = container(2);
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({"containers": [container(1), container(0)], "initContainers": [sidecar, container(3)]});
        assert_eq!(ports(spec).iter().map(|port| port.port).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn conflicts() {
        let any = json!({"containerPort": 1, "hostPort": 80});
        let one = json!({"containerPort": 2, "hostPort": 80, "hostIP": "10.0.0.1"});
        let other = json!({"containerPort": 2, "hostPort": 80, "hostIP": "10.0.0.2"});
        let udp = json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"});
        let cases =
            [(&any, &any, true), (&any, &one, true), (&one, &other, false), (&one, &one, true), (&any, &udp, false)];
        for (a, b, expected) in cases {
            let (first, second) = (port(a.clone()), port(b.clone()));
            let both = (first.conflicts_with(&second), second.conflicts_with(&first));
            assert_eq!(both, (expected, expected), "{a} {b}");
        }
    }
}
