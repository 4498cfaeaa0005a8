//! Resource quotas: what a namespace may use in all. What an object uses is charged to the quotas' statuses before it is
//! stored, so that many requests at once, here or at another API server, cannot use more than there is.

mod account;
mod counter;
mod limited;

use std::sync::Arc;

use api_types::{StatusError, core::ResourceQuota as Quota, quota::Counted, rows};
use futures::future::BoxFuture;
use serde_json::Value;

use self::{
    account::{Account, Asked},
    counter::Counters,
    limited::Limited,
};
use super::{Make, view::View};
use crate::registry::{
    DryRun, Operation, Review,
    admission::{Handle, Plugin},
};

pub(super) struct ResourceQuota {
    quotas: Arc<View<Quota>>,
    counters: Counters,
    /// What nobody may have without a quota.
    limited: Vec<Limited>,
}

/// The plugin as its configuration has it.
pub(super) fn configured(configuration: Option<&Value>) -> Result<Make, String> {
    let limited = configuration.map(limited::read).transpose()?.unwrap_or_default();
    Ok(Box::new(|registry| Box::new(ResourceQuota::new(&registry, limited))))
}

impl ResourceQuota {
    fn new(registry: &Handle, limited: Vec<Limited>) -> Self {
        let quotas = Arc::new(View::new(registry, &rows::RESOURCE_QUOTAS));
        Self { counters: Counters::new(quotas.clone()), quotas, limited }
    }

    async fn charge(&self, review: &Review<'_>, counted: &Counted) -> Result<(), StatusError> {
        let namespace = review.door.target.namespace;
        let quotas = self.quotas.list(namespace).await?;
        let limited = || self.limited.iter().filter(|limited| limited.is_about(review.door.row));
        if quotas.is_empty() && limited().next().is_none() {
            return Ok(());
        }
        self.refuse_taken_name(review).await?;
        let subject = |object| counted.subject(object);
        let Some(new) = review.get().and_then(subject) else { return Ok(()) };
        let asked = Asked { counted: counted.clone(), new, old: review.old().and_then(subject) };
        limited::check(limited(), &quotas, &asked).map_err(|why| review.forbidden(&why))?;
        let verdict = if review.dry_run() == DryRun::All {
            Account::all(&quotas).iter_mut().try_for_each(|account| account.charge(&asked).map(drop))
        } else {
            self.counters.charge(namespace, asked).await?
        };
        verdict.map_err(|why| review.forbidden(&why))
    }

    /// An object that is there already cannot be created, and must not be charged again.
    async fn refuse_taken_name(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let door = &review.door;
        if door.operation != Operation::Create || door.target.name.is_empty() {
            return Ok(());
        }
        let (registry, _) = self.quotas.rest()?;
        let Some(rest) = registry.find(&door.row.group, &door.row.version, &door.row.plural) else { return Ok(()) };
        if !registry.is_known(&rest, door.target).await {
            return Ok(());
        }
        match registry.get(&rest, door.target).await {
            Ok(_) => Err(StatusError::already_exists(door.row.into(), door.target.name)),
            Err(error) if error.code() == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Which writes change what is used: pods change by a resize only, and what is only numbered not at all.
fn counted(review: &Review<'_>) -> Option<Counted> {
    let door = &review.door;
    let counted = Counted::of_row(door.row)?;
    let changes = matches!(
        (&counted, door.operation, door.subresource),
        (_, Operation::Create, "")
            | (Counted::Pods, Operation::Update, "resize")
            | (Counted::Services | Counted::Claims, Operation::Update, "")
    );
    changes.then_some(counted)
}

impl Plugin for ResourceQuota {
    fn concerns(&self, review: &Review<'_>) -> bool {
        !review.door.target.namespace.is_empty() && counted(review).is_some()
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            match counted(review) {
                Some(counted) => self.charge(review, &counted).await,
                None => Ok(()),
            }
        })
    }
}
