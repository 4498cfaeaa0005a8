//! Nobody takes an address of their own choice: traffic to it would be theirs.

use std::collections::HashSet;

use api_types::{StatusError, core::Service, rows};
use futures::future::BoxFuture;

use crate::registry::{Review, admission::Plugin};

pub(super) struct DenyServiceExternalIPs;

impl Plugin for DenyServiceExternalIPs {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::SERVICES)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect::<Service>("Service").map_err(StatusError::from).and_then(|service| {
            let before = review.old().and_then(|old| old.downcast_ref::<Service>()).map(addresses);
            let before: HashSet<&String> = before.into_iter().flatten().collect();
            if addresses(service).iter().all(|address| before.contains(address)) {
                return Ok(());
            }
            Err(review.forbidden("Use of external IPs is denied by admission control"))
        });
        Box::pin(async move { result })
    }
}

fn addresses(service: &Service) -> &[String] {
    service.spec.as_ref().and_then(|spec| spec.external_ips.as_deref()).unwrap_or_default()
}
