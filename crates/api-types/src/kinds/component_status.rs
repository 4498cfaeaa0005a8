//! `v1.ComponentStatus`.

use serde_json::Value;

use crate::{
    core::ComponentStatus,
    object::{Column, Kind},
};

impl Kind for ComponentStatus {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "Status of the component conditions"),
        Column::text("Message", "Message of the component conditions"),
        Column::text("Error", "Error of the component conditions"),
    ];

    fn cells(&self) -> Vec<Value> {
        let healthy = self.conditions.iter().flatten().find(|condition| condition.type_ == "Healthy");
        let status = match healthy.map(|condition| condition.status.as_str()) {
            None => "Unknown",
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
        };
        let message = healthy.and_then(|condition| condition.message.clone()).unwrap_or_default();
        let error = healthy.and_then(|condition| condition.error.clone()).unwrap_or_default();
        vec![self.metadata.name.clone().into(), status.into(), message.into(), error.into()]
    }
}
