//! `ctl drain`: a node is cordoned, and its pods are evicted. [`filter`] says which pods may go, [`evict`] makes them go.

mod evict;
mod filter;

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{
    cordon::{self, Nodes, Wanted},
    objects::Found,
    query,
};
use crate::{
    api::Api,
    connection::GlobalFlags,
    dry_run,
    error::{Error, Result},
};

use filter::Verdicts;

/// Which nodes, and which pods must not stop it.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    filters: filter::Filters,
    /// Seconds that each pod gets to stop; -1 means its own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// Give up after this long; 0 means never
    #[arg(long, default_value = "0s", value_parser = component::flags::duration)]
    timeout: Duration,
    /// Delete pods instead of evicting them: budgets are not asked
    #[arg(long)]
    disable_eviction: bool,
    /// Only the pods with these labels
    #[arg(long)]
    pod_selector: Option<String>,
    /// How many pods a page of the list has
    #[arg(long, default_value_t = 500)]
    chunk_size: i64,
    #[command(flatten)]
    dry_run: dry_run::Flag,
}

/// Why a node was not drained: each reason a line.
type Reasons = Vec<String>;

/// Runs the command.
///
/// # Errors
/// When a node is unknown, or cannot be drained.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    if let Some(selector) = &flags.pod_selector {
        super::select::parse(selector)?;
    }
    let nodes = flags.nodes.find(api, global, "drain").await?;
    let nodes = nodes.into_iter().collect::<Result<Vec<_>>>()?;
    for node in &nodes {
        cordon::set(api, node, flags.dry_run.dry_run, Wanted::Cordoned).await?;
    }
    let mut pending = Vec::new();
    for node in &nodes {
        match flags.drain(api, node).await? {
            None => println!("{} {}", node.display(), flags.dry_run.dry_run.say("drained")),
            Some(reasons) => pending.push((node, reasons)),
        }
    }
    report(&pending)
}

/// Tells which nodes are not drained, and why.
fn report(pending: &[(&Found, Reasons)]) -> Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    eprintln!("There are pending nodes to be drained:");
    for (node, _) in pending {
        eprintln!(" {}", node.name);
    }
    for reason in pending.iter().flat_map(|(_, reasons)| reasons) {
        let prefix = if reason == evict::TIMED_OUT { "error: " } else { "" };
        eprintln!("{prefix}{reason}");
    }
    Err(Error::Printed)
}

impl Flags {
    /// Why the node is not drained; nothing when it is.
    async fn drain(&self, api: &Api, node: &Found) -> Result<Option<Reasons>> {
        let verdicts = self.verdicts(api, node).await?;
        let mut reasons = verdicts.errors();
        if reasons.is_empty() {
            if let Some(warning) = verdicts.warning() {
                eprintln!("Warning: {warning}");
            }
            reasons = evict::all(api, self, &verdicts.deletable).await;
            if !reasons.is_empty() {
                self.tell_remaining(api, node, &reasons).await?;
            }
        }
        if reasons.is_empty() {
            return Ok(None);
        }
        eprintln!(
            "error: unable to drain node {:?} due to error: {}, continuing command...",
            node.name,
            joined(&reasons)
        );
        Ok(Some(reasons))
    }

    async fn verdicts(&self, api: &Api, node: &Found) -> Result<Verdicts> {
        let fields = format!("spec.nodeName={}", node.name);
        let mut pods = Vec::new();
        let mut page = String::new();
        loop {
            let limit = self.chunk_size.max(0).to_string();
            let query = query(&[
                ("fieldSelector", Some(&fields)),
                ("labelSelector", self.pod_selector.as_deref()),
                ("limit", Some(&limit)),
                ("continue", Some(page.as_str()).filter(|page| !page.is_empty())),
            ]);
            let mut list = api.get(&format!("/api/v1/pods?{query}")).await?;
            if let Value::Array(items) = list["items"].take() {
                pods.extend(items);
            }
            match list["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => page = next.to_owned(),
                _ => break,
            }
        }
        self.filters.judge(api, pods).await
    }

    async fn tell_remaining(&self, api: &Api, node: &Found, reasons: &[String]) -> Result<()> {
        let remaining = self.verdicts(api, node).await?;
        if !remaining.deletable.is_empty() {
            eprintln!("There are pending pods in node {:?} when an error occurred: {}", node.name, joined(reasons));
            for pod in &remaining.deletable {
                eprintln!("pod/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// Several reasons as Go shows a list of errors.
fn joined(reasons: &[String]) -> String {
    match reasons {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}
