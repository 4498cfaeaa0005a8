//! `POST …/serviceaccounts/NAME/token` makes a token.

use std::sync::Arc;

use api_types::{
    GroupResource, Object, Resource, StatusError,
    authentication::{BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus},
    core::Pod,
    field::{FieldError, Path},
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
    rows,
};
use component::{auth::user::service_account_user, jwt::Seconds};
use futures::future::BoxFuture;
use http::StatusCode;

use super::{Answer, Call, body, write};
use crate::{
    authentication::service_account::{Binding, ClaimedObject, Grant, Issuing},
    catalogue::{Endpoint, Request},
    registry::{
        Door, Operation, Registry, Review, Target, Write,
        decode::{Wanted, decode_kind},
        review::decode_as,
        strategy,
    },
    serving::respond,
};

/// A token's life when nobody says otherwise, in seconds.
const USUAL_LIFE: i64 = 60 * 60;
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;

const KIND: GroupResource<'static> = GroupResource::new("authentication.k8s.io", "TokenRequest");

/// Makes tokens for service accounts.
pub struct Tokens {
    /// Signs them.
    pub issuing: Arc<Issuing>,
}

impl Endpoint for Tokens {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(self.make(call, request))
    }
}

impl Tokens {
    async fn make(&self, call: &Call<'_>, mut request: Request) -> Answer {
        let sent = body::read_json(&mut request).await?;
        let write = write(&request, "CreateOptions")?;
        let wanted = Wanted::kind("authentication.k8s.io", "v1", "TokenRequest");
        let decoded = decode_kind::<TokenRequest>(&wanted, &sent, write.options.field_validation)?;
        decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
        let mut sent = decoded.object;
        sent.spec.get_or_insert_default().expiration_seconds.get_or_insert(USUAL_LIFE);
        let (registry, target) = (call.registry(), call.target());
        let door = Door { operation: Operation::Create, row: &call.rest.row, subresource: "token", target };
        let mut object: Box<dyn Object> = Box::new(sent);
        registry.admit(&mut Review::other(door, &write, &mut object, decode_as::<TokenRequest>)).await?;
        let asked: &mut TokenRequest = object.expect_mut("TokenRequest")?;
        check_names(&asked.metadata, target)?;
        let entry = registry.get(call.rest, target).await?;
        let account = call.rest.decode(entry.item()).await?;
        let now = strategy::now();
        complete(asked, target, &self.issuing.audiences, now);
        check_life(asked.spec.get_or_insert_default())?;
        registry.validate(&Review::other(door, &write, &mut object, decode_as::<TokenRequest>)).await?;
        let asked: &mut TokenRequest = object.expect_mut("TokenRequest")?;
        let reference = asked.spec.as_ref().and_then(|spec| spec.bound_object_ref.as_ref());
        let binding = bind(registry, target, account.meta(), reference).await?;
        let id = self.sign(asked, binding, now, &write)?;
        if let Some(record) = &request.audit {
            record.annotate("authentication.kubernetes.io/issued-credential-id", &format!("JTI={id}"));
        }
        Ok(respond::object(StatusCode::CREATED, request.accept.encoding, object.encode().into()))
    }

    /// Fills in the status, and tells the token's id.
    fn sign(
        &self,
        asked: &mut TokenRequest,
        binding: Binding,
        now: Timestamp,
        write: &Write<'_>,
    ) -> Result<String, StatusError> {
        let spec = asked.spec.get_or_insert_default();
        let life = spec.expiration_seconds.get_or_insert(USUAL_LIFE);
        if let Some(shorter) = self.issuing.shortened(*life) {
            write.warn(format!("requested expiration of {life} seconds shortened to {shorter} seconds"));
            *life = shorter;
        }
        let ends = now.as_second().saturating_add(*life);
        let grant = Grant {
            subject: service_account_user(&binding.namespace, &binding.account.name),
            audiences: spec.audiences.clone().unwrap_or_default(),
            life: *life,
            binding,
        };
        let signed = self.issuing.sign(grant, Seconds(now.as_second()));
        let (token, id) =
            signed.map_err(|error| StatusError::internal(format!("failed to generate token: {error:#}")))?;
        let ends = Timestamp::from_second(ends).map_err(StatusError::internal)?;
        asked.status = Some(TokenRequestStatus { token: Some(token), expiration_timestamp: Some(Time(ends)) });
        Ok(id)
    }
}

/// A request that names somebody names the account of its path.
fn check_names(metadata: &ObjectMeta, target: Target<'_>) -> Result<(), StatusError> {
    for (named, actual, field) in
        [(&metadata.name, target.name, "name"), (&metadata.namespace, target.namespace, "namespace")]
    {
        if let Some(named) = named.as_deref().filter(|named| !named.is_empty() && *named != actual) {
            let path = Path::new("metadata").child(field);
            let detail = format!("must match the service account {field} if specified");
            return Err(StatusError::invalid(KIND, target.name, &[FieldError::invalid(&path, named, detail)]));
        }
    }
    Ok(())
}

fn complete(asked: &mut TokenRequest, target: Target<'_>, audiences: &[String], now: Timestamp) {
    let said = asked.spec.get_or_insert_default().audiences.get_or_insert_default();
    if said.is_empty() {
        *said = audiences.to_vec();
    }
    asked.metadata.name = Some(target.name.to_owned());
    asked.metadata.namespace = Some(target.namespace.to_owned());
    asked.metadata.creation_timestamp = Some(Time(now));
    asked.status = None;
}

fn check_life(spec: &TokenRequestSpec) -> Result<(), StatusError> {
    let path = Path::new("spec").child("expirationSeconds");
    let life = spec.expiration_seconds.unwrap_or(USUAL_LIFE);
    let detail = match life {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    Err(StatusError::invalid(KIND, "", &[FieldError::invalid(&path, life, detail)]))
}

/// What the token is bound to: the account, and what the request names.
async fn bind(
    registry: &Registry,
    account: Target<'_>,
    metadata: &ObjectMeta,
    reference: Option<&BoundObjectReference>,
) -> Result<Binding, StatusError> {
    let mut binding =
        Binding { namespace: account.namespace.to_owned(), account: claim(metadata), ..Binding::default() };
    let Some(reference) = reference else { return Ok(binding) };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (api_version, kind, name) = (text(&reference.api_version), text(&reference.kind), text(&reference.name));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let bound = match (group, kind.as_str()) {
        ("", "Pod") => {
            let pod = find(registry, &rows::PODS, account.namespace, &name).await?;
            binding.node = node_of(registry, account.name, pod.expect_ref("Pod")?).await?;
            binding.pod.insert(claim(pod.meta()))
        }
        ("", "Node") => binding.node.insert(claim(find(registry, &rows::NODES, "", &name).await?.meta())),
        ("", "Secret") => {
            let secret = find(registry, &rows::SECRETS, account.namespace, &name).await?;
            binding.secret.insert(claim(secret.meta()))
        }
        _ => {
            let what = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(StatusError::bad_request(what));
        }
    };
    let wanted = text(&reference.uid);
    if !wanted.is_empty() && wanted != bound.uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(StatusError::conflict(GroupResource::new(group, &kind), &name, &why));
    }
    Ok(binding)
}

fn claim(metadata: &ObjectMeta) -> ClaimedObject {
    ClaimedObject { name: metadata.name.clone().unwrap_or_default(), uid: metadata.uid.clone().unwrap_or_default() }
}

async fn find(
    registry: &Registry,
    row: &Resource,
    namespace: &str,
    name: &str,
) -> Result<Box<dyn Object>, StatusError> {
    let rest = registry.core(&row.plural)?;
    let entry = registry.get(&rest, Target { namespace, name }).await?;
    rest.decode(entry.item()).await
}

/// The node of a pod, which has to run as the account. One that is not there is named all the same.
async fn node_of(registry: &Registry, account: &str, pod: &Pod) -> Result<Option<ClaimedObject>, StatusError> {
    let spec = pod.spec.as_ref();
    if spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or_default() != account {
        let why = format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        );
        return Err(StatusError::bad_request(why));
    }
    let node = spec.and_then(|spec| spec.node_name.as_deref()).filter(|node| !node.is_empty());
    let Some(name) = node else { return Ok(None) };
    let nodes = registry.core(&rows::NODES.plural)?;
    match registry.get_object(&nodes, Target { namespace: "", name }).await {
        Ok(node) => Ok(Some(claim(node.meta()))),
        Err(error) if error.reason() == "NotFound" => {
            Ok(Some(ClaimedObject { name: name.to_owned(), uid: String::new() }))
        }
        Err(error) => Err(StatusError::internal(error)),
    }
}
