//! `create poddisruptionbudget` and `create priorityclass`.

use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    commands::{select, writing::Creating},
    error::{Error, Result},
    program::one_name,
};

/// `create poddisruptionbudget`.
#[derive(Args, Clone, Debug)]
pub struct Budget {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How many pods must be there, as a number or a percentage
    #[arg(long)]
    min_available: Option<String>,
    /// How many pods may be missing, as a number or a percentage
    #[arg(long)]
    max_unavailable: Option<String>,
    /// Which pods
    #[arg(long)]
    selector: Option<String>,
    #[command(flatten)]
    creating: Creating,
}

impl Budget {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.names, "create poddisruptionbudget")?;
        let Some(selector) = self.selector.as_deref().filter(|selector| !selector.is_empty()) else {
            return Err(Error::usage("a selector must be specified"));
        };
        let spec = match (&self.min_available, &self.max_unavailable) {
            (None, None) => return Err(Error::usage("one of min-available or max-unavailable must be specified")),
            (Some(_), Some(_)) => {
                return Err(Error::usage("min-available and max-unavailable cannot be both specified"));
            }
            (Some(number), None) => json!({"minAvailable": number_or_share("min-available", number)?}),
            (None, Some(number)) => json!({"maxUnavailable": number_or_share("max-unavailable", number)?}),
        };
        let mut object = named("policy/v1", "PodDisruptionBudget", name);
        object["spec"] = spec;
        object["spec"]["selector"] = select::label_selector(selector)?;
        Ok((object, &self.creating))
    }
}

fn number_or_share(flag: &str, text: &str) -> Result<Value> {
    let share = text.strip_suffix('%').unwrap_or(text);
    match share.bytes().all(|byte| byte.is_ascii_digit()) && !share.is_empty() {
        true => Ok(number_or_text(text)),
        false => Err(Error::usage(format!("invalid format specified for {flag}"))),
    }
}

/// What Go's `intstr.Parse` makes of a text.
#[must_use]
pub fn number_or_text(text: &str) -> Value {
    text.parse::<i32>().map_or_else(|_| json!(text), |number| json!(number))
}

/// `create priorityclass`.
#[derive(Args, Clone, Debug)]
pub struct Priority {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The priority
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    value: i32,
    /// The class of pods that name none
    #[arg(long)]
    global_default: bool,
    /// What the class is for
    #[arg(long, default_value = "")]
    description: String,
    /// PreemptLowerPriority or Never
    #[arg(long, default_value = "PreemptLowerPriority")]
    preemption_policy: String,
    #[command(flatten)]
    creating: Creating,
}

impl Priority {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let mut object = named("scheduling.k8s.io/v1", "PriorityClass", one_name(&self.names, "create priorityclass")?);
        object["value"] = self.value.into();
        object["globalDefault"] = self.global_default.into();
        object["description"] = self.description.clone().into();
        object["preemptionPolicy"] = self.preemption_policy.clone().into();
        Ok((object, &self.creating))
    }
}
