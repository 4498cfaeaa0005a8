//! One webhook, as its configuration says.

use std::{sync::Arc, time::Duration};

use api_types::{
    admissionregistration::{
        MatchCondition, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
        WebhookClientConfig,
    },
    expressions::{Admission, Optional},
    meta::LabelSelector,
};
use serde::de::DeserializeOwned;

use crate::{
    admission::dynamic::{Conditions, Criteria},
    registry::admission::Handle,
    webhook::{Place, Server, Settings},
};

/// Upstream's, for those that say nothing.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A configuration: webhooks in their order.
pub(super) struct Configuration {
    pub(super) hooks: Vec<Arc<Hook>>,
}

/// One webhook.
pub(super) struct Hook {
    /// Of all that there are.
    pub(super) id: String,
    pub(super) configuration: String,
    pub(super) name: String,
    pub(super) server: Arc<Server>,
    pub(super) criteria: Result<Criteria, String>,
    pub(super) conditions: Conditions,
    /// Whether a request is refused when the webhook cannot be asked.
    pub(super) fails_closed: bool,
    pub(super) timeout: Duration,
    /// Whether it may be asked about what is only tried.
    pub(super) takes_dry_run: bool,
    /// In which version it is asked, if there is one that both know.
    pub(super) review: Option<ReviewVersion>,
    /// Whether it wants to be asked again when others change an object after it.
    pub(super) reinvoked: bool,
}

/// Versions of `AdmissionReview`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }

    /// The first that is known.
    fn of(accepted: &[String]) -> Option<Self> {
        accepted.iter().find_map(|version| match version.as_str() {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }
}

/// What both kinds of webhooks have.
pub(super) struct Fields<'a> {
    name: &'a str,
    rules: Option<&'a [RuleWithOperations]>,
    match_policy: Option<&'a str>,
    namespaces: Option<&'a LabelSelector>,
    objects: Option<&'a LabelSelector>,
    conditions: &'a [MatchCondition],
    client: &'a WebhookClientConfig,
    failure_policy: Option<&'a str>,
    timeout: Option<i32>,
    side_effects: &'a str,
    reviews: &'a [String],
    reinvocation: Option<&'a str>,
}

/// A kind of configuration.
pub(super) trait Kind: DeserializeOwned {
    /// Its webhooks.
    fn fields(&self) -> Vec<Fields<'_>>;
}

macro_rules! kind {
    ($kind:ident, |$own:ident| $reinvocation:expr) => {
        impl Kind for $kind {
            fn fields(&self) -> Vec<Fields<'_>> {
                self.webhooks
                    .iter()
                    .flatten()
                    .map(|$own| Fields {
                        name: &$own.name,
                        rules: $own.rules.as_deref(),
                        match_policy: $own.match_policy.as_deref(),
                        namespaces: $own.namespace_selector.as_ref(),
                        objects: $own.object_selector.as_ref(),
                        conditions: $own.match_conditions.as_deref().unwrap_or_default(),
                        client: &$own.client_config,
                        failure_policy: $own.failure_policy.as_deref(),
                        timeout: $own.timeout_seconds,
                        side_effects: &$own.side_effects,
                        reviews: &$own.admission_review_versions,
                        reinvocation: $reinvocation,
                    })
                    .collect()
            }
        }
    };
}

kind!(MutatingWebhookConfiguration, |own| own.reinvocation_policy.as_deref());
kind!(ValidatingWebhookConfiguration, |own| None);

impl Configuration {
    /// Reads a configuration. Servers that stay the same keep their connections.
    pub(super) fn read<K: Kind>(handle: &Handle, name: &str, json: &[u8], before: Option<&Self>) -> Option<Self> {
        let own: K = serde_json::from_slice(json).ok()?;
        let known = before.map_or(&[][..], |before| &before.hooks);
        let hook = |(index, fields): (usize, Fields<'_>)| Arc::new(Hook::new(handle, name, index, &fields, known));
        Some(Self { hooks: own.fields().into_iter().enumerate().map(hook).collect() })
    }
}

impl Hook {
    fn new(handle: &Handle, configuration: &str, index: usize, own: &Fields<'_>, known: &[Arc<Self>]) -> Self {
        let settings = settings(own.client);
        let same = known.iter().find(|hook| *hook.server.settings() == settings).map(|hook| hook.server.clone());
        let criteria = Criteria::of_webhook(own.rules, own.match_policy, own.namespaces, own.objects);
        let seconds = own.timeout.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            id: format!("{configuration}/{}/{index}", own.name),
            configuration: configuration.to_owned(),
            name: own.name.to_owned(),
            server: same.unwrap_or_else(|| Arc::new(Server::new(settings, handle))),
            criteria: criteria.map_err(|error| error.to_string()),
            conditions: Conditions::compile(own.conditions, &Admission::new(&[Optional::Authorizer])),
            fails_closed: own.failure_policy != Some("Ignore"),
            timeout: seconds.map_or(TIMEOUT, Duration::from_secs),
            takes_dry_run: matches!(own.side_effects, "None" | "NoneOnDryRun"),
            review: ReviewVersion::of(own.reviews),
            reinvoked: own.reinvocation == Some("IfNeeded"),
        }
    }
}

fn settings(client: &WebhookClientConfig) -> Settings {
    let authorities = client.ca_bundle.as_ref().map(|bundle| bundle.0.clone()).unwrap_or_default();
    let place = match (&client.service, &client.url) {
        (Some(service), _) => Place::Service {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: service.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            path: service.path.clone().unwrap_or_default(),
        },
        (None, url) => Place::Url(url.clone().unwrap_or_default()),
    };
    Settings { place, authorities }
}
