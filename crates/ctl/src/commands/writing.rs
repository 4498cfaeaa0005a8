//! What the verbs that write objects share: `--dry-run`, `--field-manager`, `--validate`, `--save-config`, and printing what was
//! done.

use clap::Args;
use serde_json::Value;

use crate::{
    api::Api,
    dry_run::{self, DryRun},
    error::{Error, Result},
    output::{Format, Missing, print_result},
    resources::ResourceType,
    typed,
};

/// The annotation in which client-side apply keeps what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How to write, and what to print.
#[derive(Args, Clone, Debug, Default)]
pub struct Writing {
    #[command(flatten)]
    dry_run: dry_run::Flag,
    #[command(flatten)]
    printing: Printing,
    /// Name of the manager that owns the written fields
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
}

/// What to print of the object.
#[derive(Args, Clone, Debug, Default)]
pub struct Printing {
    /// Format: json, yaml, name, …
    #[arg(short, long)]
    output: Option<Format>,
    /// Template of -o=go-template and -o=go-template-file
    #[arg(long)]
    template: Option<String>,
    /// Templates skip keys that are missing
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    allow_missing_template_keys: bool,
    /// Managed fields, too
    #[arg(long)]
    show_managed_fields: bool,
}

impl Printing {
    /// The format; for humans by default.
    #[must_use]
    pub fn format(&self) -> Format {
        self.output.clone().unwrap_or_default()
    }

    /// Prints an object, or for humans what was done.
    ///
    /// # Errors
    /// When the object cannot be printed so.
    pub fn print(&self, resource: &ResourceType, object: &Value, done: &str) -> Result<()> {
        let format = self.format().with(self.template.as_deref())?;
        let missing = if self.allow_missing_template_keys { Missing::Skipped } else { Missing::Refused };
        print_result(&format, missing, resource, object, done)
    }

    /// Whether a format was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.output.is_some()
    }
}

impl Writing {
    /// Whether the command writes.
    #[must_use]
    pub fn dry_run(&self) -> DryRun {
        self.dry_run.dry_run
    }

    /// What to print.
    #[must_use]
    pub fn printing(&self) -> &Printing {
        &self.printing
    }

    /// A path with the parameters of a write; `manager` is the verb's own name for itself.
    #[must_use]
    pub fn url(&self, path: &str, manager: &str) -> String {
        let manager = self.field_manager.as_deref().unwrap_or(manager);
        let query = super::query(&[("fieldManager", Some(manager))]);
        let separator = if path.contains('?') { '&' } else { '?' };
        self.dry_run().ask_server(&format!("{path}{separator}{query}"))
    }

    /// Prints an object, or for humans what was done.
    ///
    /// # Errors
    /// When the object cannot be printed so.
    pub fn print(&self, resource: &ResourceType, object: &Value, done: &str) -> Result<()> {
        self.printing.print(resource, object, &self.dry_run().say(done))
    }

    /// Prints an object that was made here, in the form of Go's types.
    ///
    /// # Errors
    /// When the object cannot be printed so.
    pub fn print_made(&self, resource: &ResourceType, object: &Value, done: &str) -> Result<()> {
        if self.printing.format() == Format::Json {
            print!("{}", typed::pretty(object));
            return Ok(());
        }
        self.print(resource, object, done)
    }
}

/// What the generators take besides.
#[derive(Args, Clone, Debug, Default)]
pub struct Creating {
    /// How to write
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    saving: SaveConfig,
    #[command(flatten)]
    validating: Validating,
}

/// `--save-config`.
#[derive(Args, Clone, Debug, Default)]
pub struct SaveConfig {
    /// Keep the configuration in an annotation, for client-side apply
    #[arg(long)]
    save_config: bool,
}

/// `--validate`.
#[derive(Args, Clone, Debug, Default)]
pub struct Validating {
    /// Unknown and duplicate fields: strict (or true), warn, ignore (or false)
    #[arg(long, default_value = "strict", default_missing_value = "strict", num_args = 0..=1, require_equals = true, value_parser = validation)]
    validate: Validation,
}

/// What the server does about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// Refuses.
    #[default]
    Strict,
    /// Warns.
    Warn,
    /// Nothing.
    Ignore,
}

fn validation(text: &str) -> std::result::Result<Validation, String> {
    match text {
        "strict" | "true" => Ok(Validation::Strict),
        "warn" => Ok(Validation::Warn),
        "ignore" | "false" => Ok(Validation::Ignore),
        other => Err(format!(
            "invalid - validate option {other:?}; must be one of: strict (or true), warn, ignore (or false)"
        )),
    }
}

impl Validating {
    /// A path with what the server shall do about unknown and duplicate fields.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{path}&fieldValidation={:?}", self.validate)
    }
}

impl Creating {
    /// A path with the parameters of a creation.
    #[must_use]
    pub fn url(&self, path: &str, manager: &str) -> String {
        self.validating.url(&self.writing.url(path, manager))
    }

    /// Creates an object that was generated, or, in a client's dry run, does not; prints it. Objects of a namespaced kind
    /// get the namespace that the command line names.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(&self, api: &Api, resource: &ResourceType, mut object: Value, done: &str) -> Result<Value> {
        typed::complete(&mut object);
        self.saving.apply(&mut object);
        if self.writing.dry_run() == DryRun::Client {
            self.writing.print_made(resource, &object, done)?;
            return Ok(object);
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&api.namespace);
        let url = self.url(&resource.collection(Some(namespace)), "kubectl-create");
        let created = api.post(&url, &object).await?;
        self.writing.print_made(resource, &created, done)?;
        Ok(created)
    }

    /// See [`SaveConfig::apply`].
    pub fn save(&self, object: &mut Value) {
        self.saving.apply(object);
    }
}

impl SaveConfig {
    /// Notes the object's configuration in it, when that was asked for.
    pub fn apply(&self, object: &mut Value) {
        if self.save_config {
            let mut text = typed::line(object);
            text.push('\n');
            object["metadata"]["annotations"][LAST_APPLIED] = text.into();
        }
    }
}

/// A pair `KEY=VALUE`.
///
/// # Errors
/// When there is no `=`.
pub fn pair(text: &str) -> Result<(String, String)> {
    let pair = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| Error::usage(format!("unexpected pair {text:?}: expected KEY=VALUE")))
}
