//! What a service is told: its status, and whose it is.

use api_types::{
    core::{LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus},
    jiff::Timestamp,
    meta::{Condition, Time},
};

use super::ledger::{Grant, Port, Refusal, Request};

/// Keeps a service until its addresses are free again, as upstream's service controller does.
pub(super) const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
/// `spec.loadBalancerClass` of this controller; a service without a class is its, too.
pub(super) const CLASS: &str = "ferrokube.io/addresses";
/// Upstream's condition of ports that a load balancer does not give.
const PORTS_ERROR: &str = "LoadBalancerPortsError";
const PORTS_IN_USE: &str = "PortsInUse";

/// What a service is to this controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It wants addresses.
    Wants,
    /// It wanted some, and has to be told that it has none any more.
    Leaves,
    /// Nothing.
    Other,
}

/// What the service is to this controller.
pub(super) fn role(service: &Service) -> Role {
    let spec = service.spec.as_ref();
    let class = spec.and_then(|spec| spec.load_balancer_class.as_deref());
    if class.is_some_and(|class| class != CLASS) {
        return Role::Other;
    }
    let balanced = spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    match (balanced && service.metadata.deletion_timestamp.is_none(), has_finalizer(service)) {
        (true, _) => Role::Wants,
        (false, true) => Role::Leaves,
        (false, false) => Role::Other,
    }
}

/// Whether the service waits for this controller when it is deleted.
pub(super) fn has_finalizer(service: &Service) -> bool {
    service.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// What the service asks for.
///
/// # Errors
/// `loadBalancerIP`, when it is no address.
pub(super) fn request(service: &Service) -> Result<Request, String> {
    let spec = service.spec.clone().unwrap_or_default();
    let asked = spec.load_balancer_ip.filter(|text| !text.is_empty());
    let asked = asked.map(|text| text.parse().map_err(|_| format!("loadBalancerIP {text:?} is not an IP address")));
    let port = |port: api_types::core::ServicePort| Port {
        protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
        number: port.port,
    };
    Ok(Request {
        families: spec.ip_families.unwrap_or_else(|| vec!["IPv4".to_owned()]),
        ports: spec.ports.into_iter().flatten().map(port).collect(),
        asked: asked.transpose()?,
    })
}

/// The addresses in the service's status.
pub(super) fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

/// The status without addresses.
pub(super) fn without_addresses(service: &Service) -> ServiceStatus {
    updated(service, Vec::new(), None)
}

/// The status that tells what the service got.
pub(super) fn told(service: &Service, settled: &Result<Grant, Refusal>) -> ServiceStatus {
    match settled {
        Ok(grant) => {
            let entry = |ip: &std::net::IpAddr| LoadBalancerIngress {
                ip: Some(ip.to_string()),
                ip_mode: Some("VIP".to_owned()),
                ..LoadBalancerIngress::default()
            };
            let conflict = grant.conflict.as_ref().map(ToString::to_string);
            updated(service, grant.addresses.iter().map(entry).collect(), conflict)
        }
        Err(Refusal::Taken(conflict)) => updated(service, Vec::new(), Some(conflict.to_string())),
        Err(_) => without_addresses(service),
    }
}

fn updated(service: &Service, ingress: Vec<LoadBalancerIngress>, conflict: Option<String>) -> ServiceStatus {
    let before = service.status.clone().unwrap_or_default();
    let (own, mut conditions): (Vec<_>, Vec<_>) =
        before.conditions.into_iter().flatten().partition(|condition| condition.type_ == PORTS_ERROR);
    let condition = conflict.map(|message| {
        let same = own.into_iter().find(|own| own.message == message && own.status == "True");
        same.unwrap_or_else(|| Condition {
            type_: PORTS_ERROR.to_owned(),
            status: "True".to_owned(),
            reason: PORTS_IN_USE.to_owned(),
            message,
            last_transition_time: Time(Timestamp::now()),
            observed_generation: service.metadata.generation,
        })
    });
    conditions.extend(condition);
    let ingress = (!ingress.is_empty()).then_some(ingress);
    ServiceStatus {
        load_balancer: Some(LoadBalancerStatus { ingress }),
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn services_are_told_apart() {
        let cases = [
            (json!({"type": "LoadBalancer"}), false, false, Role::Wants),
            (json!({"type": "LoadBalancer", "loadBalancerClass": CLASS}), false, true, Role::Wants),
            (json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/x"}), false, false, Role::Other),
            (json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/x"}), true, true, Role::Other),
            (json!({"type": "LoadBalancer"}), true, true, Role::Leaves),
            (json!({"type": "LoadBalancer"}), true, false, Role::Other),
            (json!({"type": "ClusterIP"}), false, true, Role::Leaves),
            (json!({"type": "ClusterIP"}), false, false, Role::Other),
        ];
        for (spec, going, finalizer, expected) in cases {
            let deleted: Value = if going { "2026-01-01T00:00:00Z".into() } else { Value::Null };
            let finalizers = if finalizer { json!([FINALIZER]) } else { json!(["x"]) };
            let metadata = json!({"deletionTimestamp": deleted, "finalizers": finalizers});
            let service: Service = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
            assert_eq!(role(&service), expected, "{service:?}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let service = |ip: &str| -> Service {
            serde_json::from_value(json!({"metadata": {}, "spec": {"loadBalancerIP": ip}})).unwrap()
        };
        assert_eq!(request(&service("host")).unwrap_err(), "loadBalancerIP \"host\" is not an IP address");
        assert_eq!(request(&service("")).unwrap().asked, None);
    }
}
