//! Requests for certificates: they tell who asks, whatever they were sent with, and never change. Each door writes its
//! own part of the status: one decides, the other issues.

use api_types::{
    certificates::{CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus},
    meta::Time,
};

use crate::{
    registry::{Part, TypedStrategy, shape::Split, strategy::now},
    request::User,
};

/// What is decided through `/approval` only.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

pub(super) struct Requests;

impl TypedStrategy for Requests {
    type Kind = CertificateSigningRequest;
    type Shape = Split;

    fn prepare_for_create(&self, new: &mut CertificateSigningRequest) {
        new.status = Some(CertificateSigningRequestStatus::default());
    }

    fn attribute(&self, new: &mut CertificateSigningRequest, user: &User) {
        let spec = &mut new.spec;
        spec.username = Some(user.name.clone()).filter(|name| !name.is_empty());
        spec.uid = Some(user.uid.clone()).filter(|uid| !uid.is_empty());
        spec.groups = Some(user.groups.clone()).filter(|groups| !groups.is_empty());
        spec.extra = Some(user.extra.clone()).filter(|extra| !extra.is_empty());
    }

    fn prepare_for_update(&self, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
        new.spec.clone_from(&old.spec);
    }

    fn prepare_for_part_update(
        &self,
        part: Part,
        new: &mut CertificateSigningRequest,
        old: &CertificateSigningRequest,
    ) {
        if part == Part::Approval {
            new.spec.clone_from(&old.spec);
            let conditions = new.status.take().and_then(|status| status.conditions);
            new.status.clone_from(&old.status);
            new.status.get_or_insert_default().conditions = conditions;
        } else {
            for decision in DECISIONS {
                keep_decision(new, old, decision);
            }
        }
        date_conditions(new, old);
    }
}

type Conditions<'a> = &'a mut Vec<CertificateSigningRequestCondition>;

/// Keeps a decision as it was unless it comes or goes, which validation is to see.
fn keep_decision(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, kind: &str) {
    let before = old.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let before: Vec<_> = before.filter(|condition| condition.type_ == kind).collect();
    let now: Vec<_> = conditions(new).map_or_else(Vec::new, |all| all.iter_mut().filter(|c| c.type_ == kind).collect());
    if before.len() == now.len() {
        for (now, before) in now.into_iter().zip(before) {
            now.clone_from(before);
        }
    }
}

fn conditions(request: &mut CertificateSigningRequest) -> Option<Conditions<'_>> {
    request.status.as_mut()?.conditions.as_mut()
}

/// Says when conditions changed that do not say it.
fn date_conditions(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
    let present = Time(now());
    let before = |condition: &CertificateSigningRequestCondition| {
        let all = old.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut same = all.filter(|old| old.type_ == condition.type_ && old.status == condition.status);
        same.find_map(|old| old.last_transition_time.clone())
    };
    for condition in conditions(new).into_iter().flatten() {
        condition.last_update_time.get_or_insert_with(|| present.clone());
        if condition.last_transition_time.is_none() {
            condition.last_transition_time = Some(before(condition).unwrap_or_else(|| present.clone()));
        }
    }
}
