//! `create deployment`.

use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    commands::writing::Creating,
    error::{Error, Result},
    program::one_name,
};

/// `create deployment`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Images; a container each
    #[arg(long, value_delimiter = ',')]
    image: Vec<String>,
    /// How many pods
    #[arg(short, long, default_value_t = 1, allow_hyphen_values = true)]
    replicas: i32,
    /// The port that the container listens on
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    port: i32,
    #[command(flatten)]
    creating: Creating,
    /// The container's command
    #[arg(last = true)]
    command: Vec<String>,
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        crate::program::required("image", self.image.first().map(String::as_str))?;
        let name = one_name(&self.names, "create deployment")?;
        if self.image.len() > 1 && !self.command.is_empty() {
            return Err(Error::usage("cannot specify multiple --image options and command"));
        }
        let mut object = named("apps/v1", "Deployment", name);
        let labels = json!({"app": name});
        object["metadata"]["labels"] = labels.clone();
        object["spec"] = json!({"replicas": self.replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": self.containers()}}});
        Ok((object, &self.creating))
    }

    fn containers(&self) -> Vec<Value> {
        let container = |(at, image): (usize, &String)| {
            let mut container = json!({"name": container_name(image), "image": image, "command": self.command});
            if at == 0 && self.port >= 0 {
                container["ports"] = json!([{"containerPort": self.port}]);
            }
            container
        };
        self.image.iter().enumerate().map(container).collect()
    }
}

/// kubectl's name for a container: the image's last part, without tag and digest, as a DNS label.
#[must_use]
pub fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(['@', ':']).next().unwrap_or(last);
    name.to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::container_name;

    #[test]
    fn containers_are_named_after_images() {
        for (image, name) in
            [("nginx", "nginx"), ("ferrokube/demo:v1", "demo"), ("r.io:5000/a/my_app@sha256:0", "my-app")]
        {
            assert_eq!(container_name(image), name);
        }
    }
}
