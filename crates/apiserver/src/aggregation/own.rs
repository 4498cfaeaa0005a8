//! An API service for each version of each group in which custom resources are served: clients ask for them, and
//! priorities are written there. Those of built-in groups are made at the start ([`crate::bootstrap::api_services`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api_types::{
    Object, StatusError,
    apiregistration::{APIService, APIServiceSpec},
    meta::ObjectMeta,
};
use component::{Daemon, backoff::Backoff};
use parking_lot::Mutex;
use serde::Deserialize;

use super::{API_SERVICES, api_services, read};
use crate::{
    discovery::Priority,
    registry::{
        Change, Changed as New, Part, Registry, Stored, Target, Write,
        deletion::DeleteRequest,
        following::{Changed, Gvr, Mirror, Mirrored, follow},
        own::{loopback_user, own_options},
    },
};

/// Who looks after an API service; who removes the label does so from then on.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const DEFINITIONS: Gvr = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");
/// The longest pause before what failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Keeps them, as long as the daemon runs.
pub async fn keep(registry: &Arc<Registry>, daemon: &Daemon) {
    let wanted = Arc::new(Wanted::default());
    let there = Arc::new(There(wanted.clone()));
    let mirrors = vec![Mirrored::new(DEFINITIONS, wanted.clone()), Mirrored::new(API_SERVICES, there)];
    for mut synced in follow(mirrors, registry, daemon) {
        // A task that has ended has ended with the daemon.
        let _ = synced.wait_for(|synced| *synced).await;
    }
    let mut backoff = Backoff::reconnect();
    loop {
        wanted.changed.wait().await;
        let mut failed = Vec::new();
        for name in wanted.changed.take() {
            if let Err(error) = settle(registry, &wanted, &name).await {
                tracing::warn!("API service {name}: {error}");
                failed.push(name);
            }
        }
        if failed.is_empty() {
            backoff.reset();
        } else {
            wanted.changed.add(failed);
            tokio::time::sleep(backoff.next_delay().min(LONGEST_PAUSE)).await;
        }
    }
}

/// Which versions there are to be, by definition, and which of them have to be looked at.
#[derive(Default)]
struct Wanted {
    by_definition: Mutex<BTreeMap<String, BTreeSet<String>>>,
    changed: Changed,
}

impl Wanted {
    fn set(&self, definition: &str, names: BTreeSet<String>) {
        let mut all = self.by_definition.lock();
        let before =
            if names.is_empty() { all.remove(definition) } else { all.insert(definition.to_owned(), names.clone()) };
        drop(all);
        let before = before.unwrap_or_default();
        self.changed.add(names.symmetric_difference(&before).cloned());
    }

    fn wants(&self, name: &str) -> bool {
        self.by_definition.lock().values().any(|names| names.contains(name))
    }
}

/// As much of a definition as is asked for here.
#[derive(Deserialize)]
struct Definition {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    served: bool,
}

impl Mirror for Wanted {
    fn put(&self, _: &str, name: &str, json: &[u8]) {
        let Ok(Definition { spec }) = serde_json::from_slice(json) else { return };
        let served = spec.versions.iter().filter(|version| version.served);
        self.set(name, served.map(|version| format!("{}.{}", version.name, spec.group)).collect());
    }

    fn remove(&self, _: &str, name: &str) {
        self.set(name, BTreeSet::new());
    }
}

/// What there is.
struct There(Arc<Wanted>);

impl Mirror for There {
    fn put(&self, _: &str, name: &str, _: &[u8]) {
        self.0.changed.add([name.to_owned()]);
    }

    fn remove(&self, _: &str, name: &str) {
        self.0.changed.add([name.to_owned()]);
    }
}

/// What is to be done about an API service.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Nothing,
    Create,
    Update,
    Delete,
}

fn plan(wanted: Option<&APIServiceSpec>, there: Option<&APIService>) -> Action {
    match (wanted, there) {
        (Some(_), None) => Action::Create,
        (None, None) => Action::Nothing,
        (_, Some(there)) if !is_managed(there) => Action::Nothing,
        (None, Some(_)) => Action::Delete,
        (Some(wanted), Some(there)) if there.spec.as_ref() == Some(wanted) => Action::Nothing,
        (Some(_), Some(_)) => Action::Update,
    }
}

fn is_managed(service: &APIService) -> bool {
    service.metadata.labels.as_ref().and_then(|labels| labels.get(AUTOMANAGED)).is_some_and(|value| value == "true")
}

fn spec(name: &str) -> Option<APIServiceSpec> {
    let (version, group) = name.split_once('.')?;
    Some(APIServiceSpec {
        group: Some(group.to_owned()),
        version: Some(version.to_owned()),
        group_priority_minimum: Priority::USUAL.group,
        version_priority: Priority::USUAL.version,
        ..APIServiceSpec::default()
    })
}

async fn settle(registry: &Registry, wanted: &Wanted, name: &str) -> Result<(), StatusError> {
    let wanted = spec(name).filter(|_| wanted.wants(name));
    let there = read(registry, name).await?;
    let rest = api_services(registry)?;
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let target = Target { namespace: "", name };
    let done = match (plan(wanted.as_ref(), there.as_ref()), wanted) {
        (Action::Create, Some(spec)) => registry.create(&rest, &write, "", object(name, spec)).await.map(drop),
        (Action::Update, Some(spec)) => {
            registry.update(&rest, &write, target, Part::Main, &Settle(spec)).await.map(drop)
        }
        (Action::Delete, _) => registry.delete(&rest, &write, target, &DeleteRequest::default()).await.map(drop),
        _ => Ok(()),
    };
    match done {
        // Another server was quicker.
        Err(error) if ["AlreadyExists", "NotFound"].contains(&error.reason()) => Ok(()),
        done => done,
    }
}

fn object(name: &str, spec: APIServiceSpec) -> Box<dyn Object> {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([(AUTOMANAGED.to_owned(), "true".to_owned())].into()),
        ..ObjectMeta::default()
    };
    Box::new(APIService { metadata, spec: Some(spec), status: None })
}

/// Says again what an API service has to say.
struct Settle(APIServiceSpec);

impl Change for Settle {
    fn apply(&self, current: &Stored) -> Result<New, StatusError> {
        let mut object = current.object.clone_object();
        object.expect_mut::<APIService>("APIService")?.spec = Some(self.0.clone());
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<New>, StatusError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_managed_here_is_changed() {
        let wanted = spec("v1.example.com").unwrap();
        let there = |label: Option<&str>, group: i32| APIService {
            metadata: ObjectMeta {
                labels: label.map(|label| [(AUTOMANAGED.to_owned(), label.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(APIServiceSpec { group_priority_minimum: group, ..wanted.clone() }),
            status: None,
        };
        for (wants, there, expected) in [
            (true, None, Action::Create),
            (false, None, Action::Nothing),
            (true, Some(there(Some("true"), 1000)), Action::Nothing),
            (true, Some(there(Some("true"), 7)), Action::Update),
            (true, Some(there(Some("onstart"), 7)), Action::Nothing),
            (true, Some(there(None, 7)), Action::Nothing),
            (false, Some(there(Some("true"), 7)), Action::Delete),
            (false, Some(there(Some("onstart"), 7)), Action::Nothing),
            (false, Some(there(None, 7)), Action::Nothing),
        ] {
            assert_eq!(plan(Some(&wanted).filter(|_| wants), there.as_ref()), expected);
        }
    }

    #[test]
    fn what_two_definitions_share_stays_while_one_wants_it() {
        let wanted = Wanted::default();
        let put = |name: &str, versions: &[(&str, bool)]| {
            let versions: Vec<_> =
                versions.iter().map(|(name, served)| serde_json::json!({"name": name, "served": served})).collect();
            let json = serde_json::json!({"spec": {"group": "example.com", "versions": versions}});
            wanted.put("", name, json.to_string().as_bytes());
            wanted.changed.take().into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(put("a", &[("v1", true), ("v2", false)]), "v1.example.com");
        assert_eq!(put("b", &[("v1", true)]), "v1.example.com");
        assert_eq!(put("a", &[("v1", true), ("v2", true)]), "v2.example.com");
        wanted.remove("", "a");
        assert!(wanted.wants("v1.example.com") && !wanted.wants("v2.example.com"));
    }
}
