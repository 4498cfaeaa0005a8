//! Copies of pods to debug.

use clap::Args;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// What the copy is like.
#[derive(Args, Clone, Debug)]
pub struct Copying {
    /// The copy's name
    #[arg(long, default_value = "")]
    copy_to: String,
    /// Delete the pod that is copied
    #[arg(long)]
    replace: bool,
    /// On the same node
    #[arg(long)]
    same_node: bool,
    /// Containers see each other's processes
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    share_processes: bool,
    /// NAME=IMAGE; * means every container
    #[arg(long, value_delimiter = ',')]
    set_image: Vec<String>,
    /// With its labels
    #[arg(long)]
    keep_labels: bool,
    /// With its annotations
    #[arg(long)]
    keep_annotations: bool,
    /// With its liveness probes
    #[arg(long)]
    keep_liveness: bool,
    /// With its readiness probes
    #[arg(long)]
    keep_readiness: bool,
    /// With its startup probes
    #[arg(long)]
    keep_startup: bool,
    /// With its init containers
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    keep_init_containers: bool,
}

impl Copying {
    /// Whether a copy is asked for.
    #[must_use]
    pub fn copies(&self) -> bool {
        !self.copy_to.is_empty()
    }

    /// Whether the copy takes the pod's place.
    #[must_use]
    pub fn replaces(&self) -> bool {
        self.replace
    }

    /// Whether containers of the copy get other images.
    #[must_use]
    pub fn sets_images(&self) -> bool {
        !self.set_image.is_empty()
    }

    /// Whether `--image` is meant for a container that the pod has.
    #[must_use]
    pub fn replaces_image(&self, container: &str, pod: &Value) -> bool {
        containers(pod).any(|known| known["name"] == container)
    }

    /// Refuses flags of a copy where none is made.
    ///
    /// # Errors
    /// In kubectl's words.
    pub fn check(&self) -> Result<()> {
        if self.copies() {
            return Ok(());
        }
        let lone = [("--replace", self.replace), ("--same-node", self.same_node), ("--set-image", self.sets_images())];
        match lone.into_iter().find(|(_, given)| *given) {
            Some(("--set-image", _)) => Err(Error::usage("--set-image may only be used with --copy-to")),
            Some((flag, _)) => Err(Error::usage(format!("{flag} may only be used with --copy-to."))),
            None => Ok(()),
        }
    }

    /// The copy.
    ///
    /// # Errors
    /// When an image is for a container that is not there.
    pub fn of(&self, pod: &Value) -> Result<Value> {
        let mut metadata = json!({"name": self.copy_to});
        for (field, kept) in [("labels", self.keep_labels), ("annotations", self.keep_annotations)] {
            if kept {
                metadata[field] = pod["metadata"][field].clone();
            }
        }
        let mut copy = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]});
        let Some(spec) = copy["spec"].as_object_mut() else { return Ok(copy) };
        spec.remove("ephemeralContainers");
        if !self.same_node {
            spec.remove("nodeName");
        }
        if !self.keep_init_containers {
            spec.remove("initContainers");
        }
        spec.insert("shareProcessNamespace".to_owned(), self.share_processes.into());
        self.drop_probes(&mut copy);
        self.set_images(&mut copy)?;
        Ok(copy)
    }

    fn drop_probes(&self, copy: &mut Value) {
        let probes = [
            ("livenessProbe", self.keep_liveness),
            ("readinessProbe", self.keep_readiness),
            ("startupProbe", self.keep_startup),
        ];
        for container in
            copy["spec"]["containers"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
        {
            for (probe, _) in probes.iter().filter(|(_, kept)| !kept) {
                container.remove(*probe);
            }
        }
    }

    fn set_images(&self, copy: &mut Value) -> Result<()> {
        for text in &self.set_image {
            let (name, image) = text
                .split_once('=')
                .ok_or_else(|| Error::usage(format!("invalid image specification: {text}: expected NAME=IMAGE")))?;
            let mut found = false;
            for container in copy["spec"]["containers"].as_array_mut().into_iter().flatten() {
                if name == "*" || container["name"] == name {
                    container["image"] = image.into();
                    found = true;
                }
            }
            if !found {
                return Err(Error::usage(format!("unable to find container named {name:?}")));
            }
        }
        Ok(())
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["containers"].as_array().into_iter().flatten()
}

/// The name of a pod's first container.
#[must_use]
pub fn first_container(pod: &Value) -> String {
    containers(pod).next().and_then(|container| container["name"].as_str()).unwrap_or_default().to_owned()
}

/// Adds a container to the copy.
pub fn push_container(pod: &mut Value, container: Value) {
    if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
        containers.push(container);
    }
}

/// Takes a container out of the copy, to be changed.
///
/// # Errors
/// When there is none of that name.
pub fn take_container(pod: &mut Value, name: &str) -> Result<Value> {
    let list = pod["spec"]["containers"].as_array_mut();
    let taken = list.and_then(|list| {
        let at = list.iter().position(|container| container["name"] == name)?;
        Some(list.remove(at))
    });
    taken.ok_or_else(|| Error::usage(format!("container {name:?} not found in pod")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flags: Copying,
    }

    #[test]
    fn a_copy_is_nobodys_and_answers_no_probes() {
        let pod = json!({"metadata": {"name": "a", "uid": "u", "labels": {"app": "a"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x", "livenessProbe": {}}]}});
        let copy = |words: &str| Command::parse_from(words.split(' ')).flags.of(&pod);
        assert_eq!(
            copy("x --copy-to=b --set-image=*=y").unwrap(),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"},
                "spec": {"shareProcessNamespace": true, "containers": [{"name": "c", "image": "y"}]}})
        );
        let kept = copy("x --copy-to=b --keep-labels --keep-liveness --same-node").unwrap();
        assert_eq!(kept["metadata"]["labels"]["app"], "a");
        assert!(kept["spec"]["containers"][0]["livenessProbe"].is_object() && kept["spec"]["nodeName"] == "n");
        assert!(copy("x --copy-to=b --set-image=z=y").is_err());
    }
}
