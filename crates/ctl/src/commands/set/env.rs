//! `set env`.

use std::io::Read;

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::{Value, json};

use super::{Common, Selector, Unchanged, Words, template};
use crate::{
    api::Api,
    commands::{
        create::check_variable,
        objects::{Asked, Found, each},
    },
    connection::GlobalFlags,
    error::{Error, Result},
};

/// `set env`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE/NAME… KEY=VALUE… KEY-…; - reads KEY=VALUE lines from standard input
    arguments: Vec<String>,
    /// Which containers; * stands for anything
    #[arg(short, long, default_value = "*")]
    containers: String,
    /// KEY=VALUE
    #[arg(short, long)]
    env: Vec<String>,
    /// configmap/NAME or secret/NAME whose keys become variables
    #[arg(long)]
    from: Option<String>,
    /// Before the names of those variables
    #[arg(long, default_value = "")]
    prefix: String,
    /// Only these keys
    #[arg(long, value_delimiter = ',')]
    keys: Vec<String>,
    /// Print the variables
    #[arg(long)]
    list: bool,
    /// With --list: what config maps and secrets say
    #[arg(long)]
    resolve: bool,
    /// Change a variable that is there already
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    overwrite: bool,
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words =
    Words { unchanged: Unchanged::Silent, done: "env updated", refused: "failed to patch env update to pod template:" };

/// What to do with variables.
#[derive(Debug, Default)]
struct Changes {
    /// As containers have them.
    set: Vec<Value>,
    /// Names.
    remove: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When a variable's name is none, an object has no pod template, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let (names, variables) = flags.split()?;
    if flags.common.asked(&names, None).is_nothing() {
        return Err(Error::usage("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    let mut changes = Changes::parse(&variables)?;
    if let Some(from) = &flags.from {
        changes.set.extend(flags.imported(api, global, from).await?);
    }
    let found = flags.common.find(api, global, &names, flags.selector.selector.as_deref()).await?;
    if flags.list {
        return each(found, async |mut found| flags.print(api, &mut found, &changes).await).await;
    }
    flags.common.change(api, found, &WORDS, async |found, object| flags.change(found, object, &changes)).await
}

fn is_variable(argument: &str) -> bool {
    argument.contains('=') || argument.ends_with('-')
}

impl Flags {
    /// Resources, and what is said of variables.
    fn split(&self) -> Result<(Vec<String>, Vec<String>)> {
        let first = self.arguments.iter().position(|argument| is_variable(argument)).unwrap_or(self.arguments.len());
        let (names, variables) = self.arguments.split_at(first);
        if let Some(late) = variables.iter().find(|argument| !is_variable(argument)) {
            return Err(Error::usage(format!("all resources must be specified before environment changes: {late}")));
        }
        Ok((names.to_vec(), variables.iter().chain(&self.env).cloned().collect()))
    }

    /// The variables that a config map or a secret has.
    async fn imported(&self, api: &Api, global: &GlobalFlags, from: &str) -> Result<Vec<Value>> {
        let arguments = [from.to_owned()];
        let asked = Asked { arguments: &arguments, ..Asked::default() };
        let mut variables = Vec::new();
        for found in asked.find_all(api, global).await? {
            let reference = match found.resource.kind.as_str() {
                "ConfigMap" => "configMapKeyRef",
                "Secret" => "secretKeyRef",
                _ => return Err(Error::usage("unsupported resource specified in --from")),
            };
            for key in found.object["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
                if self.keys.is_empty() || self.keys.contains(key) {
                    let name = format!("{}{}", self.prefix, variable_name(key));
                    variables.push(json!({"name": name, "valueFrom": {reference: {"name": found.name, "key": key}}}));
                }
            }
        }
        Ok(variables)
    }

    fn change(&self, found: &Found, object: &mut Value, changes: &Changes) -> Result<()> {
        let spec = template::spec(found, object)?;
        let mut refused = None;
        let matched = template::each_container(spec, &self.containers, |container| {
            if let Err(error) = self.change_container(found, container, changes) {
                refused = Some(error);
            }
        });
        if matched == 0 {
            let (kind, name) = (&found.resource.kind, &found.name);
            eprintln!("Warning: {kind}/{name} does not have any containers matching {:?}", self.containers);
        }
        refused.map_or(Ok(()), Err)
    }

    fn change_container(&self, found: &Found, container: &mut Value, changes: &Changes) -> Result<()> {
        let mut env = container["env"].as_array().cloned().unwrap_or_default();
        for variable in &changes.set {
            match env.iter_mut().find(|known| known["name"] == variable["name"]) {
                Some(known) if !self.overwrite => {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    return Err(Error::usage(format!(
                        "{}/{} '{}' already has a value ({}), and --overwrite is false",
                        found.resource.plural,
                        found.name,
                        text(&known["name"]),
                        text(&known["value"])
                    )));
                }
                Some(known) => *known = variable.clone(),
                None => env.push(variable.clone()),
            }
        }
        env.retain(|known| !changes.remove.iter().any(|name| known["name"] == *name));
        container["env"] = env.into();
        Ok(())
    }

    /// Prints the variables that each container has, or would have.
    async fn print(&self, api: &Api, found: &mut Found, changes: &Changes) -> Result<()> {
        let mut object = found.object.clone();
        self.change(found, &mut object, changes)?;
        let mut containers = Vec::new();
        template::each_container(template::spec(found, &mut object)?, &self.containers, |container| {
            containers.push(container.clone());
        });
        for container in containers {
            let name = container["name"].as_str().unwrap_or_default();
            println!("# {} {}, container {name}", found.resource.kind, found.name);
            for variable in container["env"].as_array().into_iter().flatten() {
                self.print_variable(api, found, &container, variable).await?;
            }
        }
        Ok(())
    }

    async fn print_variable(&self, api: &Api, found: &Found, container: &Value, variable: &Value) -> Result<()> {
        let name = variable["name"].as_str().unwrap_or_default();
        let from = &variable["valueFrom"];
        if from.is_null() {
            println!("{name}={}", variable["value"].as_str().unwrap_or_default());
        } else if self.resolve {
            match resolve(api, found, container, from).await {
                Ok(value) => println!("{name}={value}"),
                Err(error) => {
                    println!("# {name} from {}", described(from));
                    eprintln!("error retrieving reference for {name}: {}", message(&error));
                }
            }
        } else {
            println!("# {name} from {}", described(from));
        }
        Ok(())
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::Server(status) => status.message.clone().unwrap_or_default(),
        error => error.to_string(),
    }
}

/// A key as variables are called, and a word when that is something else.
fn variable_name(key: &str) -> String {
    let name = key.to_uppercase().replace(['-', '.', '/'], "_");
    if name != key {
        eprintln!("Warning: key {key} transferred to {name}");
    }
    name
}

impl Changes {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut changes = Self::default();
        for argument in arguments {
            match (argument.as_str(), argument.split_once('=')) {
                ("-", _) => changes.read_lines()?,
                (_, Some((name, value))) => changes.set(name, value)?,
                (removed, None) => {
                    changes.remove.push(removed.strip_suffix('-').unwrap_or(removed).to_owned());
                }
            }
        }
        if changes.set.iter().any(|variable| changes.remove.iter().any(|name| variable["name"] == *name)) {
            return Err(Error::usage(
                "can not both modify and remove the same environment variable in the same command",
            ));
        }
        Ok(changes)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        check_variable(name)?;
        self.set.push(json!({"name": name, "value": value}));
        Ok(())
    }

    /// Lines `KEY=VALUE` of standard input.
    fn read_lines(&mut self) -> Result<()> {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| Error::File(format!("STDIN: {error}")))?;
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| Error::usage(format!("environment variables must be of the form key=value: {line}")))?;
            self.set(name, value)?;
        }
        Ok(())
    }
}

/// Where a value is from, in words.
fn described(from: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let keyed = |what: &str, source: &Value| format!("{what} {}, key {}", text(&source["name"]), text(&source["key"]));
    if from["fieldRef"].is_object() {
        format!("field path {}", text(&from["fieldRef"]["fieldPath"]))
    } else if from["resourceFieldRef"].is_object() {
        let source = &from["resourceFieldRef"];
        let container = source["containerName"].as_str().map(|name| format!("{name}/")).unwrap_or_default();
        format!("resource field {container}{}", text(&source["resource"]))
    } else if from["secretKeyRef"].is_object() {
        keyed("secret", &from["secretKeyRef"])
    } else if from["configMapKeyRef"].is_object() {
        keyed("configmap", &from["configMapKeyRef"])
    } else {
        "invalid valueFrom".to_owned()
    }
}

/// What a value is that is said elsewhere.
async fn resolve(api: &Api, found: &Found, container: &Value, from: &Value) -> Result<String> {
    let namespace = found.namespace.as_deref().unwrap_or(&api.namespace);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (reference, plural) in [("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")] {
        let source = &from[reference];
        if source.is_object() {
            let (name, key) = (text(&source["name"]), text(&source["key"]));
            let object = api.get(&format!("/api/v1/namespaces/{namespace}/{plural}/{name}")).await?;
            let value = object["data"][&key].as_str();
            let value = value.ok_or_else(|| {
                Error::usage(format!("key {key} not found in {} {name}", plural.trim_end_matches('s')))
            })?;
            return Ok(if plural == "secrets" { decoded(value) } else { value.to_owned() });
        }
    }
    if from["fieldRef"].is_object() {
        let path = text(&from["fieldRef"]["fieldPath"]).replace('.', "/");
        return Ok(found.object.pointer(&format!("/{path}")).map(text).unwrap_or_default());
    }
    let source = text(&from["resourceFieldRef"]["resource"]);
    let (list, resource) = source.split_once('.').unwrap_or(("limits", &source));
    Ok(text(&container["resources"][list][resource]))
}

fn decoded(value: &str) -> String {
    BASE64_STANDARD.decode(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
