//! `ctl set image`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Failures;
use crate::{
    api::{Api, PatchType},
    dry_run::{self, DryRun},
    error::{Error, Result},
    output::{Format, print_result},
    resources::{Catalog, Target},
};

/// What to set.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Change the images of containers
    Image(Image),
}

#[derive(Args, Clone, Debug)]
struct Image {
    /// TYPE/NAME… CONTAINER=IMAGE…; * means every container
    arguments: Vec<String>,
    #[command(flatten)]
    dry_run: dry_run::Flag,
}

/// Runs the command.
///
/// # Errors
/// When a container is unknown or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let What::Image(image) = &flags.what;
    let (images, names): (Vec<_>, Vec<_>) =
        image.arguments.iter().cloned().partition(|argument| argument.contains('='));
    if images.is_empty() {
        return Err(Error::usage("at least one image update is required"));
    }
    let images: Vec<(&str, &str)> = images.iter().filter_map(|image| image.split_once('=')).collect();
    let catalog = Catalog::discover(api).await?;
    let mut failures = Failures::default();
    for target in catalog.targets(&names)? {
        failures.note(set(api, image.dry_run.dry_run, &target, &images).await)?;
    }
    failures.result()
}

async fn set(api: &Api, dry_run: DryRun, target: &Target, images: &[(&str, &str)]) -> Result<()> {
    let path = target.path(Some(&api.namespace));
    let before = api.get(&path).await?;
    let patch = patch(&before, images)?;
    let after = api.patch(&dry_run.ask(&path), PatchType::Strategic, &patch).await?;
    if before["spec"] != after["spec"] {
        print_result(&Format::Human, &target.resource, &after, &dry_run.say("image updated"))?;
    }
    Ok(())
}

/// A strategic merge patch that sets the images.
fn patch(object: &Value, images: &[(&str, &str)]) -> Result<Value> {
    let in_template = object["spec"]["template"].is_object();
    let spec = if in_template { &object["spec"]["template"]["spec"] } else { &object["spec"] };
    let mut patched = json!({});
    for (container, image) in images {
        let mut found = false;
        for list in ["containers", "initContainers"] {
            let named = spec[list].as_array().into_iter().flatten().filter_map(|known| known["name"].as_str());
            for name in named.filter(|name| *container == "*" || name == container) {
                found = true;
                let change = json!({"name": name, "image": image});
                match patched[list].as_array_mut() {
                    Some(changes) => changes.push(change),
                    None => patched[list] = json!([change]),
                }
            }
        }
        if !found {
            return Err(Error::usage(format!("unable to find container named {container:?}")));
        }
    }
    Ok(if in_template { json!({"spec": {"template": {"spec": patched}}}) } else { json!({"spec": patched}) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_set_by_name() {
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}});
        let set = |images: &[(&str, &str)]| patch(&deployment, images);
        assert_eq!(
            set(&[("b", "x:2")]).unwrap(),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "x:2"}]}}}})
        );
        assert_eq!(
            set(&[("*", "x:2")]).unwrap()["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(),
            2
        );
        assert!(set(&[("c", "x")]).is_err());
    }
}
