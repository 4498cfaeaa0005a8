//! Which network the administrator has configured.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// As much of a configuration as is read, in bytes.
const LIMIT: u64 = 1 << 20;
/// What a configuration speaks that does not say so.
const OLDEST: &str = "0.1.0";
/// The newest version of the specification that is spoken.
const NEWEST: Version = Version(1, 1, 0);
/// The first version in which a plugin that takes a network away is told what came of making it.
const TELLS_RESULT: Version = Version(0, 4, 0);

/// A network: plugins that are asked one after the other.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The version of the specification.
    pub version: String,
    /// The configuration of each plugin.
    pub plugins: Vec<Map<String, Value>>,
}

/// A version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, '.').map(|number| number.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().unwrap_or(Some(0))?))
    }
}

impl Network {
    /// The first configuration of a directory, by name, that is one; `None` when there is none.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn first(directory: &Path) -> io::Result<Option<Self>> {
        for path in configurations(directory)? {
            let list = path.extension().is_some_and(|extension| extension == "conflist");
            match read(&path).map_err(|error| error.to_string()).and_then(|text| Self::parse(&text, list)) {
                Ok(network) => return Ok(Some(network)),
                Err(why) => tracing::warn!(path = %path.display(), "no CNI configuration: {why}"),
            }
        }
        Ok(None)
    }

    /// Reads a configuration: a list of plugins, or one plugin.
    fn parse(text: &[u8], list: bool) -> Result<Self, String> {
        let mut whole: Map<String, Value> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let name = whole.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !is_name(&name) {
            return Err(format!("invalid network name {name:?}"));
        }
        let version = spoken(&whole)?;
        let plugins = match whole.remove("plugins") {
            Some(plugins) if list => serde_json::from_value(plugins).map_err(|error| format!("plugins: {error}"))?,
            None if list => Vec::new(),
            _ => vec![whole],
        };
        if plugins.is_empty() {
            return Err("it has no plugins".to_owned());
        }
        for plugin in &plugins {
            match plugin_type(plugin) {
                "" => return Err("no 'type'; perhaps this is a .conflist?".to_owned()),
                name if name.contains('/') || name.starts_with('.') => {
                    return Err(format!("invalid plugin name: {name}"));
                }
                _ => {}
            }
        }
        Ok(Self { name, version, plugins })
    }

    /// What a plugin is given to read: its configuration, with the network's name and version, what the plugin can be told
    /// of the sandbox, and what came of the plugins before it.
    pub fn input(&self, plugin: &Map<String, Value>, runtime: &Map<String, Value>, before: Option<&Value>) -> Value {
        let mut input = plugin.clone();
        input.insert("name".to_owned(), self.name.clone().into());
        input.insert("cniVersion".to_owned(), self.version.clone().into());
        let can = |capability: &str| plugin.get("capabilities").is_some_and(|all| all[capability] == true);
        let told: Map<String, Value> =
            runtime.iter().filter(|(capability, _)| can(capability)).map(|(k, v)| (k.clone(), v.clone())).collect();
        if !told.is_empty() {
            input.insert("runtimeConfig".to_owned(), told.into());
        }
        if let Some(before) = before {
            input.insert("prevResult".to_owned(), before.clone());
        }
        Value::Object(input)
    }

    /// Whether plugins that take the network away are told what came of making it.
    pub fn tells_result(&self) -> bool {
        Version::parse(&self.version).is_some_and(|version| version >= TELLS_RESULT)
    }
}

/// The name of a plugin's program.
pub fn plugin_type(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The newest of the versions that a configuration offers and that is known here.
fn spoken(whole: &Map<String, Value>) -> Result<String, String> {
    let offered = whole.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let offered =
        offered.chain(whole.get("cniVersion")).filter_map(Value::as_str).filter(|version| !version.is_empty());
    let offered: Vec<&str> = offered.collect();
    let known = offered.iter().filter_map(|text| Some((Version::parse(text)?, *text)));
    match known.filter(|(version, _)| *version <= NEWEST).max() {
        Some((_, version)) => Ok(version.to_owned()),
        None if offered.is_empty() => Ok(OLDEST.to_owned()),
        None => Err(format!("no version is known of {}", offered.join(", "))),
    }
}

/// The specification's names of networks.
fn is_name(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && name.bytes().all(inside)
}

fn configurations(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_one = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json")) && path.is_file()
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_one).collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {LIMIT} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_that_is_one_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let first = || Network::first(directory.path()).unwrap();
        assert_eq!(Network::first(&directory.path().join("none")).unwrap(), None);
        for (file, text) in [
            ("00.conf", "{"),
            ("01.conf", r#"{"name": "a"}"#),
            ("02.conflist", r#"{"name": "a", "plugins": []}"#),
            ("03.conflist", r#"{"name": "a/b", "plugins": [{"type": "bridge"}]}"#),
            ("04.conflist", r#"{"name": "a", "plugins": [{"type": "../bridge"}]}"#),
            ("05.conflist", r#"{"name": "a", "cniVersion": "9.0.0", "plugins": [{"type": "bridge"}]}"#),
            ("06.txt", r#"{"name": "a", "type": "bridge"}"#),
        ] {
            fs::write(directory.path().join(file), text).unwrap();
            assert_eq!(first(), None, "{file}");
        }
        fs::write(directory.path().join("20.json"), r#"{"name": "one", "type": "bridge"}"#).unwrap();
        let one = first().unwrap();
        assert_eq!((&*one.name, &*one.version, one.plugins.len()), ("one", "0.1.0", 1));
        let list = json!({"name": "two", "cniVersion": "0.4.0", "cniVersions": ["1.0.0", "7.0.0"],
            "plugins": [{"type": "bridge"}, {"type": "portmap"}]});
        fs::write(directory.path().join("10.conflist"), list.to_string()).unwrap();
        let two = first().unwrap();
        assert_eq!((&*two.name, &*two.version, two.plugins.len()), ("two", "1.0.0", 2));
    }

    #[test]
    fn a_plugin_is_told_what_it_can_be_told() {
        let text = json!({"name": "net", "cniVersion": "0.3.1", "plugins": [
            {"type": "bridge", "isGateway": true},
            {"type": "portmap", "capabilities": {"portMappings": true, "ipRanges": false}},
        ]});
        let network = Network::parse(text.to_string().as_bytes(), true).unwrap();
        let runtime = json!({"portMappings": [1], "ipRanges": [2]});
        let runtime = runtime.as_object().unwrap();
        assert_eq!(
            network.input(&network.plugins[0], runtime, None),
            json!({"type": "bridge", "isGateway": true, "name": "net", "cniVersion": "0.3.1"})
        );
        assert_eq!(
            network.input(&network.plugins[1], runtime, Some(&json!({"ips": []}))),
            json!({"type": "portmap", "capabilities": {"portMappings": true, "ipRanges": false}, "name": "net",
                "cniVersion": "0.3.1", "runtimeConfig": {"portMappings": [1]}, "prevResult": {"ips": []}})
        );
        assert!(!network.tells_result());
    }
}
