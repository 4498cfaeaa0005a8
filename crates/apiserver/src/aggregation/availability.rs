//! Whether a server behind this one can be asked: what its API service says of that.

use std::time::Duration;

use api_types::{
    Object, StatusError,
    apiregistration::{APIService, APIServiceCondition},
    core::Service,
    discovery::EndpointSlice,
    meta::Time,
    rows,
};
use futures::{StreamExt, stream::FuturesUnordered};
use http::{HeaderMap, HeaderValue, header};

use super::remote::{Remote, Settings};
use crate::{
    discovery::Foreign,
    registry::{
        Change, Changed, Part, Registry, Stored, Target, Write,
        own::{loopback_user, own_options},
        strategy::now,
    },
    webhook::{addresses, slices},
};

/// The condition.
const AVAILABLE: &str = "Available";
/// So many times a server is asked at once: one answer is enough, and not every endpoint need be well.
const ATTEMPTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(5);
/// How much is read of what a server tells of its resources, in bytes.
const RESOURCES_MAX: usize = 4 << 20;

/// What is said of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Verdict {
    fn not(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }

    fn unknown(reason: &'static str, message: String) -> Self {
        Self { status: "Unknown", reason, message }
    }

    /// What this server serves itself is always there.
    #[must_use]
    pub fn local() -> Self {
        Self { status: "True", reason: "Local", message: "Local APIServices are always available".to_owned() }
    }

    fn passed() -> Self {
        Self { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
    }

    /// Whether the server can be asked.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.status == "True"
    }

    /// Whether a condition says so.
    fn is_said(&self, condition: &APIServiceCondition) -> bool {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        condition.status == self.status
            && text(&condition.reason) == self.reason
            && text(&condition.message) == self.message
    }
}

/// Whether an API service says that its server can be asked.
#[must_use]
pub fn was_available(service: &APIService) -> bool {
    said(service).is_some_and(|condition| condition.status == "True")
}

/// Whether an API service says this of its server.
#[must_use]
pub fn says(service: &APIService, verdict: &Verdict) -> bool {
    said(service).is_some_and(|condition| verdict.is_said(condition))
}

fn said(service: &APIService) -> Option<&APIServiceCondition> {
    let mut conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == AVAILABLE)
}

/// Finds out whether a server can be asked, and what it tells of its resources.
pub async fn check(registry: &Registry, remote: &Remote, group_version: &str) -> (Verdict, Option<Foreign>) {
    if let Err(verdict) = behind_service(registry, remote.settings()).await {
        return (verdict, None);
    }
    match discovered(remote, group_version).await {
        Ok(foreign) => (Verdict::passed(), foreign),
        Err(why) => (Verdict::not("FailedDiscoveryCheck", why), None),
    }
}

/// Whether anything is behind the service.
async fn behind_service(registry: &Registry, settings: &Settings) -> Result<(), Verdict> {
    let Settings { namespace, name, .. } = settings;
    let unchecked = |error: StatusError| format!("service/{name} in {namespace:?} cannot be checked due to: {error}");
    let service = match service(registry, namespace, name).await {
        Ok(service) => Some(service),
        Err(error) if error.code() == 404 => None,
        Err(error) => return Err(Verdict::unknown("ServiceAccessError", unchecked(error))),
    };
    let slices = slices(registry, namespace, name).await;
    let slices = slices.map_err(|error| Verdict::unknown("EndpointsAccessError", unchecked(error)))?;
    judge(settings, service.as_ref(), &slices)
}

async fn service(registry: &Registry, namespace: &str, name: &str) -> Result<Service, StatusError> {
    let services = registry.core("services")?;
    let entry = registry.get_cached(&services, Target { namespace, name }).await?;
    let object = services.decode(entry.item()).await?;
    Ok(object.expect_ref::<Service>("Service")?.clone())
}

fn judge(settings: &Settings, service: Option<&Service>, slices: &[EndpointSlice]) -> Result<(), Verdict> {
    let Settings { namespace, name, port, .. } = settings;
    let Some(service) = service else {
        return Err(Verdict::not("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref().is_some_and(|kind| kind != "ClusterIP") {
        return Ok(());
    }
    let Some(found) = spec.ports.iter().flatten().find(|own| own.port == i32::from(*port)) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Err(Verdict::not("ServicePortError", message));
    };
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Err(Verdict::not("EndpointsNotFound", message));
    }
    if slices.iter().all(|slice| addresses(slice, found).is_empty()) {
        let port = found.name.as_deref().unwrap_or_default();
        let message =
            format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {port:?}");
        return Err(Verdict::not("MissingEndpoints", message));
    }
    Ok(())
}

/// What a server tells of its resources, when it answers at all; whether that makes sense is another question.
async fn discovered(remote: &Remote, group_version: &str) -> Result<Option<Foreign>, String> {
    let attempts: FuturesUnordered<_> = (0..ATTEMPTS).map(|_| attempt(remote, group_version)).collect();
    let mut attempts = std::pin::pin!(attempts);
    let mut last = String::new();
    while let Some(result) = attempts.next().await {
        match result {
            Ok(foreign) => return Ok(foreign),
            Err(why) => last = why,
        }
    }
    Err(last)
}

async fn attempt(remote: &Remote, group_version: &str) -> Result<Option<Foreign>, String> {
    let root = if group_version.contains('/') { "apis" } else { "api" };
    let path = format!("/{root}/{group_version}");
    let url = remote.url(&path);
    let accept = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
    let said = tokio::time::timeout(PATIENCE, remote.ask(&path, accept, RESOURCES_MAX)).await;
    let failing = |why: &str| format!("failing or missing response from {url}: {why}");
    let said = said.map_err(|_| failing("context deadline exceeded"))?.map_err(|why| failing(&why))?;
    if !said.status.is_success() {
        let code = said.status.as_u16();
        return Err(failing(&format!("bad status from {url}: {code}")));
    }
    let foreign = Foreign::read(&said.body, group_version);
    Ok(foreign.inspect_err(|why| tracing::warn!("resources at {url}: {why}")).ok())
}

/// Says it in the API service, unless that is gone.
///
/// # Errors
/// The store's.
pub async fn write(registry: &Registry, name: &str, verdict: &Verdict) -> Result<(), StatusError> {
    let row = &rows::API_SERVICES;
    let Some(rest) = registry.find(&row.group, &row.version, &row.plural) else { return Ok(()) };
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    match registry.update(&rest, &write, Target { namespace: "", name }, Part::Status, &Say(verdict)).await {
        Err(error) if error.reason() != "NotFound" => Err(error),
        _ => Ok(()),
    }
}

struct Say<'a>(&'a Verdict);

impl Change for Say<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut object: Box<dyn Object> = current.object.clone_object();
        let service = object.expect_mut::<APIService>("APIService")?;
        let conditions = service.status.get_or_insert_default().conditions.get_or_insert_default();
        let verdict = self.0;
        let before = conditions.iter_mut().find(|condition| condition.type_ == AVAILABLE);
        let since = before.as_ref().filter(|before| before.status == verdict.status);
        let since = since.map_or_else(|| Some(Time(now())), |before| before.last_transition_time.clone());
        let condition = APIServiceCondition {
            type_: AVAILABLE.to_owned(),
            status: verdict.status.to_owned(),
            reason: Some(verdict.reason.to_owned()),
            message: Some(verdict.message.clone()),
            last_transition_time: since,
        };
        match before {
            Some(before) => *before = condition,
            None => conditions.push(condition),
        }
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::webhook::Belief;

    fn judged(service: Option<Value>, slices: &Value) -> String {
        let settings =
            Settings { namespace: "ns".into(), name: "api".into(), port: 443, belief: Belief::In(Vec::new()) };
        let service = service.map(|spec| serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap());
        let slices: Vec<EndpointSlice> = serde_json::from_value(slices.clone()).unwrap();
        match judge(&settings, service.as_ref(), &slices) {
            Ok(()) => "ok".to_owned(),
            Err(verdict) => format!("{}: {}", verdict.reason, verdict.message),
        }
    }

    #[test]
    fn a_server_is_behind_its_service() {
        let spec = |port: i32| Some(json!({"type": "ClusterIP", "ports": [{"name": "web", "port": port}]}));
        let slice = |ready: bool| {
            json!([{"metadata": {}, "addressType": "IPv4", "ports": [{"name": "web", "port": 8443}],
                    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]}])
        };
        for (service, slices, expected) in [
            (None, json!([]), r#"ServiceNotFound: service/api in "ns" is not present"#),
            (spec(80), slice(true), r#"ServicePortError: service/api in "ns" is not listening on port 443"#),
            (spec(443), json!([]), r#"EndpointsNotFound: cannot find endpointslices for service/api in "ns""#),
            (
                spec(443),
                slice(false),
                r#"MissingEndpoints: endpointslices for service/api in "ns" have no addresses with port name "web""#,
            ),
            (spec(443), slice(true), "ok"),
            (Some(json!({"type": "ExternalName", "externalName": "x"})), json!([]), "ok"),
        ] {
            assert_eq!(judged(service, &slices), expected);
        }
    }
}
