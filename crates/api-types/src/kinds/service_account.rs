//! `v1.ServiceAccount`.

use serde_json::Value;

use crate::{
    core::ServiceAccount,
    object::{Column, Kind},
    table,
};

impl Kind for ServiceAccount {
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("Secrets", "Secrets that pods running as this account may use."), Column::AGE];

    fn cells(&self) -> Vec<Value> {
        let secrets = self.secrets.as_ref().map_or(0, Vec::len);
        vec![
            self.metadata.name.clone().into(),
            secrets.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}
