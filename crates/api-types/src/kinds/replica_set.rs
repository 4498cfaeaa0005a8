//! `apps/v1.ReplicaSet`.

use crate::{Kind, apps};

impl Kind for apps::ReplicaSet {}
