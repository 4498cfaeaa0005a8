//! `create token`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::plain_resource;
use crate::{
    api::Api,
    commands::writing::Printing,
    error::{Error, Result},
    output::Format,
    program::one_name,
};

/// `create token`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "SERVICE_ACCOUNT_NAME")]
    names: Vec<String>,
    /// For whom the token is
    #[arg(long)]
    audience: Vec<String>,
    /// How long it is valid; the server decides when it is not said
    #[arg(long, default_value = "0s", allow_hyphen_values = true)]
    duration: String,
    /// Node, Pod or Secret: the token ends with the object
    #[arg(long, default_value = "")]
    bound_object_kind: String,
    /// The object's name
    #[arg(long, default_value = "")]
    bound_object_name: String,
    /// The object's UID
    #[arg(long, default_value = "")]
    bound_object_uid: String,
    #[command(flatten)]
    printing: Printing,
}

/// Kinds that a token can be bound to, and their versions.
const KINDS: [&str; 3] = ["Node", "Pod", "Secret"];

/// Runs the command.
///
/// # Errors
/// When a flag makes no sense or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let name = one_name(&flags.names, "create token")?;
    let request = flags.request()?;
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{name}/token", api.namespace);
    let answer = api.post(&path, &request).await.map_err(|error| match error {
        Error::Server(status) => {
            Error::usage(format!("failed to create token: {}", status.message.as_deref().unwrap_or_default()))
        }
        error => error,
    })?;
    match flags.printing.format() {
        Format::Human => {
            let token = answer["status"]["token"].as_str().filter(|token| !token.is_empty());
            println!("{}", token.ok_or_else(|| Error::usage("failed to create token: no token in server response"))?);
            Ok(())
        }
        _ => flags.printing.print(&plain_resource(&answer), &answer, "created"),
    }
}

impl Flags {
    fn request(&self) -> Result<Value> {
        self.check()?;
        let mut spec = json!({"audiences": self.audience});
        let duration = self.duration()?;
        if !duration.is_zero() {
            spec["expirationSeconds"] = duration.as_secs().into();
        }
        if !self.bound_object_kind.is_empty() {
            spec["boundObjectRef"] = json!({"apiVersion": "v1", "kind": self.bound_object_kind,
                "name": self.bound_object_name, "uid": self.bound_object_uid});
        }
        Ok(json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}))
    }

    fn duration(&self) -> Result<Duration> {
        if self.duration.starts_with('-') {
            return Err(Error::usage("--duration must be greater than or equal to 0"));
        }
        let duration = component::flags::duration(&self.duration).map_err(Error::usage)?;
        if duration.subsec_nanos() > 0 {
            return Err(Error::usage("--duration cannot be expressed in units less than seconds"));
        }
        Ok(duration)
    }

    fn check(&self) -> Result<()> {
        let (kind, name, uid) = (&self.bound_object_kind, &self.bound_object_name, &self.bound_object_uid);
        let fault = match (kind.as_str(), name.as_str(), uid.as_str()) {
            ("", "", "") => None,
            ("", "", _) => Some("--bound-object-uid can only be set if --bound-object-kind is provided"),
            ("", ..) => Some("--bound-object-name can only be set if --bound-object-kind is provided"),
            (kind, ..) if !KINDS.contains(&kind) => Some("supported --bound-object-kind values are Node, Pod, Secret"),
            (_, "", _) => Some("--bound-object-name is required if --bound-object-kind is provided"),
            _ => None,
        };
        fault.map_or(Ok(()), |fault| Err(Error::usage(fault)))
    }
}
