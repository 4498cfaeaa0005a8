//! Services: a port can be a node port, and a load balancer is one.

use super::{Amounts, ONE};
use crate::{
    core::{Service, ServiceSpec},
    quantity::{Format, Quantity},
};

pub(super) const NAMES: &[&str] = &["count/services", "services", "services.nodeports", "services.loadbalancers"];

pub(super) fn amounts(service: &Service) -> Amounts {
    let spec = service.spec.as_ref();
    let balancer = spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let balancers = if balancer { ONE } else { Quantity::ZERO };
    let ports = spec.map_or(0, node_ports);
    let ports = Quantity::new(i64::try_from(ports).unwrap_or(i64::MAX), Format::DecimalSi);
    let amounts = [ONE, ONE, ports, balancers];
    NAMES.iter().map(|name| (*name).to_owned()).zip(amounts).collect()
}

/// What is not yet allotted counts, too; unless it is not going to be.
fn node_ports(spec: &ServiceSpec) -> usize {
    let ports = spec.ports.as_deref().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => {
            ports.iter().filter(|port| port.node_port.is_some_and(|number| number != 0)).count()
        }
        Some("NodePort" | "LoadBalancer") => ports.len(),
        _ => 0,
    }
}
