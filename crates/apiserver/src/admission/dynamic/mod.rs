//! Rules about requests that come and go while the server runs: who is asked about which, and what they are shown.

mod asking;
mod conditions;
mod criteria;
mod evaluation;
mod followed;
mod namespace;
mod request;
mod rules;
mod version;

pub(super) use asking::Asking;
pub(super) use conditions::{Conditions, Held};
pub(super) use criteria::{Criteria, Matched};
pub(super) use evaluation::{Budget, Composition, Expression, Scope, Visible};
pub(super) use followed::{All, Followed};
pub(super) use namespace::Namespaces;
pub(super) use request::AdmissionRequest;
pub(super) use version::{Version, Versions};

use crate::registry::{Operation, Review};

const GROUP: &str = "admissionregistration.k8s.io";

/// What says who is asked is itself asked about nowhere: nobody could mend it otherwise. Nor is reading logs, which is no
/// connection to upstream.
pub(super) fn is_exempt(review: &Review<'_>) -> bool {
    let door = &review.door;
    door.row.group == GROUP || (door.operation == Operation::Connect && door.subresource == "log")
}
