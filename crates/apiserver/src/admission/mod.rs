//! The admission plugins: one table, in upstream's order. What they see is a [`Review`](crate::registry::Review).

mod always;
mod certificates;
mod configuration;
mod default_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod device_claims;
mod dynamic;
mod errors;
mod event_rate_limit;
mod extended_resource_toleration;
mod limit_pod_hard_anti_affinity_topology;
mod limit_ranger;
mod namespace_lifecycle;
mod namespaces_there;
mod node_restriction;
mod owner_references_permission_enforcement;
mod persistent_volume_claim_resize;
mod pod_node_selector;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod policies;
mod priority;
mod resource_quota;
mod role_escalation;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod tolerations;
mod view;
mod webhooks;

use std::sync::Arc;

use api_types::{core::PersistentVolumeClaim, networking::Ingress};
use serde_json::Value;

use self::{certificates::ForSigner, default_class::DefaultClass};
pub use self::{configuration::Configurations, policies::warnings as policy_warnings};
use crate::registry::admission::{Admission, Admissions, Handle, Named, Plugin};

/// Makes a plugin.
pub type Make = Box<dyn FnOnce(Handle) -> Box<dyn Plugin> + Send>;

/// One line of the table.
struct Line {
    /// The name in `--enable-admission-plugins`.
    name: &'static str,
    default: Default,
    what: What,
}

/// Whether a plugin runs when nobody says anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Default {
    On,
    Off,
}

/// What is behind a name.
enum What {
    /// A plugin that need not be told anything.
    Plugin(fn(&Handle) -> Box<dyn Plugin>),
    /// A plugin that can be configured by a file.
    Configured(fn(Option<&Value>) -> Result<Make, String>),
    /// Nothing: upstream's does nothing either with what is served here.
    Nothing,
    /// A plugin that is not there yet.
    Absent,
}

const fn on(name: &'static str, what: What) -> Line {
    Line { name, default: Default::On, what }
}

const fn off(name: &'static str, what: What) -> Line {
    Line { name, default: Default::Off, what }
}

static LINES: &[Line] = &[
    off("AlwaysAdmit", What::Nothing),
    off(
        "NamespaceAutoProvision",
        What::Plugin(|registry| Box::new(namespaces_there::NamespaceAutoProvision::new(registry))),
    ),
    // Nothing else matters in a namespace that is not there.
    on(
        "NamespaceLifecycle",
        What::Plugin(|registry| Box::new(namespace_lifecycle::NamespaceLifecycle { registry: registry.clone() })),
    ),
    off("NamespaceExists", What::Plugin(|registry| Box::new(namespaces_there::NamespaceExists::new(registry)))),
    off(
        "LimitPodHardAntiAffinityTopology",
        What::Plugin(|_| Box::new(limit_pod_hard_anti_affinity_topology::LimitPodHardAntiAffinityTopology)),
    ),
    // Before plugins that look at what a pod asks for.
    on("LimitRanger", What::Plugin(|registry| Box::new(limit_ranger::LimitRanger::new(registry)))),
    on(
        "ServiceAccount",
        What::Plugin(|registry| Box::new(service_account::ServiceAccount { registry: registry.clone() })),
    ),
    // Behind what fills in the service account, which a kubelet's pods must not have.
    off(
        "NodeRestriction",
        What::Plugin(|registry| Box::new(node_restriction::NodeRestriction { registry: registry.clone() })),
    ),
    on("TaintNodesByCondition", What::Plugin(|_| Box::new(taint_nodes_by_condition::TaintNodesByCondition))),
    off("AlwaysPullImages", What::Plugin(|_| Box::new(always::AlwaysPullImages))),
    off("ImagePolicyWebhook", What::Absent),
    on("PodSecurity", What::Configured(pod_security::configured)),
    off("PodNodeSelector", What::Configured(pod_node_selector::configured)),
    on("Priority", What::Plugin(|registry| Box::new(priority::Priority::new(registry)))),
    on("DefaultTolerationSeconds", What::Configured(default_toleration_seconds::configured)),
    off("PodTolerationRestriction", What::Configured(pod_toleration_restriction::configured)),
    off("EventRateLimit", What::Configured(event_rate_limit::configured)),
    off(
        "ExtendedResourceToleration",
        What::Plugin(|_| Box::new(extended_resource_toleration::ExtendedResourceToleration)),
    ),
    on("DefaultStorageClass", What::Plugin(|registry| Box::new(DefaultClass::<PersistentVolumeClaim>::new(registry)))),
    on(
        "StorageObjectInUseProtection",
        What::Plugin(|_| Box::new(storage_object_in_use_protection::StorageObjectInUseProtection)),
    ),
    off(
        "OwnerReferencesPermissionEnforcement",
        What::Plugin(|registry| {
            Box::new(owner_references_permission_enforcement::OwnerReferencesPermissionEnforcement::new(registry))
        }),
    ),
    on(
        "PersistentVolumeClaimResize",
        What::Plugin(|registry| Box::new(persistent_volume_claim_resize::PersistentVolumeClaimResize::new(registry))),
    ),
    on("RuntimeClass", What::Plugin(|registry| Box::new(runtime_class::RuntimeClass::new(registry)))),
    on("CertificateApproval", What::Plugin(|registry| Box::new(ForSigner::approval(registry)))),
    on("CertificateSigning", What::Plugin(|registry| Box::new(ForSigner::signing(registry)))),
    on("ClusterTrustBundleAttest", What::Nothing),
    on("CertificateSubjectRestriction", What::Plugin(|_| Box::new(certificates::SubjectRestriction))),
    on("DefaultIngressClass", What::Plugin(|registry| Box::new(DefaultClass::<Ingress>::new(registry)))),
    off("DenyServiceExternalIPs", What::Plugin(|_| Box::new(deny_service_external_ips::DenyServiceExternalIPs))),
    on("PodTopologyLabels", What::Plugin(|registry| Box::new(pod_topology_labels::PodTopologyLabels::new(registry)))),
    on("NodeDeclaredFeatureValidator", What::Nothing),
    on("MutatingAdmissionPolicy", What::Plugin(|registry| Box::new(policies::MutatingPolicies::new(registry)))),
    on("MutatingAdmissionWebhook", What::Plugin(|registry| Box::new(webhooks::MutatingWebhooks::new(registry)))),
    on("ValidatingAdmissionPolicy", What::Plugin(|registry| Box::new(policies::ValidatingPolicies::new(registry)))),
    on("ValidatingAdmissionWebhook", What::Plugin(|registry| Box::new(webhooks::ValidatingWebhooks::new(registry)))),
];

/// What looks at an object after all others: what is refused must not have been charged.
static LAST: &[Line] = &[
    on("ResourceQuota", What::Configured(resource_quota::configured)),
    off("AlwaysDeny", What::Plugin(|_| Box::new(always::AlwaysDeny))),
];

/// Plugins that upstream once had.
const GONE: &[&str] = &[
    "DenyEscalatingExec",
    "DenyExecOnPrivileged",
    "InitialResources",
    "Initializers",
    "PersistentVolumeLabel",
    "PodSecurityPolicy",
    "SecurityContextDeny",
];

/// Which plugins are to run.
#[derive(Debug)]
pub struct Choice<'a> {
    /// `--admission-control`: these and no others, if there are any.
    pub only: &'a [String],
    /// `--enable-admission-plugins`: these besides those that run by default.
    pub enabled: &'a [String],
    /// `--disable-admission-plugins`: these not.
    pub disabled: &'a [String],
    /// `--admission-control-config-file`: what plugins are told.
    pub configurations: &'a Configurations,
}

/// Which plugins run.
#[derive(std::default::Default)]
pub struct Settings {
    own: Vec<(&'static str, Make)>,
    last: Vec<(&'static str, Make)>,
    /// These run after those of the table, but for the last ones: whoever embeds the server brings them.
    pub more: Vec<Make>,
}

impl Settings {
    /// Chooses from the table.
    ///
    /// # Errors
    /// Everything that is wrong with the choice, in upstream's words.
    pub fn new(choice: &Choice<'_>) -> Result<Self, Vec<String>> {
        let mut mistakes = choice.mistakes();
        let mut settings = Self::default();
        for (lines, makes) in [(LINES, &mut settings.own), (LAST, &mut settings.last)] {
            for line in lines.iter().filter(|line| choice.includes(line)) {
                match line.make(choice) {
                    Ok(make) => makes.extend(make.map(|make| (line.name, make))),
                    Err(mistake) => mistakes.push(mistake),
                }
            }
        }
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    /// Builds the plugins; what they take is counted there.
    #[must_use]
    pub fn build(self, registry: &Handle, metrics: &Arc<Admissions>) -> Admission {
        let made = |(name, make): (&'static str, Make)| (name, make(registry.clone()));
        // Always: what is to be stored is looked at, whoever has changed it.
        let guards: [Named; 2] = [
            ("RoleEscalation", Box::new(role_escalation::RoleEscalation { registry: registry.clone() })),
            ("DeviceClaims", Box::new(device_claims::DeviceClaims::new(registry))),
        ];
        let more = self.more.into_iter().map(|make| ("Embedder", make));
        let changing = self.own.into_iter().chain(more).map(made);
        Admission::new(changing.chain(guards).chain(self.last.into_iter().map(made)).collect(), metrics)
    }
}

impl Choice<'_> {
    fn includes(&self, line: &Line) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == line.name);
        if !self.only.is_empty() {
            return named(self.only);
        }
        named(self.enabled) || (line.default == Default::On && !named(self.disabled))
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let changed = !self.enabled.is_empty() || !self.disabled.is_empty();
        if changed && !self.only.is_empty() {
            let flags = "admission-control and enable-admission-plugins/disable-admission-plugins flags";
            mistakes.push(format!("{flags} are mutually exclusive"));
        }
        let lists = [
            ("admission-control", self.only),
            ("enable-admission-plugins", self.enabled),
            ("disable-admission-plugins", self.disabled),
        ];
        for (flag, names) in lists {
            for name in names.iter().filter(|name| !all().any(|line| line.name == **name)) {
                if GONE.contains(&name.as_str()) {
                    tracing::warn!("--{flag}: there is no admission plugin {name} any more, it is left out");
                } else {
                    mistakes.push(format!("{flag} plugin {name:?} is unknown"));
                }
            }
        }
        let both: Vec<&str> =
            self.enabled.iter().filter(|name| self.disabled.contains(name)).map(String::as_str).collect();
        if !both.is_empty() {
            let flags = "enable-admission-plugins and disable-admission-plugins";
            mistakes.push(format!("[{}] in {flags} overlapped", both.join(" ")));
        }
        mistakes
    }
}

impl Line {
    fn make(&self, choice: &Choice<'_>) -> Result<Option<Make>, String> {
        let name = self.name;
        match &self.what {
            What::Plugin(make) => {
                let make = *make;
                Ok(Some(Box::new(move |registry| make(&registry))))
            }
            What::Configured(make) => match make(choice.configurations.of(name)) {
                Ok(make) => Ok(Some(make)),
                Err(why) => Err(format!("couldn't init admission plugin {name:?}: {why}")),
            },
            What::Nothing => Ok(None),
            What::Absent => Err(format!("admission plugin {name:?} is not supported yet")),
        }
    }
}

fn all() -> impl Iterator<Item = &'static Line> {
    LINES.iter().chain(LAST)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_plugin_is_there_once() {
        let names: Vec<&str> = all().map(|line| line.name).chain(GONE.iter().copied()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    fn chosen(only: &str, enabled: &str, disabled: &str) -> Result<usize, Vec<String>> {
        let [only, enabled, disabled] = [only, enabled, disabled]
            .map(|names| names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>());
        let configurations = Configurations::default();
        let choice = Choice { only: &only, enabled: &enabled, disabled: &disabled, configurations: &configurations };
        Settings::new(&choice).map(|settings| settings.own.len() + settings.last.len())
    }

    #[test]
    fn plugins_are_chosen_by_name() {
        let defaults = chosen("", "", "").unwrap();
        assert_eq!(chosen("", "", "Priority,LimitRanger,SecurityContextDeny"), Ok(defaults - 2));
        assert_eq!(chosen("", "Priority,AlwaysAdmit", ""), Ok(defaults));
        assert_eq!(chosen("AlwaysAdmit", "", ""), Ok(0));
        assert_eq!(chosen("NamespaceLifecycle,ResourceQuota,AlwaysAdmit", "", ""), Ok(2));
        let mistakes = |only, enabled, disabled| chosen(only, enabled, disabled).unwrap_err();
        assert_eq!(mistakes("", "Magic", ""), [r#"enable-admission-plugins plugin "Magic" is unknown"#]);
        assert_eq!(
            mistakes("Priority", "", "Magic"),
            [
                "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive",
                r#"disable-admission-plugins plugin "Magic" is unknown"#,
            ]
        );
        assert_eq!(
            mistakes("", "Priority", "Priority"),
            ["[Priority] in enable-admission-plugins and disable-admission-plugins overlapped"]
        );
        let mistake = [r#"admission plugin "ImagePolicyWebhook" is not supported yet"#];
        assert_eq!(mistakes("", "ImagePolicyWebhook", ""), mistake);
        assert_eq!(mistakes("ImagePolicyWebhook", "", ""), mistake);
    }
}
