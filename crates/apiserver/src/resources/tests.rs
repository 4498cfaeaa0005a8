//! The whole table: what it says, and that it says it once.

use std::collections::BTreeSet;

use api_types::{
    Resource, Subresource,
    resource::{ALL_VERBS, Names},
};

use super::rows;

/// One line a row, as `kubectl api-resources -o wide` tells it on upstream:
/// plural, short names, apiVersion, namespaced, kind, verbs, categories, subresources.
const FACTS: &str = "\
bindings - v1 true Binding create - -
componentstatuses cs v1 false ComponentStatus get,list - -
configmaps cm v1 true ConfigMap ALL - -
endpoints ep v1 true Endpoints ALL - -
events ev v1 true Event ALL - -
limitranges limits v1 true LimitRange ALL - -
namespaces ns v1 false Namespace create,delete,get,list,patch,update,watch - finalize:Namespace:update,status:Namespace:get+patch+update
nodes no v1 false Node ALL - proxy:NodeProxyOptions:create+delete+get+patch+update,status:Node:get+patch+update
persistentvolumeclaims pvc v1 true PersistentVolumeClaim ALL - status:PersistentVolumeClaim:get+patch+update
persistentvolumes pv v1 false PersistentVolume ALL - status:PersistentVolume:get+patch+update
pods po v1 true Pod ALL all attach:PodAttachOptions:create+get,binding:Binding:create,ephemeralcontainers:Pod:get+patch+update,eviction:policy/v1.Eviction:create,exec:PodExecOptions:create+get,log:Pod:get,portforward:PodPortForwardOptions:create+get,proxy:PodProxyOptions:create+delete+get+patch+update,resize:Pod:get+patch+update,status:Pod:get+patch+update
podtemplates - v1 true PodTemplate ALL - -
replicationcontrollers rc v1 true ReplicationController ALL all scale:autoscaling/v1.Scale:get+patch+update,status:ReplicationController:get+patch+update
resourcequotas quota v1 true ResourceQuota ALL - status:ResourceQuota:get+patch+update
secrets - v1 true Secret ALL - -
serviceaccounts sa v1 true ServiceAccount ALL - token:authentication.k8s.io/v1.TokenRequest:create
services svc v1 true Service ALL all proxy:ServiceProxyOptions:create+delete+get+patch+update,status:Service:get+patch+update
apiservices - apiregistration.k8s.io/v1 false APIService ALL api-extensions status:APIService:get+patch+update
controllerrevisions - apps/v1 true ControllerRevision ALL - -
daemonsets ds apps/v1 true DaemonSet ALL all status:DaemonSet:get+patch+update
deployments deploy apps/v1 true Deployment ALL all scale:autoscaling/v1.Scale:get+patch+update,status:Deployment:get+patch+update
replicasets rs apps/v1 true ReplicaSet ALL all scale:autoscaling/v1.Scale:get+patch+update,status:ReplicaSet:get+patch+update
statefulsets sts apps/v1 true StatefulSet ALL all scale:autoscaling/v1.Scale:get+patch+update,status:StatefulSet:get+patch+update
events ev events.k8s.io/v1 true Event ALL - -
selfsubjectreviews - authentication.k8s.io/v1 false SelfSubjectReview create - -
tokenreviews - authentication.k8s.io/v1 false TokenReview create - -
localsubjectaccessreviews - authorization.k8s.io/v1 true LocalSubjectAccessReview create - -
selfsubjectaccessreviews - authorization.k8s.io/v1 false SelfSubjectAccessReview create - -
selfsubjectrulesreviews - authorization.k8s.io/v1 false SelfSubjectRulesReview create - -
subjectaccessreviews - authorization.k8s.io/v1 false SubjectAccessReview create - -
clusterrolebindings - rbac.authorization.k8s.io/v1 false ClusterRoleBinding ALL - -
clusterroles - rbac.authorization.k8s.io/v1 false ClusterRole ALL - -
rolebindings - rbac.authorization.k8s.io/v1 true RoleBinding ALL - -
roles - rbac.authorization.k8s.io/v1 true Role ALL - -
horizontalpodautoscalers hpa autoscaling/v2 true HorizontalPodAutoscaler ALL all status:HorizontalPodAutoscaler:get+patch+update
horizontalpodautoscalers hpa autoscaling/v1 true HorizontalPodAutoscaler ALL all status:HorizontalPodAutoscaler:get+patch+update
cronjobs cj batch/v1 true CronJob ALL all status:CronJob:get+patch+update
jobs - batch/v1 true Job ALL all status:Job:get+patch+update
certificatesigningrequests csr certificates.k8s.io/v1 false CertificateSigningRequest ALL - approval:CertificateSigningRequest:get+patch+update,status:CertificateSigningRequest:get+patch+update
ingressclasses - networking.k8s.io/v1 false IngressClass ALL - -
ingresses ing networking.k8s.io/v1 true Ingress ALL - status:Ingress:get+patch+update
ipaddresses ip networking.k8s.io/v1 false IPAddress ALL - -
networkpolicies netpol networking.k8s.io/v1 true NetworkPolicy ALL - -
servicecidrs - networking.k8s.io/v1 false ServiceCIDR ALL - status:ServiceCIDR:get+patch+update
poddisruptionbudgets pdb policy/v1 true PodDisruptionBudget ALL - status:PodDisruptionBudget:get+patch+update
csidrivers - storage.k8s.io/v1 false CSIDriver ALL - -
csinodes - storage.k8s.io/v1 false CSINode ALL - -
csistoragecapacities - storage.k8s.io/v1 true CSIStorageCapacity ALL - -
storageclasses sc storage.k8s.io/v1 false StorageClass ALL - -
mutatingadmissionpolicies - admissionregistration.k8s.io/v1 false MutatingAdmissionPolicy ALL api-extensions -
mutatingadmissionpolicybindings - admissionregistration.k8s.io/v1 false MutatingAdmissionPolicyBinding ALL api-extensions -
mutatingwebhookconfigurations - admissionregistration.k8s.io/v1 false MutatingWebhookConfiguration ALL api-extensions -
validatingadmissionpolicies - admissionregistration.k8s.io/v1 false ValidatingAdmissionPolicy ALL api-extensions status:ValidatingAdmissionPolicy:get+patch+update
validatingadmissionpolicybindings - admissionregistration.k8s.io/v1 false ValidatingAdmissionPolicyBinding ALL api-extensions -
validatingwebhookconfigurations - admissionregistration.k8s.io/v1 false ValidatingWebhookConfiguration ALL api-extensions -
customresourcedefinitions crd,crds apiextensions.k8s.io/v1 false CustomResourceDefinition ALL api-extensions status:CustomResourceDefinition:get+patch+update
volumeattachments - storage.k8s.io/v1 false VolumeAttachment ALL - status:VolumeAttachment:get+patch+update
volumeattributesclasses vac storage.k8s.io/v1 false VolumeAttributesClass ALL - -
priorityclasses pc scheduling.k8s.io/v1 false PriorityClass ALL - -
leases - coordination.k8s.io/v1 true Lease ALL - -
runtimeclasses - node.k8s.io/v1 false RuntimeClass ALL - -
endpointslices - discovery.k8s.io/v1 true EndpointSlice ALL - -
deviceclasses - resource.k8s.io/v1 false DeviceClass ALL - -
resourceclaims - resource.k8s.io/v1 true ResourceClaim ALL - status:ResourceClaim:get+patch+update
resourceclaimtemplates - resource.k8s.io/v1 true ResourceClaimTemplate ALL - -
resourceslices - resource.k8s.io/v1 false ResourceSlice ALL - -
flowschemas - flowcontrol.apiserver.k8s.io/v1 false FlowSchema ALL - status:FlowSchema:get+patch+update
prioritylevelconfigurations - flowcontrol.apiserver.k8s.io/v1 false PriorityLevelConfiguration ALL - status:PriorityLevelConfiguration:get+patch+update
";

fn or_dash(words: &[String]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

fn names(names: &Names) -> String {
    or_dash(&names.iter().map(str::to_owned).collect::<Vec<_>>())
}

fn subresource_fact(row: &Resource, sub: &Subresource) -> String {
    let own = (&sub.group, &sub.version) == (&row.group, &row.version);
    let prefix = if own { String::new() } else { format!("{}/{}.", sub.group, sub.version) };
    format!("{}:{prefix}{}:{}", sub.name, sub.kind, sub.verbs.join("+"))
}

fn fact(row: &Resource) -> String {
    let verbs = if row.verbs == ALL_VERBS { "ALL".to_owned() } else { row.verbs.join(",") };
    let subs: Vec<String> = row.subresources.iter().map(|sub| subresource_fact(row, sub)).collect();
    format!(
        "{} {} {} {} {} {verbs} {} {}",
        row.plural,
        names(&row.short_names),
        row.api_version(),
        row.namespaced(),
        row.kind,
        names(&row.categories),
        or_dash(&subs)
    )
}

#[test]
fn rows_agree_with_upstream() {
    let rows: Vec<String> = rows().iter().map(|row| fact(row)).collect();
    let expected: Vec<&str> = FACTS.lines().collect();
    assert_eq!(rows, expected);
}

#[test]
fn no_row_is_there_twice() {
    let table = rows();
    let mut plurals = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for row in &table {
        assert!(plurals.insert((&row.group, &row.version, &row.plural)), "{} twice", row.plural);
        assert!(kinds.insert((&row.group, &row.version, &row.kind)), "{} twice", row.kind);
    }
}

#[test]
fn verbs_and_subresources_are_sorted() {
    for row in rows() {
        assert!(row.verbs.is_sorted(), "{}", row.plural);
        assert!(row.subresources.is_sorted_by(|a, b| a.name <= b.name), "{}", row.plural);
        assert!(row.subresources.iter().all(|sub| sub.verbs.is_sorted()), "{}", row.plural);
    }
}

#[test]
fn every_kind_can_be_decoded_defaulted_checked_and_shown() {
    for row in rows() {
        let ops = &row.ops;
        let mut object = ops.decode(b"{}").unwrap();
        ops.set_defaults(&mut *object).unwrap();
        let once = object.to_value();
        ops.set_defaults(&mut *object).unwrap();
        assert_eq!(object.to_value(), once, "{}: defaults are not idempotent", row.plural);
        assert_eq!((&once["apiVersion"], &once["kind"]), (&row.api_version().into(), &(*row.kind).into()));
        ops.validate(&*object).unwrap();
        assert!(ops.validate_update(&*object, &*object).unwrap().is_empty(), "{}", row.plural);
        assert_eq!(ops.cells(&*object).unwrap().len(), ops.columns().len(), "{}", row.plural);
        let fields: BTreeSet<&str> = ops.selectable().iter().map(|field| &*field.path).collect();
        assert_eq!(fields.len(), ops.selectable().len(), "{}", row.plural);
    }
}
