//! The range of cluster IPs as an object: what the flag says, as `ServiceCIDR` `kubernetes`.

use api_types::{
    StatusError,
    jiff::Timestamp,
    meta::{Condition, ObjectMeta, Time},
    networking::{ServiceCIDR, ServiceCIDRSpec},
    rows,
};

use super::{create_absent, loopback_user, own_options, served};
use crate::{
    registry::{Change, Changed, Part, Registry, Stored, Target, Write, strategy::now},
    resources::service::range::Range,
};

const NAME: &str = "kubernetes";
const READY: &str = "Ready";

/// Creates the object unless it is there, and says that the range is served, unless that is said or it has another
/// range.
///
/// # Errors
/// The store's.
pub async fn ensure(registry: &Registry, addresses: &Range) -> Result<(), StatusError> {
    let rest = served(registry, &rows::SERVICE_CIDRS)?;
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let cidrs = vec![addresses.spec()];
    let new = ServiceCIDR {
        metadata: ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() },
        spec: Some(ServiceCIDRSpec { cidrs: Some(cidrs.clone()) }),
        status: None,
    };
    create_absent(registry, &rows::SERVICE_CIDRS, vec![Box::new(new)]).await?;
    let change = SayReady { cidrs, at: now() };
    registry.update(&rest, &write, Target { namespace: "", name: NAME }, Part::Status, &change).await.map(drop)
}

struct SayReady {
    cidrs: Vec<String>,
    at: Timestamp,
}

impl Change for SayReady {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        if let Some(range) = new.downcast_mut::<ServiceCIDR>()
            && range.spec.as_ref().and_then(|spec| spec.cidrs.as_ref()) == Some(&self.cidrs)
        {
            let conditions = range.status.get_or_insert_default().conditions.get_or_insert_default();
            if !conditions.iter().any(|condition| condition.type_ == READY) {
                conditions.push(ready(self.at));
            }
        }
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

fn ready(at: Timestamp) -> Condition {
    Condition {
        type_: READY.into(),
        status: "True".into(),
        message: "Kubernetes default Service CIDR is ready".into(),
        last_transition_time: Time(at),
        reason: String::new(),
        observed_generation: None,
    }
}
