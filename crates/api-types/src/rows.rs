//! The rows of the kinds that are compiled in: what their names are and where they live. Adding a plain kind is a row
//! here, a file in `kinds/`, and a line in the API server's table, which refers to the row and says where its objects
//! are stored and which subresources it has.

use crate::{
    apiextensions, apiregistration, apps, authentication, authorization, autoscaling, autoscaling_v2, batch,
    certificates, coordination, core, discovery, events, networking, node, policy, rbac,
    resource::Resource,
    scheduling, storage,
    validation::{
        address,
        names::{any_name, dns1123_label, path_segment},
    },
};

const CREATE: &[&str] = &["create"];
/// The category of what extends the API.
const API_EXTENSIONS: &[&str] = &["api-extensions"];
const NO_DELETE_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// `v1`.
pub static BINDINGS: Resource = Resource::of::<core::Binding>("bindings", "binding").verbs(CREATE);
/// `v1`.
pub static COMPONENT_STATUSES: Resource = Resource::of::<core::ComponentStatus>("componentstatuses", "componentstatus")
    .short(&["cs"])
    .cluster()
    .verbs(&["get", "list"]);
/// `v1`.
pub static CONFIG_MAPS: Resource = Resource::of::<core::ConfigMap>("configmaps", "configmap").short(&["cm"]);
/// `v1`.
pub static ENDPOINTS: Resource = Resource::of::<core::Endpoints>("endpoints", "endpoints").short(&["ep"]);
/// `v1`.
pub static CORE_EVENTS: Resource = Resource::of::<core::Event>("events", "event").short(&["ev"]);
/// `v1`.
pub static LIMIT_RANGES: Resource = Resource::of::<core::LimitRange>("limitranges", "limitrange").short(&["limits"]);
/// `v1`.
pub static NAMESPACES: Resource = Resource::of::<core::Namespace>("namespaces", "namespace")
    .short(&["ns"])
    .cluster()
    .names(dns1123_label)
    .verbs(NO_DELETE_COLLECTION);
/// `v1`.
pub static NODES: Resource = Resource::of::<core::Node>("nodes", "node").short(&["no"]).cluster();
/// `v1`.
pub static PERSISTENT_VOLUMES: Resource =
    Resource::of::<core::PersistentVolume>("persistentvolumes", "persistentvolume").short(&["pv"]).cluster();
/// `v1`.
pub static PERSISTENT_VOLUME_CLAIMS: Resource =
    Resource::of::<core::PersistentVolumeClaim>("persistentvolumeclaims", "persistentvolumeclaim").short(&["pvc"]);
/// `v1`.
pub static PODS: Resource = Resource::of::<core::Pod>("pods", "pod").short(&["po"]).categories(&["all"]);
/// `v1`.
pub static POD_TEMPLATES: Resource = Resource::of::<core::PodTemplate>("podtemplates", "podtemplate");
/// `v1`.
pub static REPLICATION_CONTROLLERS: Resource =
    Resource::of::<core::ReplicationController>("replicationcontrollers", "replicationcontroller")
        .short(&["rc"])
        .categories(&["all"]);
/// `v1`.
pub static RESOURCE_QUOTAS: Resource =
    Resource::of::<core::ResourceQuota>("resourcequotas", "resourcequota").short(&["quota"]);
/// `v1`.
pub static SECRETS: Resource = Resource::of::<core::Secret>("secrets", "secret");
/// `v1`.
pub static SERVICE_ACCOUNTS: Resource =
    Resource::of::<core::ServiceAccount>("serviceaccounts", "serviceaccount").short(&["sa"]);
/// `v1`.
pub static SERVICES: Resource =
    Resource::of::<core::Service>("services", "service").short(&["svc"]).categories(&["all"]).names(dns1123_label);
/// `admissionregistration.k8s.io/v1`.
pub static MUTATING_ADMISSION_POLICIES: Resource =
    Resource::of::<crate::admissionregistration::MutatingAdmissionPolicy>(
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicy",
    )
    .categories(API_EXTENSIONS)
    .cluster();
/// `admissionregistration.k8s.io/v1`.
pub static MUTATING_ADMISSION_POLICY_BINDINGS: Resource =
    Resource::of::<crate::admissionregistration::MutatingAdmissionPolicyBinding>(
        "mutatingadmissionpolicybindings",
        "mutatingadmissionpolicybinding",
    )
    .categories(API_EXTENSIONS)
    .cluster();
/// `admissionregistration.k8s.io/v1`.
pub static MUTATING_WEBHOOK_CONFIGURATIONS: Resource =
    Resource::of::<crate::admissionregistration::MutatingWebhookConfiguration>(
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
    )
    .categories(API_EXTENSIONS)
    .cluster();
/// `admissionregistration.k8s.io/v1`.
pub static VALIDATING_ADMISSION_POLICIES: Resource = Resource::of::<
    crate::admissionregistration::ValidatingAdmissionPolicy,
>("validatingadmissionpolicies", "validatingadmissionpolicy")
.categories(API_EXTENSIONS)
.cluster();
/// `admissionregistration.k8s.io/v1`.
pub static VALIDATING_ADMISSION_POLICY_BINDINGS: Resource =
    Resource::of::<crate::admissionregistration::ValidatingAdmissionPolicyBinding>(
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
    )
    .categories(API_EXTENSIONS)
    .cluster();
/// `admissionregistration.k8s.io/v1`.
pub static VALIDATING_WEBHOOK_CONFIGURATIONS: Resource =
    Resource::of::<crate::admissionregistration::ValidatingWebhookConfiguration>(
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
    )
    .categories(API_EXTENSIONS)
    .cluster();
/// `apiextensions.k8s.io/v1`.
pub static CUSTOM_RESOURCE_DEFINITIONS: Resource =
    Resource::of::<apiextensions::CustomResourceDefinition>("customresourcedefinitions", "customresourcedefinition")
        .short(&["crd", "crds"])
        .categories(API_EXTENSIONS)
        .cluster();
/// `apiregistration.k8s.io/v1`.
pub static API_SERVICES: Resource = Resource::of::<apiregistration::APIService>("apiservices", "apiservice")
    .categories(API_EXTENSIONS)
    .cluster()
    .names(path_segment);
/// `apps/v1`.
pub static CONTROLLER_REVISIONS: Resource =
    Resource::of::<apps::ControllerRevision>("controllerrevisions", "controllerrevision");
/// `apps/v1`.
pub static DAEMON_SETS: Resource =
    Resource::of::<apps::DaemonSet>("daemonsets", "daemonset").short(&["ds"]).categories(&["all"]);
/// `apps/v1`.
pub static DEPLOYMENTS: Resource =
    Resource::of::<apps::Deployment>("deployments", "deployment").short(&["deploy"]).categories(&["all"]);
/// `apps/v1`.
pub static REPLICA_SETS: Resource =
    Resource::of::<apps::ReplicaSet>("replicasets", "replicaset").short(&["rs"]).categories(&["all"]);
/// `apps/v1`.
pub static STATEFUL_SETS: Resource = Resource::of::<apps::StatefulSet>("statefulsets", "statefulset")
    .short(&["sts"])
    .categories(&["all"])
    .names(dns1123_label);
/// `events.k8s.io/v1`.
pub static EVENTS: Resource = Resource::of::<events::Event>("events", "event").short(&["ev"]);
/// `authentication.k8s.io/v1`.
pub static SELF_SUBJECT_REVIEWS: Resource =
    Resource::of::<authentication::SelfSubjectReview>("selfsubjectreviews", "selfsubjectreview")
        .cluster()
        .verbs(CREATE);
/// `authentication.k8s.io/v1`.
pub static TOKEN_REVIEWS: Resource =
    Resource::of::<authentication::TokenReview>("tokenreviews", "tokenreview").cluster().verbs(CREATE);
/// `authorization.k8s.io/v1`.
pub static LOCAL_SUBJECT_ACCESS_REVIEWS: Resource =
    Resource::of::<authorization::LocalSubjectAccessReview>("localsubjectaccessreviews", "localsubjectaccessreview")
        .verbs(CREATE);
/// `authorization.k8s.io/v1`.
pub static SELF_SUBJECT_ACCESS_REVIEWS: Resource =
    Resource::of::<authorization::SelfSubjectAccessReview>("selfsubjectaccessreviews", "selfsubjectaccessreview")
        .cluster()
        .verbs(CREATE);
/// `authorization.k8s.io/v1`.
pub static SELF_SUBJECT_RULES_REVIEWS: Resource =
    Resource::of::<authorization::SelfSubjectRulesReview>("selfsubjectrulesreviews", "selfsubjectrulesreview")
        .cluster()
        .verbs(CREATE);
/// `authorization.k8s.io/v1`.
pub static SUBJECT_ACCESS_REVIEWS: Resource =
    Resource::of::<authorization::SubjectAccessReview>("subjectaccessreviews", "subjectaccessreview")
        .cluster()
        .verbs(CREATE);
/// `rbac.authorization.k8s.io/v1`.
pub static CLUSTER_ROLE_BINDINGS: Resource =
    Resource::of::<rbac::ClusterRoleBinding>("clusterrolebindings", "clusterrolebinding").cluster().names(path_segment);
/// `rbac.authorization.k8s.io/v1`.
pub static CLUSTER_ROLES: Resource =
    Resource::of::<rbac::ClusterRole>("clusterroles", "clusterrole").cluster().names(path_segment);
/// `rbac.authorization.k8s.io/v1`.
pub static ROLE_BINDINGS: Resource =
    Resource::of::<rbac::RoleBinding>("rolebindings", "rolebinding").names(path_segment);
/// `rbac.authorization.k8s.io/v1`.
pub static ROLES: Resource = Resource::of::<rbac::Role>("roles", "role").names(path_segment);
/// `certificates.k8s.io/v1`.
pub static CERTIFICATE_SIGNING_REQUESTS: Resource =
    Resource::of::<certificates::CertificateSigningRequest>("certificatesigningrequests", "certificatesigningrequest")
        .short(&["csr"])
        .cluster()
        .names(any_name);
/// `coordination.k8s.io/v1`.
pub static LEASES: Resource = Resource::of::<coordination::Lease>("leases", "lease");
/// `discovery.k8s.io/v1`.
pub static ENDPOINT_SLICES: Resource = Resource::of::<discovery::EndpointSlice>("endpointslices", "endpointslice");
/// `flowcontrol.apiserver.k8s.io/v1`.
pub static FLOW_SCHEMAS: Resource =
    Resource::of::<crate::flowcontrol::FlowSchema>("flowschemas", "flowschema").cluster();
/// `flowcontrol.apiserver.k8s.io/v1`.
pub static PRIORITY_LEVEL_CONFIGURATIONS: Resource = Resource::of::<crate::flowcontrol::PriorityLevelConfiguration>(
    "prioritylevelconfigurations",
    "prioritylevelconfiguration",
)
.cluster();
/// `networking.k8s.io/v1`.
pub static INGRESS_CLASSES: Resource =
    Resource::of::<networking::IngressClass>("ingressclasses", "ingressclass").cluster();
/// `networking.k8s.io/v1`.
pub static INGRESSES: Resource = Resource::of::<networking::Ingress>("ingresses", "ingress").short(&["ing"]);
/// `networking.k8s.io/v1`.
pub static IP_ADDRESSES: Resource = Resource::of::<networking::IPAddress>("ipaddresses", "ipaddress")
    .short(&["ip"])
    .cluster()
    .names(address::canonical);
/// `networking.k8s.io/v1`.
pub static NETWORK_POLICIES: Resource =
    Resource::of::<networking::NetworkPolicy>("networkpolicies", "networkpolicy").short(&["netpol"]);
/// `networking.k8s.io/v1`.
pub static SERVICE_CIDRS: Resource = Resource::of::<networking::ServiceCIDR>("servicecidrs", "servicecidr").cluster();
/// `autoscaling/v2`.
pub static AUTOSCALERS: Resource =
    Resource::of::<autoscaling_v2::HorizontalPodAutoscaler>("horizontalpodautoscalers", "horizontalpodautoscaler")
        .short(&["hpa"])
        .categories(&["all"]);
/// `autoscaling/v1`.
pub static OLD_AUTOSCALERS: Resource =
    Resource::of::<autoscaling::HorizontalPodAutoscaler>("horizontalpodautoscalers", "horizontalpodautoscaler")
        .short(&["hpa"])
        .categories(&["all"]);
/// `batch/v1`.
pub static CRON_JOBS: Resource =
    Resource::of::<batch::CronJob>("cronjobs", "cronjob").short(&["cj"]).categories(&["all"]);
/// `batch/v1`.
pub static JOBS: Resource = Resource::of::<batch::Job>("jobs", "job").categories(&["all"]);
/// `policy/v1`.
pub static DISRUPTION_BUDGETS: Resource =
    Resource::of::<policy::PodDisruptionBudget>("poddisruptionbudgets", "poddisruptionbudget").short(&["pdb"]);
/// `storage.k8s.io/v1`.
pub static CSI_DRIVERS: Resource =
    Resource::of::<storage::CSIDriver>("csidrivers", "csidriver").cluster().names(path_segment);
/// `storage.k8s.io/v1`.
pub static CSI_NODES: Resource = Resource::of::<storage::CSINode>("csinodes", "csinode").cluster();
/// `storage.k8s.io/v1`.
pub static CSI_STORAGE_CAPACITIES: Resource =
    Resource::of::<storage::CSIStorageCapacity>("csistoragecapacities", "csistoragecapacity");
/// `storage.k8s.io/v1`.
pub static VOLUME_ATTACHMENTS: Resource =
    Resource::of::<storage::VolumeAttachment>("volumeattachments", "volumeattachment").cluster();
/// `storage.k8s.io/v1`.
pub static VOLUME_ATTRIBUTES_CLASSES: Resource =
    Resource::of::<storage::VolumeAttributesClass>("volumeattributesclasses", "volumeattributesclass")
        .short(&["vac"])
        .cluster();
/// `storage.k8s.io/v1`.
pub static STORAGE_CLASSES: Resource =
    Resource::of::<storage::StorageClass>("storageclasses", "storageclass").short(&["sc"]).cluster();
/// `scheduling.k8s.io/v1`.
pub static PRIORITY_CLASSES: Resource =
    Resource::of::<scheduling::PriorityClass>("priorityclasses", "priorityclass").short(&["pc"]).cluster();
/// `node.k8s.io/v1`.
pub static RUNTIME_CLASSES: Resource = Resource::of::<node::RuntimeClass>("runtimeclasses", "runtimeclass").cluster();
/// `resource.k8s.io/v1`.
pub static DEVICE_CLASSES: Resource =
    Resource::of::<crate::devices::DeviceClass>("deviceclasses", "deviceclass").cluster();
/// `resource.k8s.io/v1`.
pub static RESOURCE_CLAIMS: Resource = Resource::of::<crate::devices::ResourceClaim>("resourceclaims", "resourceclaim");
/// `resource.k8s.io/v1`.
pub static RESOURCE_CLAIM_TEMPLATES: Resource =
    Resource::of::<crate::devices::ResourceClaimTemplate>("resourceclaimtemplates", "resourceclaimtemplate");
/// `resource.k8s.io/v1`.
pub static RESOURCE_SLICES: Resource =
    Resource::of::<crate::devices::ResourceSlice>("resourceslices", "resourceslice").cluster();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_or_another_type_is_refused() {
        for json in ["{", "[]", r#"{"kind":"Node"}"#, r#"{"spec":1}"#, "{} x"] {
            assert!(PODS.ops.decode(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn an_object_of_another_kind_is_an_error_everywhere() {
        let ops = &PODS.ops;
        let mut other = core::ConfigMap::default();
        let pod = core::Pod::default();
        assert!(ops.set_defaults(&mut other).is_err());
        assert!(ops.validate(&other).is_err());
        assert!(ops.validate_update(&pod, &other).is_err());
        assert!(ops.validate_part_update(&other, &pod, "status").is_err());
        let error = ops.cells(&other).unwrap_err();
        assert_eq!(error.to_string(), "an object of another kind was taken for a Pod");
    }
}
