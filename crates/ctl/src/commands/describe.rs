//! `ctl describe`.

use clap::Args;
use serde_json::Value;

use super::{Failures, get::Selection, query};
use crate::{
    api::Api,
    error::{Error, Result},
    output::describe,
    resources::{Catalog, Target},
};

/// What to describe.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE [NAME-PREFIX…] or TYPE/NAME…
    arguments: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// Show events, too
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    show_events: bool,
}

/// Runs the command.
///
/// # Errors
/// When a resource is unknown or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let catalog = Catalog::discover(api).await?;
    let mut failures = Failures::default();
    let mut first = true;
    for target in catalog.targets(&flags.arguments)? {
        match objects(api, flags, &target).await {
            Ok(objects) => {
                for object in objects {
                    if !std::mem::take(&mut first) {
                        println!("\n");
                    }
                    let events = if flags.show_events { Some(events(api, &object).await?) } else { None };
                    print!("{}", describe::describe(&object, events.as_deref()));
                }
            }
            Err(error) => failures.note(Err(error))?,
        }
    }
    if first && !failures.any {
        eprintln!("No resources found in {} namespace.", api.namespace);
    }
    failures.result()
}

/// The object; when there is none of that name, those whose names begin with it, as kubectl does.
async fn objects(api: &Api, flags: &Flags, target: &Target) -> Result<Vec<Value>> {
    let namespace = flags.selection.namespace(api);
    let not_found = match &target.name {
        None => None,
        Some(_) => match api.get(&target.path(namespace)).await {
            Ok(object) => return Ok(vec![object]),
            Err(error) if error.is_not_found() => Some(error),
            Err(error) => return Err(error),
        },
    };
    let mut list = api.get(&format!("{}?{}", target.resource.collection(namespace), flags.selection.query())).await?;
    let Value::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    let prefix = target.name.as_deref().unwrap_or_default();
    let named = |item: &Value| item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(prefix));
    let kind = |mut item: Value| {
        item["apiVersion"] = target.resource.api_version().into();
        item["kind"] = target.resource.kind.clone().into();
        item
    };
    let found: Vec<Value> = items.into_iter().filter(named).map(kind).collect();
    match not_found {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

async fn events(api: &Api, object: &Value) -> Result<Vec<Value>> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let mut selector = format!(
        "involvedObject.name={},involvedObject.kind={}",
        text("name"),
        object["kind"].as_str().unwrap_or_default()
    );
    // A node's events are recorded under its name as uid by some kubelets.
    if object["kind"] != "Node" {
        selector = format!("{selector},involvedObject.uid={}", text("uid"));
    }
    let query = query(&[("fieldSelector", Some(&selector))]);
    let list = api.get(&format!("/api/v1/namespaces/{namespace}/events?{query}")).await;
    match list {
        Ok(mut list) => match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        },
        Err(Error::Server(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
