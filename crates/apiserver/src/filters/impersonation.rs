//! Clients that act as somebody else.

use std::sync::Arc;

use api_types::StatusError;
use component::auth::{Authorizer, User};
use futures::future::BoxFuture;

use super::{Filter, Next};
use crate::{
    authorization::{attributes, impersonation},
    catalogue::Request,
    serving::{Response, respond},
};

pub(super) struct Impersonate(Arc<dyn Authorizer>);

impl Impersonate {
    pub(super) fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self(authorizer)
    }

    async fn become_user(&self, request: &mut Request, wanted: &User) -> Result<(), StatusError> {
        let attributes = attributes(&request.user, request.http.method(), &request.info, &request.query);
        let impersonated = impersonation::authorize(&*self.0, wanted, &attributes).await?;
        tracing::debug!(user = request.user.name, impersonated = impersonated.user.name, "impersonation");
        if let Some(record) = &request.audit {
            record.act_as(&impersonated);
        }
        request.user = impersonated.user;
        Ok(())
    }
}

impl Filter for Impersonate {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        let wanted = match impersonation::wanted(request.http.headers_mut()) {
            Ok(None) => return next.run(request),
            Ok(Some(wanted)) => wanted,
            Err(error) => return Box::pin(async move { respond::error(&error) }),
        };
        Box::pin(async move {
            match self.become_user(&mut request, &wanted).await {
                Ok(()) => next.run(request).await,
                Err(error) => respond::error(&error),
            }
        })
    }
}
