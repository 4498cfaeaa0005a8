//! The options that every write understands.

use api_types::{
    GroupResource, StatusError,
    field::{FieldError, Path},
};
use serde_json::{Value, json};

use crate::request::Query;

/// Whether a write is only tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// It is done.
    #[default]
    Off,
    /// Everything but the storing is done (`dryRun=All`).
    All,
}

impl DryRun {
    /// Reads the values of `dryRun`.
    ///
    /// # Errors
    /// When one is not `All`. `kind` names the options in the message.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>, kind: &str) -> Result<Self, StatusError> {
        let mut dry_run = Self::Off;
        for value in values {
            if value != "All" {
                let error = FieldError::not_supported(&Path::new("dryRun"), value, &["All"]);
                return Err(StatusError::invalid(GroupResource::new("meta.k8s.io", kind), "", &[error]));
            }
            dry_run = Self::All;
        }
        Ok(dry_run)
    }
}

/// What happens to unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped silently.
    Ignore,
    /// They are dropped, and the client is warned.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

impl FieldValidation {
    /// The value of `fieldValidation`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Warn => "Warn",
            Self::Strict => "Strict",
        }
    }
}

/// The options of one write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Whether it is only tried.
    pub dry_run: DryRun,
    /// What happens to unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// Who writes, as managed fields name them.
    pub field_manager: String,
}

/// The longest name of a field manager, in bytes.
const MANAGER_MAX: usize = 128;

impl WriteOptions {
    /// Reads the query. `manager` stands in for a field manager that is not named; `kind` names the options in
    /// messages, such as `CreateOptions`.
    ///
    /// # Errors
    /// When a value is not supported.
    pub fn parse(query: &Query, manager: &str, kind: &str) -> Result<Self, StatusError> {
        let invalid = |error| StatusError::invalid(GroupResource::new("meta.k8s.io", kind), "", &[error]);
        let field_validation = match query.get("fieldValidation") {
            None => FieldValidation::default(),
            Some("Ignore") => FieldValidation::Ignore,
            Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let path = Path::new("fieldValidation");
                return Err(invalid(FieldError::not_supported(&path, other, &["Ignore", "Warn", "Strict"])));
            }
        };
        let field_manager = query.get("fieldManager").unwrap_or(manager);
        if field_manager.len() > MANAGER_MAX {
            return Err(invalid(FieldError::too_long(&Path::new("fieldManager"), MANAGER_MAX)));
        }
        if let Some((at, _)) = field_manager.char_indices().find(|(_, c)| c.is_control()) {
            let why = format!("should only contain printable characters (invalid character at position {at})");
            return Err(invalid(FieldError::invalid(&Path::new("fieldManager"), field_manager, why)));
        }
        let dry_run = DryRun::parse(query.all("dryRun"), kind)?;
        Ok(Self { dry_run, field_validation, field_manager: field_manager.to_owned() })
    }

    /// What of the options is not the same for all writes, as `CreateOptions` and `UpdateOptions` have it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut options = json!({"fieldManager": self.field_manager});
        if self.field_validation != FieldValidation::default() {
            options["fieldValidation"] = self.field_validation.as_str().into();
        }
        options
    }
}
