//! Tokens of service accounts: for pods of the node, and for whom these pods are to show them to.

use api_types::{
    StatusError,
    authentication::{TokenRequest, TokenRequestSpec},
    core::{PersistentVolume, PersistentVolumeClaim, Pod, Volume},
    storage::CSIDriver,
};
use component::auth::{Attributes, Decision, ResourceAttributes, Target as Asked};

use super::{Checked, Written, pod::node_of};
use crate::registry::{Operation, Target};

impl Written<'_> {
    pub(super) async fn token(&self) -> Checked {
        if self.review.door.operation != Operation::Create {
            return Ok(());
        }
        let request = self.object::<TokenRequest>()?.spec.clone().unwrap_or_default();
        let bound = request.bound_object_ref.as_ref().filter(|bound| {
            let (version, kind) = (bound.api_version.as_deref(), bound.kind.as_deref());
            (version, kind) == (Some("v1"), Some("Pod")) && bound.name.as_ref().is_some_and(|name| !name.is_empty())
        });
        let Some(bound) = bound else { return self.refuse("node requested token not bound to a pod") };
        let uid = bound.uid.as_deref().unwrap_or_default();
        self.refuse_when(uid.is_empty(), || "node requested token with a pod binding without a uid".to_owned())?;
        let pod = self.find_pod(bound.name.as_deref().unwrap_or_default()).await?;
        self.refuse_when(pod.metadata.uid.as_deref() != Some(uid), || {
            format!("the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated")
        })?;
        self.refuse_when(node_of(&pod) != self.node, || {
            "node requested token bound to a pod scheduled on a different node".to_owned()
        })?;
        self.audience(&request, &pod).await
    }

    async fn audience(&self, request: &TokenRequestSpec, pod: &Pod) -> Checked {
        let audience = match request.audiences.as_deref().unwrap_or_default() {
            [] => "",
            [audience] => audience,
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        if self.is_for(pod, audience).await? || self.may_request(audience).await {
            return Ok(());
        }
        let user = &self.review.user().name;
        self.refuse(&format!(
            "audience {audience:?} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
        ))
    }

    /// Whether a volume of the pod wants tokens for an audience.
    async fn is_for(&self, pod: &Pod, audience: &str) -> Result<bool, StatusError> {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        if volumes.iter().any(|volume| projects(volume, audience)) {
            return Ok(true);
        }
        for volume in volumes {
            if let Some(driver) = self.driver(pod, volume).await?
                && self.wants(&driver, audience).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The CSI driver behind a volume, if there is one.
    async fn driver(&self, pod: &Pod, volume: &Volume) -> Result<Option<String>, StatusError> {
        if let Some(csi) = &volume.csi {
            return Ok(Some(csi.driver.clone()));
        }
        let name = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(claim), _) => claim.claim_name.clone(),
            (None, Some(_)) => format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name),
            (None, None) => return Ok(None),
        };
        let namespace = self.review.door.target.namespace;
        let claim: Option<PersistentVolumeClaim> =
            self.find(("", "persistentvolumeclaims"), Target { namespace, name: &name }).await?;
        let bound = claim.and_then(|claim| claim.spec?.volume_name).filter(|name| !name.is_empty());
        let Some(bound) = bound else { return Ok(None) };
        let volume: Option<PersistentVolume> =
            self.find(("", "persistentvolumes"), Target { namespace: "", name: &bound }).await?;
        Ok(volume.and_then(|volume| volume.spec?.csi).map(|csi| csi.driver))
    }

    async fn wants(&self, driver: &str, audience: &str) -> Result<bool, StatusError> {
        let driver: Option<CSIDriver> =
            self.find(("storage.k8s.io", "csidrivers"), Target { namespace: "", name: driver }).await?;
        let requests = driver.and_then(|driver| driver.spec.token_requests).unwrap_or_default();
        Ok(requests.iter().any(|request| request.audience == audience))
    }

    /// An object, if it is there.
    async fn find<T: api_types::Object + Clone>(
        &self,
        (group, plural): (&str, &str),
        target: Target<'_>,
    ) -> Result<Option<T>, StatusError> {
        let Some(rest) = self.registry.find(group, "v1", plural) else { return Ok(None) };
        match self.registry.get_object(&rest, target).await {
            Ok(object) => Ok(object.downcast_ref::<T>().cloned()),
            Err(error) if error.reason() == "NotFound" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn may_request(&self, audience: &str) -> bool {
        let Target { namespace, name } = self.review.door.target;
        let place = ResourceAttributes {
            version: "v1".into(),
            namespace: namespace.into(),
            resource: audience.into(),
            name: name.into(),
            ..ResourceAttributes::default()
        };
        let verb = "request-serviceaccounts-token-audience".into();
        let asked = Attributes { user: self.review.user(), verb, target: Asked::Resource(place) };
        self.registry.authorizer().authorize(&asked).await.decision == Decision::Allow
    }
}

/// Whether a volume shows a token for an audience.
fn projects(volume: &Volume, audience: &str) -> bool {
    let mut sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    sources.any(|source| {
        source
            .service_account_token
            .as_ref()
            .is_some_and(|token| token.audience.as_deref().unwrap_or_default() == audience)
    })
}
