//! `ctl certificate approve|deny`.

use api_types::jiff::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    objects::{Asked, Found, each},
    writing::Printing,
};
use crate::{
    api::Api,
    connection::GlobalFlags,
    error::{Error, Result},
    manifests::FileFlags,
};

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Approve a certificate signing request
    Approve(Which),
    /// Deny a certificate signing request
    Deny(Which),
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// Names
    names: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    /// Although it is decided already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    printing: Printing,
}

/// A decision: the condition's type, its reason, what is said.
struct Decision {
    condition: &'static str,
    opposite: &'static str,
    reason: &'static str,
    done: &'static str,
}

const APPROVE: Decision =
    Decision { condition: "Approved", opposite: "Denied", reason: "KubectlApprove", done: "approved" };
const DENY: Decision = Decision { condition: "Denied", opposite: "Approved", reason: "KubectlDeny", done: "denied" };

/// Runs the command.
///
/// # Errors
/// When a request is unknown, is decided otherwise, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let (which, decision) = match &flags.verb {
        Verb::Approve(which) => (which, APPROVE),
        Verb::Deny(which) => (which, DENY),
    };
    if which.names.is_empty() && which.files.filenames.is_empty() {
        return Err(Error::usage("one or more CSRs must be specified as <name> or -f <filename>"));
    }
    let mut arguments = vec!["certificatesigningrequests.certificates.k8s.io".to_owned()];
    arguments.extend(which.names.iter().cloned());
    let asked = Asked { arguments: &arguments, files: Some(&which.files), ..Asked::default() };
    let found = asked.find(api, global).await?;
    each(found, async |found| {
        let after = decide(api, &found, &decision, which.force).await?;
        which.printing.print(&found.resource, &after, decision.done)
    })
    .await
}

async fn decide(api: &Api, found: &Found, decision: &Decision, force: bool) -> Result<Value> {
    let mut request = found.object.clone();
    let conditions = request["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let has = |kind: &str| conditions.iter().any(|condition| condition["type"] == kind);
    if has(decision.opposite) {
        let words = format!("certificate signing request {:?} is already {}", found.name, decision.opposite);
        return Err(Error::usage(words));
    }
    if has(decision.condition) && !force {
        return Ok(request);
    }
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    let mut conditions: Vec<Value> =
        conditions.into_iter().filter(|condition| condition["type"] != decision.condition).collect();
    conditions.push(json!({"type": decision.condition, "status": "True", "reason": decision.reason,
        "message": format!("This CSR was {} by kubectl certificate {}.", decision.done, verb(decision)), "lastUpdateTime": now}));
    request["status"]["conditions"] = conditions.into();
    api.put(&format!("{}/approval", found.path()), &request).await
}

fn verb(decision: &Decision) -> &'static str {
    if decision.condition == "Approved" { "approve" } else { "deny" }
}
