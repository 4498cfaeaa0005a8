//! Reviews of users: nothing is defaulted, and what is wrong with one is told where it is answered.

use crate::{
    authentication::{SelfSubjectReview, TokenReview},
    object::Kind,
};

impl Kind for SelfSubjectReview {}

impl Kind for TokenReview {}
