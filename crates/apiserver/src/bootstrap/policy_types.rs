//! Statuses of policies: what is wrong with their expressions, given the types of the objects that they are about.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api_types::{
    StatusError,
    admissionregistration::{TypeChecking, ValidatingAdmissionPolicy},
    meta,
};
use component::{Daemon, backoff::Backoff};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Notify;

use super::{loopback_user, own_options};
use crate::{
    admission::policy_warnings,
    registry::{
        Change, Changed, Part, Registry, Stored, Target, Write,
        following::{Gvr, Mirror, Mirrored, follow},
    },
};

const POLICIES: Gvr = ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies");

/// Keeps the statuses as long as the daemon runs. Of several servers, each may write them: they write the same.
pub async fn keep(registry: &Arc<Registry>, daemon: &Daemon) {
    let due = Arc::new(Due::default());
    let _synced = follow(vec![Mirrored::new(POLICIES, due.clone())], registry, daemon);
    let mut backoff = Backoff::reconnect();
    loop {
        due.told.notified().await;
        while let Some(name) = due.next() {
            match check(registry, &name).await {
                Ok(()) => backoff.reset(),
                Err(error) if error.code() == 404 => {}
                Err(error) => {
                    tracing::warn!("status of policy {name}: {error}");
                    due.again(name);
                    tokio::time::sleep(backoff.next_delay().max(Duration::from_millis(5))).await;
                }
            }
        }
    }
}

/// Policies whose newest generation nobody has looked at.
#[derive(Default)]
struct Due {
    names: Mutex<BTreeSet<String>>,
    told: Notify,
}

impl Due {
    fn next(&self) -> Option<String> {
        self.names.lock().pop_first()
    }

    fn again(&self, name: String) {
        self.names.lock().insert(name);
        self.told.notify_one();
    }
}

/// As much of a policy as tells whether somebody has to look at it.
#[derive(Deserialize)]
struct Seen {
    metadata: meta::ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    observed_generation: Option<i64>,
}

impl Mirror for Due {
    fn put(&self, _namespace: &str, name: &str, json: &[u8]) {
        let seen = serde_json::from_slice::<Seen>(json);
        if seen.is_ok_and(|seen| seen.metadata.generation > seen.status.observed_generation) {
            self.again(name.to_owned());
        }
    }

    fn remove(&self, _namespace: &str, name: &str) {
        self.names.lock().remove(name);
    }
}

async fn check(registry: &Arc<Registry>, name: &str) -> Result<(), StatusError> {
    let (group, version, plural) = POLICIES;
    let Some(rest) = registry.find(group, version, plural) else { return Ok(()) };
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let target = Target { namespace: "", name };
    registry.update(&rest, &write, target, Part::Status, &Observe(registry)).await.map(drop)
}

/// What was found out of the policy as it is now.
struct Observe<'a>(&'a Registry);

impl Change for Observe<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut policy: ValidatingAdmissionPolicy =
            current.object.expect_ref::<ValidatingAdmissionPolicy>("ValidatingAdmissionPolicy")?.clone();
        let warnings = policy.spec.as_ref().map(|spec| policy_warnings(spec, self.0)).unwrap_or_default();
        let status = policy.status.get_or_insert_default();
        status.observed_generation = policy.metadata.generation;
        status.type_checking =
            Some(TypeChecking { expression_warnings: Some(warnings).filter(|warnings| !warnings.is_empty()) });
        Ok(Changed { object: Box::new(policy), managed: None })
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}
