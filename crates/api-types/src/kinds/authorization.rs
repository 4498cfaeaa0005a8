//! Reviews of rights: nothing is defaulted, and what is wrong with one is told where it is answered.

use crate::{
    authorization::{LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview},
    object::Kind,
};

impl Kind for LocalSubjectAccessReview {}

impl Kind for SelfSubjectAccessReview {}

impl Kind for SelfSubjectRulesReview {}

impl Kind for SubjectAccessReview {}
